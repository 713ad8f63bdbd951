"""What the pages with maps share: panels, fed a frame at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import panel as pn
import panel_material_ui as pmui

from co2net.errors import UserError
from co2net.layers import DIFFERENCE
from co2net.regions import Region, box_region, region, regions
from dashboard.components import ONE_ROW, Board, dropdown
from dashboard.maps.figures import MapFigures
from dashboard.maps.layers import colour_bar, derived, display, number
from dashboard.maps.projection import GLOBE, Projection
from dashboard.maps.wind import streaks
from dashboard.numbers import Numbers
from dashboard.pages import FURNITURE
from dashboard.plots import pane
from dashboard.service import Frame
from dashboard.state import SPANS

if TYPE_CHECKING:
    from dashboard.session import Session


@dataclass(frozen=True)
class Arrangement:
    """Which panels there are, and how they lie.

    Parameters
    ----------
    layout
        Of `Board`.
    maps, plots
        Roles of panels with maps, and of others after them.
    """

    layout: str
    maps: tuple[str, ...]
    plots: tuple[str, ...] = ()


class MapView:
    """A page of maps in one session.

    Subclasses say which panels there are, what they show and which models are judged.
    """

    inspector_open = True
    furniture = FURNITURE

    def __init__(self, session: Session) -> None:
        self.session = session
        self._boards: dict[Arrangement, tuple[MapFigures, Board]] = {}
        self._looking = False
        self._arrange(self.arrangement())
        self._region = self._region_select()
        self._span = self._span_select()
        self.toolbar = pn.FlexBox(
            align_items="center",
            gap="8px",
            flex_wrap="wrap",
            stylesheets=[ONE_ROW],
            sizing_mode="stretch_width",
            margin=0,
        )
        self._offer()

    # -- for subclasses -----------------------------------------------------------------

    def arrangement(self) -> Arrangement:
        """Which panels the state asks for."""
        raise NotImplementedError

    def layers(self) -> tuple[str, ...]:
        """What each map shows."""
        raise NotImplementedError

    def judged(self) -> tuple[str, ...]:
        """Models of the table of numbers."""
        raise NotImplementedError

    def controls(self) -> list[Any]:
        """Widgets of the tool bar, before the region; made anew when the models change."""
        raise NotImplementedError

    def sync(self) -> None:
        """Bring the widgets in line with the state."""

    def place(self) -> Region:
        """The region that is outlined and brought into view."""
        return region(self.session.state.region)

    def plots(self, arrangement: Arrangement) -> list[Any]:
        """Panes of the panels that are no maps."""
        return []

    def aside(self, arrangement: Arrangement) -> Any:
        """Pane beside the panels, or None."""
        return None

    def judged_now(self, numbers: Numbers) -> None:
        """See `dashboard.pages.View`."""

    # -- panels -------------------------------------------------------------------------

    def _arrange(self, wanted: Arrangement) -> None:
        self._arrangement = wanted
        if wanted not in self._boards:
            session = self.session
            source = session.service.source
            figures = MapFigures(
                wanted.maps,
                source.grid,
                source.stations,
                on_tap=lambda lat, lon: session.choose_point((lat, lon)),
                on_box=self._boxed,
                on_view=self._viewed,
            )
            panes = [pane(plot) for plot in figures.figures]
            aside = self.aside(wanted)
            board = Board(
                self._board_said,
                strings=session.t.section("map"),
                layout=wanted.layout,
                roles=[*wanted.maps, *wanted.plots],
                maps=len(wanted.maps),
                figures=[*panes, *map(session.later, self.plots(wanted))],
                aside=None if aside is None else session.later(aside),
                sizing_mode="stretch_both",
            )
            board.param.watch(lambda event: figures.set_drawing(event.new), "drawing")
            waiting = escape(session.t("shell.computing"))
            board.tell(titles=[{"title": waiting, "when": "", "note": ""} for _ in board.roles])
            self._boards[wanted] = figures, board
        self.figures, self.maps = self._boards[wanted]
        self.board = self.maps
        self._fresh = True

    # -- controls -----------------------------------------------------------------------

    def _offer(self) -> None:
        """Put the widgets into the tool bar, for the models that there are."""
        self._offered = self.session.world.models
        self.toolbar[:] = [*self.controls(), self._region, self._span]

    def select(self, name: str, label: str, options: dict[str, Any], width: int) -> pmui.Select:
        """A drop-down list bound to a parameter of the state."""
        grouped = any(isinstance(value, dict) for value in options.values())
        choices = {"groups" if grouped else "options": options}
        value = getattr(self.session.state, name)
        return dropdown(name, label, width, partial(self._picked, name), value=value, **choices)

    def choose(
        self, word: str, label: str, options: dict[str, str], width: int, default: str
    ) -> pmui.Select:
        """A drop-down list bound to a word of the page's own; the default is not kept."""
        state = self.session.state

        def picked(choice: str) -> None:
            if choice != state.details.get(word, default):
                state.keep(**{word: "" if choice == default else choice})

        value = state.details.get(word, default)
        return dropdown(word, label, width, picked, options=options, value=value)

    def _picked(self, name: str, value: Any) -> None:
        if value != getattr(self.session.state, name):
            self.session.state.param.update(**{name: value})

    def _region_options(self) -> dict[str, str]:
        t = self.session.t
        options = {t.or_else(f"region.{key}", key): key for key in regions()}
        key = self.session.state.region
        if key not in regions():
            options[self.session.region_name()] = key
        return options

    def _offer_regions(self) -> None:
        options, chosen = self._region_options(), self.session.state.region
        self._region.param.update(options=options, value=chosen)

    def _region_select(self) -> pmui.Select:
        return self.select("region", self.session.t("tools.region"), self._region_options(), 150)

    def _span_select(self) -> pmui.Select:
        t = self.session.t
        options = {t("tools.days", days=days): days for days in SPANS}
        return self.select("span", t("tools.span"), options, 96)

    def _board_said(self, message: dict[str, Any]) -> None:
        if "zoom" in message:
            self.figures.zoom(2.0 if message["zoom"] == "in" else 0.5)
        elif "whole" in message:
            self.figures.fit()

    def _boxed(self, west: float, south: float, east: float, north: float) -> None:
        try:
            key = box_region(round(west, 1), round(south, 1), round(east, 1), round(north, 1)).key
        except UserError as error:
            self.session.notify(str(error))
            return
        self.maps.drawing = False
        self.session.state.param.update(region=key, point=None)
        self.session.shell.inspector_open = True

    # -- following the state ------------------------------------------------------------

    def update(self, changed: set[str]) -> None:
        """See `dashboard.pages.View`."""
        state = self.session.state
        if self._offered != self.session.world.models:
            self._offer()
        if self.arrangement() != self._arrangement:
            self._arrange(self.arrangement())
            self.session.show_board()
        figures = self.figures
        fresh, self._fresh = self._fresh, False
        place = {"projection", "centre", "region"} if state.projection == "orthographic" else set()
        turned = bool(changed & (place or {"projection", "centre"}))
        if fresh or turned or changed & {"cells"}:
            figures.set_projection(state.projection, smooth=not state.cells, centre=self._centre())
        if fresh or changed & {"theme"}:
            figures.set_theme(state.theme)
        if fresh or changed & {"stations"}:
            figures.set_stations(state.stations)
        if fresh or turned or changed & {"point"}:
            figures.set_point(state.point)
        if fresh or turned or changed & {"cases"}:
            figures.set_cases(self.session.case_regions() if state.cases else ())
        if fresh or turned or changed & {"region"}:
            figures.set_region(self.place())
            self._offer_regions()
        if fresh or "window" in changed:
            self._look_at(state.window)
        elif turned or "region" in changed:
            self._look_at(None)
        self._span.value = state.span
        self.sync()
        self._request()

    def _centre(self) -> tuple[float, float] | None:
        """Where the globe is seen from: as chosen, else above the region or the point."""
        state = self.session.state
        if state.projection != "orthographic" or state.centre is not None:
            return state.centre
        chosen = self.place()
        if not chosen.polygons:
            return GLOBE
        west, south, east, north = chosen.bounds
        lon = (west + (east - west) % 360.0 / 2 + 180.0) % 360.0 - 180.0
        return round((south + north) / 2), round(lon)

    def _look_at(self, window: tuple[float, float, float] | None) -> None:
        if window is None:
            self.figures.fit(self.place())
        elif window != tuple(round(value, 1) for value in self.figures.view):
            self.figures.go(window)

    def _viewed(self) -> None:
        """Follow the view once all numbers of a new one have come in."""
        if not self._looking:
            self._looking = True
            self.session.deliver(self._look)

    def _look(self) -> None:
        self._looking = False
        if self.session.view is not self:
            return
        moved = self.figures.moved
        view = tuple(round(value, 1) for value in self.figures.view) if moved else None
        if view != self.session.state.window:
            self.session.state.window = view
        if self.figures.look() and self._wind:
            self._request()

    @property
    def _wind(self) -> bool:
        """Whether the wind is drawn."""
        session = self.session
        few = len(self._arrangement.maps) < 3
        return bool(session.state.wind and few and session.world.winds)

    def _request(self) -> None:
        session, figures = self.session, self.figures
        where = figures.projection, figures.extent
        what = self._arrangement, self.layers(), session.state.frame, where, self._wind
        session.frames.submit(partial(self._compute, *what), self._apply)

    def _compute(
        self,
        arrangement: Arrangement,
        layers: tuple[str, ...],
        index: int,
        where: tuple[Projection, tuple[float, float, float, float]],
        wind: bool,
    ) -> tuple[Any, ...]:
        service = self.session.service
        frame = service.frame(layers, index, busy=self.session.computing, wind=wind)
        limits = [service.limits(layer, index) for layer in layers]
        lines = None
        if frame.wind is not None:
            across = 44 if len(arrangement.maps) == 1 else 30
            chosen, extent = where
            grid = service.source.grid
            lines = streaks(chosen, grid, frame.wind[0], frame.wind[1], extent, across)
        return arrangement, layers, index, where, frame, limits, lines

    def _apply(self, result: tuple[Any, ...]) -> None:
        arrangement, layers, index, where, frame, limits, wind = result
        session = self.session
        if session.view is not self or arrangement != self._arrangement:
            return
        if wind is not None and where != (self.figures.projection, self.figures.extent):
            return  # a newer request is on its way
        late = {
            role
            for role, layer in zip(arrangement.maps, layers, strict=True)
            if layer in frame.waiting
        }
        self.figures.show(frame.fields, frame.sites, wind, keep=late)
        self._dress(layers, index, frame, limits)
        session.painted(index, frame.faults)
        if frame.waiting:
            session.wait_for(set().union(*frame.waiting.values()), index, self._request)
        elif session.bar.playing:
            session.service.look_ahead(layers, index)

    def _dress(self, layers: tuple[str, ...], index: int, frame: Frame, limits: list[Any]) -> None:
        """Titles, scales and hover texts of a frame."""
        session, state = self.session, self.session.state
        t = session.t
        scales: dict[str, dict[str, Any]] = {}
        hover = {}
        titles = []
        before = self.maps.facts.get("titles", [])
        roles = self._arrangement.maps
        for n, (role, layer, (low, high)) in enumerate(zip(roles, layers, limits, strict=True)):
            shown = display(layer)
            kind = derived(layer)
            if kind == DIFFERENCE and state.spread is not None:
                low, high = -state.spread, state.spread
            elif shown.unit == "ppm" and not kind and state.co2 is not None:
                low, high = state.co2
            self.figures.set_scale(role, low, high, diverging=shown.diverging)
            slot = "difference" if shown.diverging else "value"
            scales.setdefault(slot, colour_bar(session.quantity(layer), shown, low, high))
            name = session.layer_name(layer)
            hover[role] = (name, shown.unit, shown.digits, kind != "")
            waiting = layer in frame.waiting
            note = t("shell.computing") if waiting else self._note(layer)
            if layer in frame.faults:
                note = t("map.absent")
            when = session.caption(layer, index)
            if waiting and n < len(before) and before[n]["when"]:
                when = before[n]["when"]  # the last frame stays, and its time with it
            titles.append(
                {
                    "title": f"{name} · {session.region_name()}",
                    "when": when,
                    "note": note,
                    "waiting": waiting,
                }
            )
        titles += self.plot_titles()
        self.maps.tell(titles=titles, bars=[scales.get("value"), scales.get("difference")])
        self.figures.set_hover(hover, t("map.station"))

    def plot_titles(self) -> Sequence[dict[str, Any]]:
        """Titles of the panels that are no maps."""
        return ()

    def _note(self, layer: str) -> str:
        """RMSE of a difference map, when the numbers are those of the frame."""
        found = self.session.numbers
        if not layer.startswith(DIFFERENCE) or found is None:
            return ""
        if found.index != self.session.state.frame:
            return ""
        key = self.session.state.region
        value = found.scores.get(("rmse", layer.removeprefix(DIFFERENCE), key))
        return "" if value is None else f"RMSE {number(value, 2)} ppm"
