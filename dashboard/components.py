"""Parts of the page that run in the browser. Layout and looks live in ``assets``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import panel_material_ui as pmui
import param
from panel.custom import Child, Children, JSComponent

from dashboard.theme import css_variables

ASSETS = Path(__file__).with_name("assets")


def css(*names: str) -> list[str]:
    """Style sheets of ``assets``."""
    return [(ASSETS / f"{name}.css").read_text(encoding="utf-8") for name in names]


def js(*names: str) -> str:
    """Scripts of ``assets`` as one module: what is shared (``news``, ``parts``), then the own."""
    return "\n".join((ASSETS / f"{name}.js").read_text(encoding="utf-8") for name in names)


_PICK = """:host {{ width: calc({width} * var(--size, 13px)) !important;
  flex: 0 {give} auto !important; min-width: 0 !important; }}
.mui-light, .mui-dark {{ width: 100% !important; min-width: 0 !important; }}
.MuiInputBase-root, .MuiInputLabel-root, .MuiOutlinedInput-notchedOutline
  {{ font-size: calc(1.07 * var(--size, 13px)) !important; }}
.MuiInputLabel-shrink {{ transform: translate(14px, -.65em) scale(.75) !important; }}"""
"""A list grows with the letters of the page and gives way in a full tool bar, wide ones first."""
ONE_ROW = "@media (min-width: 761px) { [id^=flex] { flex-wrap: nowrap !important } }"
"""Of a tool bar; on a telephone it wraps."""


def growing(width: int) -> str:
    """The style of a list of the tool bar that is so many pixels wide at the usual letters."""
    return _PICK.format(width=f"{width / 13:.2f}", give=max(0, width - 100))


def dropdown(
    name: str, label: str, width: int, picked: Callable[[Any], None], **settings: Any
) -> pmui.Select:
    """A list of the tool bar that tells what is chosen; in the page its class is ``pick-NAME``."""
    widget = pmui.Select(
        label=label,
        size="small",
        width=width,
        margin=0,
        css_classes=[f"pick-{name}"],
        stylesheets=[growing(width)],
        **settings,
    )
    widget.param.watch(lambda event: None if event.new is None else picked(event.new), "value")
    return widget


class Part(JSComponent):
    """A component that exchanges messages with its half in the browser.

    ``listener`` gets each message as a dictionary. What changes with every frame is told by
    message too (`tell`): Panel searches all models below a component whenever a parameter of
    it changes, which for one that holds figures takes 50 ms.
    """

    strings = param.Dict(default={})

    __abstract = True

    def __init__(
        self, listener: Callable[[dict[str, Any]], None] | None = None, **params: Any
    ) -> None:
        self._listener = listener
        self._ready = False
        self.facts: dict[str, Any] = {}
        self._order = 0
        super().__init__(**params)

    def tell(self, **facts: Any) -> None:
        """Send the facts that are new to the browser, and keep them for when it is ready."""
        news = {name: fact for name, fact in facts.items() if self.facts.get(name) != fact}
        self.facts |= news
        if news and self._ready:
            self._send(news)

    def _send(self, facts: dict[str, Any]) -> None:
        """Send facts with their place in the order of telling: panel sends some messages at once
        and others in a later turn of the loop, so a later one may come first.
        """
        self._order += 1
        self._send_msg({"order": self._order, "facts": dict(facts)})

    def _handle_msg(self, message: Any) -> None:
        if not isinstance(message, dict):
            return
        if message.get("ready"):
            self._ready = True
            self._send(self.facts)
        elif self._listener is not None:
            self._listener(message)


class Shell(Part):
    """Rail, tool bar, places for the children, notices, and the address.

    Told: ``title``, ``busy`` (text or empty), ``notices``, ``address``, ``reload``.
    """

    page = param.String()
    pages = param.List(default=[])
    language = param.String("en")
    scheme = param.String("light")
    simulated = param.Boolean(False)
    drawer_open = param.Boolean(False)
    inspector_open = param.Boolean(True)
    presenting = param.Boolean(False)
    furniture = param.List(default=[], doc="Of the page: bar, inspector, drawer.")
    exports = param.List(default=[], doc="Of the page: what, label, formats.")
    board = Child()
    toolbar = Child()
    drawer = Child()
    inspector = Child()
    bar = Child()

    _esm = js("news", "connection", "shell")
    _stylesheets: ClassVar[list[str]] = [*css("base", "shell", "connection"), css_variables()]


class Board(Part):
    """Panels with their headings and colour bars, and numbers below them.

    Told: ``titles``, ``bars``, ``strips``.
    """

    layout = param.Selector(default="single", objects=["single", "compare", "swipe"])
    roles = param.List(default=[])
    maps = param.Integer(0, doc="How many of the roles, the first ones, are maps.")
    figures = Children()
    aside = Child()
    drawing = param.Boolean(False, doc="Whether a drag draws a box.")

    _esm = js("news", "parts", "board")
    _stylesheets: ClassVar[list[str]] = css("base", "parts", "board")


class InspectorPart(Part):
    """Series and numbers of the chosen place.

    Told: ``place``, ``subtitle``, ``chosen``, ``legend``, ``numbers``, ``spread`` (whether there
    is a histogram).
    """

    series = Child()
    histogram = Child()

    _esm = js("news", "inspector")
    _stylesheets: ClassVar[list[str]] = css("base", "inspector")


class TimeBar(Part):
    """Play, step, speed, date, and months. Asks for one frame at a time."""

    first = param.Integer(doc="Seconds since 1970 of frame 0.")
    step = param.Integer(10800, doc="Seconds between frames.")
    count = param.Integer(1)
    runs = param.List(default=[], doc="[start, end) of every run of frames that hold data.")
    months = param.List(default=[])
    cases = param.List(default=[], doc="key, title, first and last frame of case studies.")
    frame = param.Integer(0, doc="The frame asked for.")
    shown = param.List(default=[0, 0], doc="The frame on screen, and a number that rises.")
    fps = param.Integer(5)
    playing = param.Boolean(False)
    locale = param.String("en-GB")

    _debounce: ClassVar[int] = 0  # Panel collects changes for 50 ms
    _esm = ASSETS / "timebar.js"
    _stylesheets: ClassVar[list[str]] = css("base", "timebar")
