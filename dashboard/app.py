"""The server: one process, many sessions, nothing from anywhere else."""

from __future__ import annotations

import ctypes
import gc
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import panel as pn
from tornado.web import RequestHandler
from tornado.websocket import WebSocketClosedError

from co2net.assets import data_path
from co2net.errors import UserError
from co2net.inference import Engine
from co2net.schema import open_store
from co2net.source import FieldSource
from dashboard import export
from dashboard.pages import registry
from dashboard.service import Service
from dashboard.session import Session
from dashboard.state import ViewState, World, in_order

if TYPE_CHECKING:
    from co2net.ocean.fields import OceanFields

log = logging.getLogger(__name__)


def _not_a_closed_tab(record: logging.LogRecord) -> bool:
    """Whether a log record is anything but a message to a tab that has been closed."""
    return not (record.exc_info and isinstance(record.exc_info[1], WebSocketClosedError))


class Ready(RequestHandler):
    """``/ready`` answers as soon as the server does.

    It says how much work there is yet to finish, and how many sessions are kept.
    """

    def initialize(self, service: Service) -> None:
        """Take what all sessions share."""
        self._service = service

    def get(self) -> None:
        """Say so."""
        sessions = len(self.application.get_sessions("/"))  # type: ignore[attr-defined]
        working = self._service.working
        self.finish({"ready": True, "working": working, "sessions": sessions})


def page(service: Service) -> pn.viewable.Viewable:
    """A new session's page."""
    document = pn.state.curdoc
    # A page that has lost its server says so itself, and loads anew: assets/connection.js.
    document.config.update(reconnect_session=False, notify_connection_status=False)
    context = document.session_context
    arguments = getattr(getattr(context, "request", None), "arguments", {}) or {}
    session = Session(service, _query(arguments), document)

    def closed(_: object) -> None:
        session.close()
        service.slow.submit(_give_back)

    document.on_session_destroyed(closed)
    return session.page


def _give_back() -> None:
    """Return the memory of sessions that are gone.

    Their parts refer to each other, so that they wait for the collector, and the C library keeps
    what was freed in its arenas.
    """
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
        if trim is not None:
            trim(0)


def _query(arguments: dict[str, list[bytes]]) -> str:
    from urllib.parse import urlencode

    return urlencode({k: v[-1].decode("utf-8", "replace") for k, v in arguments.items() if v})


def serve(
    store: str | Path | FieldSource,
    host: str = "127.0.0.1",
    port: int = 5006,
    models: Sequence[Any] | None = None,
    open_browser: bool = False,
    cache_dir: str | Path | None = None,
    sea: OceanFields | None = None,
) -> None:
    """Serve the page until the process ends.

    Parameters
    ----------
    store
        Path of a canonical store, or a field source.
    host, port
        Where to listen; this machine only by default.
    models
        Names, folders or reconstructors; all that are shipped by default.
    open_browser
        Open the page in a browser.
    cache_dir
        Folder for computed fields; ``data/cache`` by default.
    sea
        What is known of the ocean; None: what belongs to the data set.

    Raises
    ------
    UserError
        When the store cannot be read, or the port is taken.
    """
    path = Path(store) if isinstance(store, str | Path) else None
    source: FieldSource = open_store(path) if path is not None else store  # type: ignore[assignment]
    cache = data_path("cache") if cache_dir is None else cache_dir
    engine = Engine(source, models=models, cache_dir=cache)
    service = Service(engine, path, sea)
    logging.getLogger("asyncio").addFilter(_not_a_closed_tab)
    logging.getLogger("bokeh.server.views.ws").setLevel(logging.ERROR)
    state = ViewState(World(source, tuple(registry()), in_order(engine.names())))
    local = host in ("127.0.0.1", "localhost", "::1")
    origins = [f"{name}:{port}" for name in ("127.0.0.1", "localhost", host)]
    try:
        server = pn.serve(
            {"/": lambda: page(service)},
            address=host,
            port=port,
            show=False,
            start=False,
            title="co2net",
            websocket_origin=origins if local else ["*"],
            extra_patterns=[
                (r"/ready", Ready, {"service": service}),
                (r"/export/([a-z]+)\.([a-z]+)", export.Handler, {"service": service}),
            ],
            check_unused_sessions_milliseconds=10_000,
            unused_session_lifetime_milliseconds=60_000,
            verbose=False,
        )
    except OSError as error:
        raise UserError(
            f"cannot listen at {host}:{port} ({error.strerror}); give another --port or --host"
        ) from error
    service.quick.submit(_warm, service, state)
    service.jobs.start()
    server.start()
    if open_browser:
        server.io_loop.add_callback(server.show, "/")
    server.run_until_shutdown()
    service.close()
    log.disabled = True  # work that is cut off has nothing to report


def _warm(service: Service, state: ViewState) -> None:
    """Load models and compute the first frames before the first visitor comes."""
    try:
        service.warm(("truth", *state.models), state.frame)
    except Exception:
        log.exception("the first frame could not be prepared")
    gc.collect()
    gc.freeze()  # what is there now stays; the collector need not look at it again
