"""Parts of the page that run in the browser. Layout and looks live in ``assets``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import param
from panel.custom import Child, Children, JSComponent

from dashboard.theme import css_variables

_ASSETS = Path(__file__).with_name("assets")


def _css(*names: str) -> list[str]:
    return [(_ASSETS / f"{name}.css").read_text(encoding="utf-8") for name in names]


class _Part(JSComponent):
    """A component that may send messages: ``listener`` gets each as a dictionary."""

    strings = param.Dict(default={})

    __abstract = True

    def __init__(
        self, listener: Callable[[dict[str, Any]], None] | None = None, **params: Any
    ) -> None:
        self._listener = listener
        super().__init__(**params)

    def _handle_msg(self, message: Any) -> None:
        if self._listener is not None and isinstance(message, dict):
            self._listener(message)


class Shell(_Part):
    """Rail, tool bar, places for the children, notices, and the address."""

    page = param.String()
    pages = param.List(default=[])
    title = param.String()
    language = param.String("en")
    scheme = param.String("light")
    simulated = param.Boolean(False)
    drawer_open = param.Boolean(False)
    inspector_open = param.Boolean(True)
    busy = param.Boolean(False)
    busy_text = param.String()
    notices = param.List(default=[])
    address = param.String()
    replace = param.Boolean(False, doc="Whether the address takes the last one's place.")
    reload = param.Integer(0)
    board = Child()
    toolbar = Child()
    drawer = Child()
    inspector = Child()
    bar = Child()

    _esm = _ASSETS / "shell.js"
    _stylesheets: ClassVar[list[str]] = [*_css("base", "shell"), css_variables()]


class Board(_Part):
    """Panels with their headings, colour bars, and the table of numbers."""

    layout = param.String("single")
    roles = param.List(default=[])
    figures = Children()
    titles = param.List(default=[])
    bars = param.List(default=[None, None])
    numbers = param.String()
    drawing = param.Boolean(False, doc="Whether a drag draws a box.")

    _esm = _ASSETS / "board.js"
    _stylesheets: ClassVar[list[str]] = _css("base", "board")


class InspectorPart(_Part):
    """Series and numbers of the chosen place."""

    place = param.String()
    subtitle = param.String()
    chosen = param.Boolean(False)
    legend = param.List(default=[])
    numbers = param.String()
    series = Child()

    _esm = _ASSETS / "inspector.js"
    _stylesheets: ClassVar[list[str]] = _css("base", "inspector")


class TimeBar(_Part):
    """Play, step, speed, date, and months. Asks for one frame at a time."""

    first = param.Integer(doc="Seconds since 1970 of frame 0.")
    step = param.Integer(10800, doc="Seconds between frames.")
    count = param.Integer(1)
    runs = param.List(default=[], doc="[start, end) of every run of frames that hold data.")
    months = param.List(default=[])
    frame = param.Integer(0, doc="The frame asked for.")
    shown = param.List(default=[0, 0], doc="The frame on screen, and a number that rises.")
    fps = param.Integer(5)
    playing = param.Boolean(False)
    locale = param.String("en-GB")

    _esm = _ASSETS / "timebar.js"
    _stylesheets: ClassVar[list[str]] = _css("base", "timebar")
