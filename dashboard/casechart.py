"""The chart of a case: daily means of the truth and of models over its days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, DatetimeTicker, FixedTicker, HoverTool, Span
from numpy.typing import NDArray

from co2net.evaluation.cases import Case, CaseSeries
from co2net.inference import TRUTH
from dashboard.choices import CASE_LINES as LINES
from dashboard.maps.figures import tooltip
from dashboard.plots import chart, paint, span
from dashboard.theme import line

MARKS = 4
"""Most moments that are marked."""
FEW = 60
"""Up to so many days the lines have dots."""
_DAY = 86.4e6  # ms


class CaseChart:
    """One chart of a session; months that are compared stand side by side.

    Parameters
    ----------
    name
        By which tests find it.
    column
        First letter of the columns of its data.
    label
        Of the axis of values.
    unit
        Of the values.
    digits
        Decimals of the hover text.
    least
        Least height of the axis, so that noise stays small.
    lang
        Language of the axis of time.
    zero
        Whether zero must be on the axis of values.
    """

    def __init__(
        self,
        name: str,
        column: str,
        label: str,
        unit: str,
        digits: int,
        least: float,
        lang: str,
        *,
        zero: bool = False,
    ) -> None:
        self.plot = plot = chart(name, y_label=label, time=lang)
        self._column, self._unit, self._digits = column, unit, digits
        self._least, self._zero = least, zero
        self._wide = lang == "zh"  # whose days take more room
        self._data = ColumnDataSource(self._nothing())
        keys = [f"{column}{n}" for n in range(LINES)]
        self._lines = [
            plot.line("day", key, source=self._data, line_width=1.9 if n else 2.6)
            for n, key in enumerate(keys)
        ]
        self._dots = [
            plot.scatter("day", key, source=self._data, size=5, line_color=None) for key in keys
        ]
        self._now = Span(dimension="height", line_width=1.5, line_color="#ff2d78")
        self._marks = [
            Span(dimension="height", line_width=1, line_dash="dotted", visible=False)
            for _ in range(MARKS)
        ]
        for one in (self._now, *self._marks):
            plot.add_layout(one)
        self._hover = HoverTool(renderers=[self._lines[0]], mode="vline")
        plot.add_tools(self._hover)

    def _nothing(self) -> dict[str, Any]:
        empty: dict[str, Any] = {"day": np.array([]), "label": []}
        return empty | {f"{self._column}{n}": np.array([]) for n in range(LINES)}

    # -- where --------------------------------------------------------------------------

    @staticmethod
    def places(case: Case, days: NDArray[np.datetime64]) -> NDArray[np.float64]:
        """Where days lie on the axis (ms)."""
        stamps = days.astype("datetime64[D]").astype(np.float64) * _DAY + _DAY / 2
        for n, (start, _) in enumerate(case.spans if case.months else ()):
            mine = days.astype("datetime64[M]") == start.astype("datetime64[M]")
            stamps[mine] += n * 40 * _DAY - float(start.astype(np.int64)) * _DAY
        return stamps

    def _stamp(self, case: Case, time: np.datetime64) -> float:
        day = time.astype("datetime64[D]")
        hour = float((time - day).astype(np.int64)) * 1e3
        return float(self.places(case, np.array([day]))[0]) - _DAY / 2 + hour

    def _span_axis(self, case: Case, days: NDArray[np.float64]) -> None:
        pad = max(0.02 * (days[-1] - days[0]), 0.5 * _DAY)
        self.plot.x_range.update(start=float(days[0] - pad), end=float(days[-1] + pad))
        axis = self.plot.xaxis[0]
        if case.months:
            middles = [(n * 40 + 15.5) * _DAY for n in range(len(case.months))]
            axis.ticker = FixedTicker(ticks=middles)
            axis.major_label_overrides = dict(zip(middles, case.months, strict=True))
        else:
            axis.ticker = DatetimeTicker(desired_num_ticks=4 if self._wide else 5)
            axis.major_label_overrides = {}

    # -- what ---------------------------------------------------------------------------

    def clear(self, case: Case, days: NDArray[np.datetime64]) -> None:
        """An empty chart of a case's days."""
        self._span_axis(case, self.places(case, days))
        self._data.data = self._nothing()

    def show(self, found: CaseSeries) -> None:
        """Draw series, the truth first."""
        days, names = self.places(found.case, found.days), list(found.values)
        data: dict[str, Any] = {"day": days, "label": found.days.astype(str)}
        for n in range(LINES):
            there = n < len(names)
            data[f"{self._column}{n}"] = (
                found.values[names[n]] if there else np.full(days.size, np.nan)
            )
        # Lines break between months that are compared.
        cuts = np.flatnonzero(np.diff(days) > 5 * _DAY) + 1
        for name in data:
            data[name] = np.insert(
                data[name], cuts, data[name][cuts - 1] if name in ("day", "label") else np.nan
            )
        self._data.data = data
        for dots in self._dots:
            dots.visible = found.days.size <= FEW
        span(self.plot.y_range, list(found.values.values()), self._least, zero=self._zero)
        self._span_axis(found.case, days)

    def mark(self, case: Case, now: np.datetime64, moments: Sequence[np.datetime64]) -> None:
        """Lines at the time of the page, and at the case's moments."""
        self._now.location = self._stamp(case, now)
        for n, one in enumerate(self._marks):
            one.visible = n < len(moments)
            if n < len(moments):
                one.location = self._stamp(case, moments[n])

    def paint(self, theme: str, labels: Mapping[str, str]) -> None:
        """Colours of the axes and of the series, and the hover text.

        Parameters
        ----------
        labels
            Name -> what it is called, in the order of the series.
        """
        paint(self.plot, theme)
        for strokes, dots, name in zip(self._lines, self._dots, labels, strict=False):
            drawn = line(name, theme)
            strokes.glyph.update(line_color=drawn.colour, line_dash=list(drawn.dash))
            dots.glyph.update(fill_color=drawn.colour)
        for one in self._marks:
            one.line_color = line(TRUTH, theme).colour
        decimals = "0" * self._digits
        rows = [
            (label, f"@{self._column}{n}{{0.{decimals}}} {self._unit}")
            for n, label in enumerate(list(labels.values())[:LINES])
        ]
        self._hover.tooltips = tooltip("@label", rows, theme)
