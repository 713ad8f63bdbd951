"""The inspector: series of a point or region around the chosen time, and the numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import panel as pn
from bokeh.models import ColumnDataSource, HoverTool, Span
from bokeh.plotting import figure
from numpy.typing import NDArray

from co2net.errors import UserError
from dashboard.components import InspectorPart
from dashboard.maps.figures import tooltip
from dashboard.maps.layers import number
from dashboard.maps.projection import format_point
from dashboard.numbers import Numbers
from dashboard.plots import chart, paint, pane
from dashboard.service import Latest, Service
from dashboard.state import MOST
from dashboard.theme import line

if TYPE_CHECKING:
    from dashboard.session import Session

_SLOTS = 1 + MOST  # the truth and the models


class Inspector:
    """One session's inspector."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._work: Latest[Any] = Latest(session.service.slow, session.deliver)
        empty: dict[str, Any] = {"time": np.array([], "datetime64[ms]")}
        self._data = ColumnDataSource(empty | {f"s{n}": np.array([]) for n in range(_SLOTS)})
        self._wanted: tuple[Any, ...] = ()
        self._placed: set[str] = set()
        self._plot = self._figure()
        names = ("at", *(f"s{n}" for n in range(_SLOTS)))
        self._bins = ColumnDataSource({name: np.array([]) for name in names})
        self._spread, self._steps = self._histogram()
        self.part = InspectorPart(
            self._said,
            strings=session.t.section("inspector"),
            series=pn.Column(sizing_mode="stretch_both", margin=0),
            histogram=pn.Column(sizing_mode="stretch_both", margin=0),
            sizing_mode="stretch_both",
        )
        session.when_there(self.opened)

    def _figure(self) -> figure:
        label = self.session.t("map.co2") + " (ppm)"
        plot = chart("series", "", label, time=self.session.state.lang)
        self._lines = [
            plot.line("time", f"s{n}", source=self._data, line_width=2.4 if n == 0 else 1.8)
            for n in range(_SLOTS)
        ]
        self._now = Span(dimension="height", line_width=1.5, line_color="#ff2d78")
        plot.add_layout(self._now)
        self._hover = HoverTool(renderers=[self._lines[0]], mode="vline")
        plot.add_tools(self._hover)
        return plot

    def _histogram(self) -> tuple[figure, list[Any]]:
        t = self.session.t
        plot = chart("histogram", t("map.co2") + " (ppm)", t("inspector.share"))
        steps = [plot.step("at", f"s{n}", source=self._bins, mode="after") for n in range(_SLOTS)]
        return plot, steps

    # -- following the state ------------------------------------------------------------

    def update(self, changed: set[str]) -> None:
        """Follow the view's state; see `dashboard.pages.View.update`."""
        if changed & {"theme"}:
            self._paint()
        if changed - {"frame"} or not self.session.bar.playing:
            self.refresh()

    def _names(self) -> tuple[str, ...]:
        return ("truth", *self.session.view.judged())[:_SLOTS]

    def refresh(self) -> None:
        """Ask for the series, unless they are there already."""
        session = self.session
        state, t = session.state, session.t
        if state.point is None:
            place, subtitle = session.region_name(), t("inspector.mean")
        else:
            place, subtitle = format_point(*state.point), t("inspector.cell")
        self.part.tell(place=place, subtitle=subtitle, chosen=state.point is not None)
        window = session.stretch()
        names = self._names()
        wanted = names, state.point, state.region, window
        if wanted == self._wanted:
            return
        self._wanted = wanted
        ends = session.service.source.time[list(window)]
        first, last = ends.astype("datetime64[ms]").astype(np.int64)
        self._plot.x_range.update(start=float(first), end=float(last))

        def tell(result: Any) -> None:
            session.deliver(partial(self._apply, wanted, result))

        work = partial(
            _series,
            session.service,
            *wanted,
            tell=tell,
            stale=lambda: session.closed or self._wanted != wanted,
        )
        self._work.submit(work, lambda _: None, session.service.workers(names))

    def _apply(self, wanted: Any, result: tuple[Any, NDArray[np.float32]]) -> None:
        if wanted != self._wanted:
            return
        names = wanted[0]
        times, values = result
        data: dict[str, Any] = {"time": times.astype("datetime64[ms]")}
        for n in range(_SLOTS):
            there = n < len(names)
            data[f"s{n}"] = values[n] if there else np.full(times.size, np.nan, np.float32)
        self._data.data = data
        self._fit(values)
        self._paint()
        self.mark(self.session.state.frame)

    def _fit(self, values: NDArray[np.float32]) -> None:
        """An axis that holds the series; at least 2 ppm, so that noise does not look like news."""
        seen = values[np.isfinite(values)]
        if seen.size:
            low, high = float(seen.min()), float(seen.max())
            pad = max(0.06 * (high - low), 1.0 - (high - low) / 2, 0.0)
            self._plot.y_range.update(start=low - pad, end=high + pad)

    def _paint(self) -> None:
        theme = self.session.state.theme
        rows = []
        for n, name in enumerate(self._names()):
            drawn = line(name, theme)
            for renderer in (self._lines[n], self._steps[n]):
                renderer.glyph.update(line_color=drawn.colour, line_dash=list(drawn.dash))
            rows.append((self.session.layer_name(name), f"@s{n}{{0.00}} ppm"))
        self._hover.update(
            tooltips=tooltip("@time{%F %H:%M} UTC", rows, theme),
            formatters={"@time": "datetime"},
        )
        paint(self._plot, theme)
        paint(self._spread, theme)

    def opened(self) -> None:
        """Show what came while the inspector was closed."""
        self._put(self.part.series, self._plot)
        self.mark(self.session.state.frame)
        if self.session.numbers is not None:
            self.show_numbers(self.session.numbers)

    def _put(self, place: pn.Column, plot: figure) -> None:
        """Put a chart into its place when the inspector is first seen with it."""
        if self._seen and plot.name not in self._placed:
            self._placed.add(plot.name)
            self.session.when_there(partial(place.append, pane(plot)))

    @property
    def _seen(self) -> bool:
        return bool(self.session.shell.inspector_open)

    def mark(self, index: int) -> None:
        """Mark the time on screen; the browser draws the whole chart for it."""
        if not self._seen:
            return
        time = self.session.service.source.time[index]
        self._now.location = float(time.astype("datetime64[ms]").astype(np.int64))

    def show_numbers(self, numbers: Numbers) -> None:
        """Values now, and the table where the page has none of its own."""
        if not self._seen:
            return
        session = self.session
        theme = session.state.theme
        truth = numbers.here.get("truth", float("nan"))
        legend = []
        for name in ("truth", *numbers.models):
            drawn = line(name, theme)
            value = numbers.here.get(name, float("nan"))
            legend.append(
                {
                    "name": session.layer_name(name),
                    "colour": drawn.colour,
                    "dash": ",".join(str(v) for v in drawn.dash),
                    "value": f"{number(value, 2)} ppm",
                    "delta": "" if name == "truth" else number(value - truth, 2, signed=True),
                }
            )
        self._draw_histogram(numbers)
        self.part.tell(
            legend=legend,
            spread=numbers.edges is not None,
            numbers="" if session.state.page == "compare" else session.table(numbers),
        )

    def _draw_histogram(self, numbers: Numbers) -> None:
        names = self._names()
        edges = numbers.edges
        if edges is None:
            return
        blank = np.full(edges.size, np.nan)
        data: dict[str, Any] = {"at": edges}
        for n in range(_SLOTS):
            found = numbers.shares.get(names[n]) if n < len(names) else None
            data[f"s{n}"] = blank if found is None else np.append(100 * found, 0.0)
        self._bins.data = data
        self._put(self.part.histogram, self._spread)
        self._spread.x_range.update(start=float(edges[0]), end=float(edges[-1]))
        top = max((float(100 * share.max()) for share in numbers.shares.values()), default=1.0)
        self._spread.y_range.update(start=0.0, end=1.05 * top)

    def _said(self, message: dict[str, Any]) -> None:
        session = self.session
        if message.get("clear"):
            session.choose_point(None)
            return
        try:
            lat, lon = float(message["lat"]), float(message["lon"])
        except (KeyError, TypeError, ValueError):
            lat = lon = float("nan")
        if not (abs(lat) <= 90 and abs(lon) <= 360):
            session.notify(session.t("notice.point"))
            return
        session.choose_point((lat, (lon + 180.0) % 360.0 - 180.0))


def _series(
    service: Service,
    names: tuple[str, ...],
    point: tuple[float, float] | None,
    region: str,
    window: tuple[int, int],
    tell: Callable[[tuple[Any, NDArray[np.float32]]], None],
    stale: Callable[[], bool],
) -> None:
    """Tell the series of a point or region, name by name; NaN where there is none.

    Safe in any thread.
    """
    times = service.source.time[window[0] : window[1] + 1]
    out = np.full((len(names), times.size), np.nan, dtype=np.float32)

    def check(share: float, what: str) -> None:
        if stale():
            raise _StaleError

    for row, name in zip(out, names, strict=True):
        try:
            row[:] = (
                service.engine.region_series(name, service.mask(region), times, check)
                if point is None
                else service.engine.series(name, *point, times, check)
            )
        except UserError:
            continue
        except _StaleError:
            return
        tell((times, out.copy()))


class _StaleError(Exception):
    """Another place has been chosen meanwhile."""
