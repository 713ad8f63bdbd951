"""What Explore and Compare share: panels with maps, fed a frame at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import panel as pn
import panel_material_ui as pmui

from co2net.regions import box_region, region, regions
from dashboard.components import Board
from dashboard.maps.figures import MapFigures
from dashboard.maps.layers import DIFFERENCE, colour_bar, display, number
from dashboard.maps.projection import Raster
from dashboard.numbers import Numbers
from dashboard.pages import FURNITURE
from dashboard.service import Frame

if TYPE_CHECKING:
    from dashboard.session import Session


class MapView:
    """A page of maps in one session.

    Subclasses say which panels there are, what they show and which models are judged.
    """

    roles: Sequence[str] = ()
    layout = "single"
    columns = 480
    inspector_open = True
    furniture = FURNITURE

    def __init__(self, session: Session) -> None:
        self.session = session
        source = session.service.source
        self.figures = MapFigures(
            self.roles,
            source.grid,
            source.stations,
            self.columns,
            on_tap=lambda lat, lon: session.choose_point((lat, lon)),
            on_box=self._boxed,
            on_view=self._viewed,
        )
        self._panes = [
            pn.pane.Bokeh(plot, sizing_mode="stretch_both") for plot in self.figures.figures
        ]
        self.board = Board(
            self._board_said,
            strings=session.t.section("map"),
            layout=self.layout,
            roles=list(self.roles),
            figures=self._panes,
            sizing_mode="stretch_both",
        )
        self.board.param.watch(lambda event: self.figures.set_drawing(event.new), "drawing")
        self._region = self._region_select()
        self.toolbar = pn.FlexBox(
            *self.controls(),
            self._region,
            align_items="center",
            gap="8px",
            flex_wrap="wrap",
            sizing_mode="stretch_width",
            margin=0,
        )
        waiting = escape(session.t("shell.computing"))
        self.board.tell(numbers=f'<p class="empty">{waiting}</p>')
        self._fresh = True
        self._empty = True
        self._looking = False

    # -- for subclasses -----------------------------------------------------------------

    def layers(self) -> tuple[str, ...]:
        """What each panel shows."""
        raise NotImplementedError

    def judged(self) -> tuple[str, ...]:
        """Models of the table of numbers."""
        raise NotImplementedError

    def controls(self) -> list[Any]:
        """Widgets of the tool bar, before the region."""
        raise NotImplementedError

    def sync(self) -> None:
        """Bring the widgets in line with the state."""

    # -- controls -----------------------------------------------------------------------

    def select(self, name: str, label: str, options: dict[str, Any], width: int) -> pmui.Select:
        """A drop-down list bound to a parameter of the state."""
        grouped = any(isinstance(value, dict) for value in options.values())
        widget = pmui.Select(
            label=label,
            size="small",
            width=width,
            margin=0,
            value=getattr(self.session.state, name),
            css_classes=[f"pick-{name}"],
            **({"groups": options} if grouped else {"options": options}),
        )
        widget.param.watch(lambda event: self._picked(name, event.new), "value")
        return widget

    def _picked(self, name: str, value: Any) -> None:
        if value is not None and value != getattr(self.session.state, name):
            self.session.state.param.update(**{name: value})

    def _region_options(self) -> dict[str, str]:
        t = self.session.t
        options = {t.or_else(f"region.{key}", key): key for key in regions()}
        key = self.session.state.region
        if key not in regions():
            options[self.session.region_name()] = key
        return options

    def _region_select(self) -> pmui.Select:
        return self.select("region", self.session.t("tools.region"), self._region_options(), 172)

    def _board_said(self, message: dict[str, Any]) -> None:
        if "zoom" in message:
            self.figures.zoom(2.0 if message["zoom"] == "in" else 0.5)
        elif "whole" in message:
            self.figures.fit()

    def _boxed(self, west: float, south: float, east: float, north: float) -> None:
        key = box_region(round(west, 1), round(south, 1), round(east, 1), round(north, 1)).key
        self.board.drawing = False
        self.session.state.param.update(region=key, point=None)
        self.session.shell.inspector_open = True

    # -- following the state ------------------------------------------------------------

    def update(self, changed: set[str]) -> None:
        """See `dashboard.pages.View`."""
        state = self.session.state
        fresh, self._fresh = self._fresh, False
        if fresh or changed & {"projection", "cells"}:
            self.figures.set_projection(state.projection, smooth=not state.cells)
        if fresh or changed & {"theme"}:
            self.figures.set_theme(state.theme)
        if fresh or changed & {"stations"}:
            self.figures.set_stations(state.stations)
        if fresh or changed & {"point", "projection"}:
            self.figures.set_point(state.point)
        if fresh or changed & {"region", "projection"}:
            chosen = region(state.region)
            self.figures.set_region(chosen)
            self.figures.fit(chosen)
            self._region.param.update(options=self._region_options(), value=state.region)
        self.sync()
        self._request()

    def _viewed(self) -> None:
        """Ask for sharper pixels once all numbers of a new view have come in."""
        if not self._looking:
            self._looking = True
            self.session.deliver(self._look)

    def _look(self) -> None:
        self._looking = False
        if self.figures.look():
            self._request()

    def _request(self) -> None:
        session = self.session
        what = self.layers(), session.state.frame, self.figures.raster
        if self._empty:
            # The truth is there at once; models may take a while when they are asked first.
            self._empty = False
            session.frames.submit(partial(self._compute, *what, first=True), self._apply)
        session.frames.submit(partial(self._compute, *what), self._apply)

    def _compute(
        self, layers: tuple[str, ...], index: int, raster: Raster, *, first: bool = False
    ) -> tuple[Any, ...]:
        service = self.session.service
        frame = service.frame(layers, index, computed=not first)
        limits = [service.limits(layer, index) for layer in layers]
        return layers, index, raster, frame, limits, raster.project(frame.fields)

    def _apply(self, result: tuple[Any, ...]) -> None:
        layers, index, raster, frame, limits, images = result
        session = self.session
        if session.view is not self or raster is not self.figures.raster:
            return  # a newer request is on its way
        self.figures.show(images, frame.fields)
        self._dress(layers, index, frame, limits)
        if frame.missing:
            return
        session.painted(index, frame.faults)
        if session.bar.playing:
            session.service.look_ahead(layers, index)

    def _dress(self, layers: tuple[str, ...], index: int, frame: Frame, limits: list[Any]) -> None:
        """Titles, scales and hover texts of a frame."""
        session, state = self.session, self.session.state
        t = session.t
        scales: dict[str, dict[str, Any]] = {}
        hover = {}
        titles = []
        for role, layer, (low, high) in zip(self.roles, layers, limits, strict=True):
            shown = display(layer)
            difference = layer.startswith(DIFFERENCE)
            if difference and state.spread is not None:
                low, high = -state.spread, state.spread
            elif shown.unit == "ppm" and not difference and state.co2 is not None:
                low, high = state.co2
            self.figures.set_scale(role, low, high, diverging=shown.diverging)
            kind = "difference" if shown.diverging else "value"
            scales.setdefault(kind, colour_bar(session.quantity(layer), shown, low, high))
            name = session.layer_name(layer)
            hover[role] = (name, shown.unit, shown.digits, difference)
            note = self._note(layer)
            if layer in frame.faults:
                note = t("map.absent")
            elif layer in frame.missing:
                note = t("shell.computing")
            titles.append(
                {
                    "title": f"{name} · {session.region_name()}",
                    "when": session.caption(layer, index),
                    "note": note,
                }
            )
        self.board.tell(titles=titles, bars=[scales.get("value"), scales.get("difference")])
        self.figures.set_hover(hover, t("map.station"))

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

    def judged_now(self, numbers: Numbers) -> None:
        """Show new numbers where the page has a place for them."""
        titles = [dict(title) for title in self.board.facts.get("titles", [])]
        for title, layer in zip(titles, self.layers(), strict=False):
            if layer.startswith(DIFFERENCE) and title["note"] != self.session.t("map.absent"):
                title["note"] = self._note(layer)
        self.board.tell(titles=titles)
        if self.layout == "compare":
            self.board.tell(numbers=self.session.table(numbers))
