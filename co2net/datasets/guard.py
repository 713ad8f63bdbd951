"""Reading in a child process, so that a damaged file ends the child and not the program.

On damaged metadata the HDF5 library can loop for ever while it holds Python's lock, ask for absurd
memory, or crash. `call` therefore runs a function of a file in a child process with a limit on
processor time (not on waiting: a slow disk or a busy machine is no fault of the file) and on
memory. Children are kept for the next call; they end with the program.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, TypeVar

from co2net.errors import UserError

SECONDS = 120.0
"""Processor time that one file may take (s); the largest ones take a few seconds."""

_MEMORY = 8 << 30
_idle: deque[_Child] = deque()

Result = TypeVar("Result")


def call(function: Callable[..., Result], path: str | Path, *rest: Any) -> Result:
    """``function(path, *rest)`` in a child process.

    Parameters
    ----------
    function
        A function of a module, or a `functools.partial` of one; its result must be picklable.
    path
        The file it reads, for the error message.
    rest
        Further arguments.

    Raises
    ------
    UserError
        When the child does not survive the file. What the function raises is raised here.
    """
    try:
        child = _idle.pop()
    except IndexError:
        child = _Child()
    if child.owner != os.getpid():  # this process was forked from the one that has the child
        child = _Child()
    done = False
    try:
        good, result = child.ask(function, (path, *rest), SECONDS)
        done = True
    except (EOFError, ConnectionError) as error:
        raise UserError(f"{path}: {child.epitaph()}; it is damaged, fetch it again") from error
    finally:
        if done:
            _idle.append(child)
        else:
            child.end()
    if not good:
        raise result
    return result


def close() -> None:
    """End the children that wait for a call; what they used counts as this process's children's."""
    while _idle:
        child = _idle.pop()
        if child.owner == os.getpid():
            child.end()


class _Child:
    """A process that answers questions."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        ours, theirs = Pipe()
        self._pipe = ours
        code = f"from co2net.datasets.guard import serve; serve({theirs.fileno()})"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # an interrupt from the keyboard is for us alone
        )
        theirs.close()

    def ask(
        self, function: Callable[..., Any], words: tuple[Any, ...], seconds: float
    ) -> tuple[bool, Any]:
        self._pipe.send((function, words, seconds))
        answer: tuple[bool, Any] = self._pipe.recv()
        return answer

    def epitaph(self) -> str:
        """Why the process is no more."""
        code = self._process.wait()
        if code == -signal.SIGXCPU:
            return f"cannot be read within {SECONDS:g} s of processor time"
        how = signal.Signals(-code).name if code < 0 else f"status {code}"
        return f"cannot be read (the process that reads it ended with {how})"

    def end(self) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.wait()


def serve(handle: int) -> None:
    """Answer the questions that come, until the asker is gone; runs in the child."""
    resource.setrlimit(resource.RLIMIT_AS, _lowered(resource.RLIMIT_AS, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, _lowered(resource.RLIMIT_CORE, 0))
    pipe = Connection(handle)
    while True:
        try:
            function, words, seconds = pipe.recv()
        except EOFError:
            return
        usage = resource.getrusage(resource.RUSAGE_SELF)
        until = int(usage.ru_utime + usage.ru_stime + seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, _lowered(resource.RLIMIT_CPU, until))
        answer: tuple[bool, Any]
        try:
            answer = True, function(*words)
        except Exception as error:  # it is raised where the question was asked
            answer = False, error
        pipe.send(answer)


def _lowered(what: int, soft: int) -> tuple[int, int]:
    """A soft limit within the hard one, and the hard one as it is."""
    hard = resource.getrlimit(what)[1]
    return (soft if hard == resource.RLIM_INFINITY else min(soft, hard)), hard
