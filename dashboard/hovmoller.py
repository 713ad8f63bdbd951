"""Latitude against time: zonal means of a layer over a stretch of time, as one picture."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, LinearColorMapper, Range1d, Span
from numpy.typing import NDArray

from co2net import diagnostics
from co2net.errors import UserError
from dashboard.components import Board
from dashboard.maps.figures import tooltip
from dashboard.maps.layers import colour_bar, derived, display
from dashboard.plots import chart, paint, pane
from dashboard.service import Latest, Service
from dashboard.theme import palette

if TYPE_CHECKING:
    from dashboard.session import Session

PIXELS = (900, 180)


class Hovmoller:
    """One session's picture, of the region and the span that the session shows."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._work: Latest[Any] = Latest(session.service.slow, session.deliver)
        self._wanted: tuple[Any, ...] = ()
        empty = np.full((2, 2), np.nan)
        self._data = ColumnDataSource(
            {"image": [empty], "x": [0.0], "y": [-90.0], "dw": [1.0], "dh": [180.0]}
        )
        self._mapper = LinearColorMapper(
            palette=palette("sequential"), low=0.0, high=1.0, nan_color="rgba(0,0,0,0)"
        )
        t = session.t
        plot = chart("hovmoller", "", t("map.latitude"), time=session.state.lang)
        plot.y_range = Range1d(-90, 90)
        time = session.service.source.time[list(session.stretch())].astype("datetime64[ms]")
        first, last = time.astype(np.int64)
        plot.x_range.update(start=float(first), end=float(last))
        plot.yaxis.ticker = FixedTicker(ticks=[-90, -60, -30, 0, 30, 60, 90])
        image = plot.image(
            image="image",
            x="x",
            y="y",
            dw="dw",
            dh="dh",
            source=self._data,
            color_mapper=self._mapper,
        )
        self._hover = HoverTool(renderers=[image])
        plot.add_tools(self._hover)
        self._now = Span(dimension="height", line_width=1.5, line_color="#ff2d78")
        plot.add_layout(self._now)
        self._plot = plot
        self.board = Board(
            strings=t.section("map"),
            layout="single",
            roles=["hovmoller"],
            maps=0,
            figures=[pane(plot)],
            sizing_mode="stretch_both",
        )

    def update(self, layer: str) -> None:
        """Follow the view's state; what is there already is not asked for again."""
        session, state = self.session, self.session.state
        paint(self._plot, state.theme)
        time = session.service.source.time
        self._now.location = float(time[state.frame].astype("datetime64[ms]").astype(np.int64))
        wanted = layer, state.region, session.stretch(), state.co2, state.spread, state.theme
        if wanted == self._wanted:
            return
        self._wanted = wanted
        self._title(layer, session.t("shell.computing"))
        work = partial(_means, session.service, layer, state.region, session.stretch())
        pool = session.service.workers([layer])
        self._work.submit(work, partial(self._apply, wanted), pool)

    def _title(self, layer: str, note: str = "") -> None:
        session = self.session
        first, last = session.stretch()
        when = f"{session.quantity(layer)} ({display(layer).unit}) · {session.when(first)} – "
        when += session.when(last)
        if session.service.simulated:
            when += " · " + session.t("map.simulated")
        name = session.layer_name(layer)
        title = session.t("map.zonal_mean", what=name, where=session.region_name())
        self.board.tell(titles=[{"title": title, "when": when, "note": note}])

    def _apply(self, wanted: tuple[Any, ...], image: NDArray[np.float64] | str) -> None:
        if wanted != self._wanted:
            return
        layer, _, (first, last), *_ = wanted
        if isinstance(image, str):
            self._title(layer, self.session.t("map.absent"))
            self.session.notify(image)
            return
        session, state = self.session, self.session.state
        source = session.service.source
        ends = source.time[[first, last]].astype("datetime64[ms]").astype(np.int64)
        step = int(source.step / np.timedelta64(1, "ms"))
        x0, x1 = float(ends[0]) - step / 2, float(ends[1]) + step / 2
        edges = source.grid.lat_edges
        self._data.data = {
            "image": [image],
            "x": [x0],
            "y": [float(edges[0])],
            "dw": [x1 - x0],
            "dh": [float(edges[-1] - edges[0])],
        }
        self._plot.x_range.update(start=x0, end=x1)
        shown = display(layer)
        low, high = session.service.limits(layer, state.frame)
        if derived(layer) == "diff:" and state.spread is not None:
            low, high = -state.spread, state.spread
        elif shown.unit == "ppm" and not derived(layer) and state.co2 is not None:
            low, high = state.co2
        colours = palette("diverging" if shown.diverging else "sequential")
        self._mapper.update(low=low, high=high, palette=list(colours))
        slot = 1 if shown.diverging else 0
        bar = colour_bar(session.quantity(layer), shown, low, high)
        self.board.tell(bars=[bar if slot == 0 else None, bar if slot else None])
        rows = [
            (session.t("map.latitude"), "$y{0.0}°"),
            (session.layer_name(layer), f"@image{{0.{'0' * shown.digits}}} {shown.unit}"),
        ]
        self._hover.update(
            tooltips=tooltip("$x{%F %H:%M} UTC", rows, state.theme), formatters={"$x": "datetime"}
        )
        self._title(layer)


def _means(
    service: Service, layer: str, region: str, stretch: tuple[int, int]
) -> NDArray[np.float64] | str:
    """The picture, or why there is none; safe in any thread."""
    times = service.source.time[stretch[0] : stretch[1] + 1]
    shown = display(layer)
    try:
        values = diagnostics.hovmoller(service.engine, layer, times, service.mask(region))
    except UserError as error:
        return str(error)
    if not np.isfinite(values).any():
        return f"{layer}: nothing from {times[0]} to {times[-1]}"
    return diagnostics.image(values * shown.factor + shown.shift, *PIXELS).astype(np.float32)
