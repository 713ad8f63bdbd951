"""The inspector: series of a point or region around the chosen time, and the numbers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import panel as pn
from bokeh.models import ColumnDataSource, DatetimeTickFormatter, HoverTool, Range1d, Span
from bokeh.plotting import figure
from numpy.typing import NDArray

from co2net.errors import UserError
from dashboard.components import InspectorPart
from dashboard.maps.layers import number
from dashboard.maps.projection import format_point
from dashboard.numbers import Numbers
from dashboard.service import Latest, Service
from dashboard.theme import TOKENS, line

if TYPE_CHECKING:
    from dashboard.session import Session

DAYS = 5
"""Days before and after the chosen time that the series shows."""
_SLOTS = 4  # the truth and up to three models


class Inspector:
    """One session's inspector."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._work: Latest[Any] = Latest(session.service.slow, session.deliver)
        empty: dict[str, Any] = {"time": np.array([], "datetime64[ms]")}
        self._data = ColumnDataSource(empty | {f"s{n}": np.array([]) for n in range(_SLOTS)})
        self._wanted: tuple[Any, ...] = ()
        self._window = (0, -1)
        self._plot = self._figure()
        self.part = InspectorPart(
            self._said,
            strings=session.t.section("inspector"),
            series=pn.pane.Bokeh(self._plot, sizing_mode="stretch_both"),
            sizing_mode="stretch_both",
        )

    def _figure(self) -> figure:
        plot = figure(
            x_axis_type="datetime",
            x_range=Range1d(0, 1),
            y_range=Range1d(0, 1),
            sizing_mode="stretch_both",
            toolbar_location=None,
            tools="",
            min_width=50,
            min_height=50,
            min_border=2,
            outline_line_color=None,
            name="series",
        )
        plot.background_fill_alpha = plot.border_fill_alpha = 0
        plot.xaxis.formatter = DatetimeTickFormatter(
            days="%d %b", hours="%H:%M", months="%d %b", hourmin="%H:%M"
        )
        plot.xaxis.ticker.desired_num_ticks = 5
        plot.yaxis.ticker.desired_num_ticks = 5
        plot.yaxis.axis_label = self.session.t("map.co2") + " (ppm)"
        plot.yaxis.axis_label_text_font_style = "normal"
        plot.axis.axis_label_text_font_size = plot.axis.major_label_text_font_size = "11px"
        plot.xgrid.visible = False
        plot.axis.minor_tick_line_color = None
        self._lines = [
            plot.line("time", f"s{n}", source=self._data, line_width=2.4 if n == 0 else 1.8)
            for n in range(_SLOTS)
        ]
        self._now = Span(dimension="height", line_width=1.5, line_color="#ff2d78")
        plot.add_layout(self._now)
        self._hover = HoverTool(renderers=[self._lines[0]], mode="vline")
        plot.add_tools(self._hover)
        return plot

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
        index = state.frame
        first, last = self._window
        # Stay while the time is well within the window, so that stepping does not shift it.
        margin = (last - first) // 8
        inside = first + margin <= index <= last - margin
        wanted = (self._names(), state.point, state.region)
        if inside and wanted == self._wanted:
            return
        source = session.service.source
        reach = int(np.timedelta64(DAYS, "D") / source.step)
        window = max(0, index - reach), min(source.time.size - 1, index + reach)
        self._wanted, self._window = wanted, window
        first, last = source.time[list(window)].astype("datetime64[ms]").astype(np.int64)
        self._plot.x_range.update(start=float(first), end=float(last))
        names = self._names()
        for some in (names[:1], names):  # the truth is there at once
            work = partial(_series, session.service, some, state.point, state.region, window)
            self._work.submit(work, self._apply)

    def _apply(self, result: tuple[tuple[str, ...], Any, NDArray[np.float32]]) -> None:
        names, times, values = result
        data: dict[str, Any] = {"time": times.astype("datetime64[ms]")}
        for n in range(_SLOTS):
            there = n < len(names)
            data[f"s{n}"] = values[n] if there else np.full(times.size, np.nan, np.float32)
        self._data.data = data
        self._fit(values)
        rows = [("", "@time{%F %H:%M} UTC")]
        for n, name in enumerate(names):
            rows.append((self.session.layer_name(name), f"@s{n}{{0.00}} ppm"))
        self._hover.update(tooltips=rows, formatters={"@time": "datetime"})
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
        token = TOKENS[theme]
        for renderer, name in zip(self._lines, self._names(), strict=False):
            drawn = line(name, theme)
            renderer.glyph.update(line_color=drawn.colour, line_dash=list(drawn.dash))
        plot = self._plot
        for axis in plot.axis:
            axis.update(
                axis_label_text_color=token["muted"],
                major_label_text_color=token["muted"],
                axis_line_color=token["line"],
                major_tick_line_color=token["line"],
            )
        plot.ygrid.grid_line_color = token["line"]

    def mark(self, index: int) -> None:
        """Mark the time on screen."""
        time = self.session.service.source.time[index]
        self._now.location = float(time.astype("datetime64[ms]").astype(np.int64))

    def show_numbers(self, numbers: Numbers) -> None:
        """Values now, and the table where the page has none of its own."""
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
        self.part.tell(
            legend=legend,
            numbers="" if session.state.page == "compare" else session.table(numbers),
        )

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
) -> tuple[tuple[str, ...], Any, NDArray[np.float32]]:
    """Series of a point or region; NaN where there is none; safe in any thread."""
    times = service.source.time[window[0] : window[1] + 1]
    out = np.full((len(names), times.size), np.nan, dtype=np.float32)
    for row, name in zip(out, names, strict=True):
        try:
            row[:] = (
                service.engine.region_series(name, service.mask(region), times)
                if point is None
                else service.engine.series(name, *point, times)
            )
        except UserError:
            continue
    return names, times, out
