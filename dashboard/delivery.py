"""From threads to the browser: work that runs in the session's own thread, in its order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Any

from panel.io.document import hold

Job = Callable[[], None]


class Delivery:
    """What threads hand over to one session.

    Parameters
    ----------
    document
        The Bokeh document of the session, whose loop runs the jobs.
    there
        Delivered when the browser has shown the page and all that waited for it has run.
    """

    def __init__(self, document: Any, there: Job) -> None:
        self._document, self._there = document, there
        self._gate = Lock()
        self._begun = False
        self._due: deque[Job] = deque()
        self._early: deque[Job] = deque()
        self.loaded = False
        """Whether the browser has the page and nothing waits for it any more."""

    def deliver(self, job: Job) -> None:
        """Run something in the session's own thread, as one message to the browser.

        What is there before the browser asks for the page goes with it. After that it waits until
        the browser has it: what changes in between would be lost.
        """
        with self._gate:
            self._due.append(job)
            begun = self._begun
        if begun:
            self._call(self._run)

    def when_there(self, job: Job) -> None:
        """Run something in the session's own thread when the browser has shown the page."""
        with self._gate:
            if not self.loaded:
                self._early.append(job)
                return
        job()

    def begin(self) -> None:
        """Run what came while the server made the session: a thread must not touch it then."""
        with self._gate:
            self._begun = True
            due = len(self._due)
        for _ in range(due):
            self._call(self._run)

    def browser_is_there(self) -> None:
        """Run what has waited for the browser."""
        self._call(self._catch_up)

    def _call(self, step: Job) -> None:
        if self._document.session_context is not None:
            self._document.add_next_tick_callback(step)

    def _run(self) -> None:
        """Run what has been due longest, whichever call of the loop this is: an older result
        must not come after a newer one.
        """
        session = self._document.session_context.session
        with self._gate:
            job = self._due.popleft()
            if not self.loaded and session is not None and session.connection_count:
                self._early.append(job)
                return
        with hold(self._document):
            job()

    def _catch_up(self) -> None:
        """Run what has waited, one after the other; what comes meanwhile queues behind it."""
        with self._gate:
            job = self._early.popleft() if self._early else None
            self.loaded = job is None
        if job is None:
            self.deliver(self._there)
            return
        try:
            with hold(self._document):
                job()
        finally:
            self.browser_is_there()
