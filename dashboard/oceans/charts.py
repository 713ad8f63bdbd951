"""Charts of the panels of Oceans: lines and bars of the truth and of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, Range1d, Span
from bokeh.plotting import figure
from numpy.typing import NDArray

from dashboard.maps.figures import tooltip
from dashboard.maps.layers import number
from dashboard.plots import paint, span
from dashboard.state import MOST
from dashboard.theme import TOKENS, line

Float = NDArray[np.float64]

SERIES = 1 + MOST
"""Most lines or bars: the truth and the models that can be compared."""
_FEW = 60
"""Up to so many points a line has dots."""
_HATCHES = (" ", "/", ".", "x", "-", "o")
_MONTH = np.timedelta64(1, "M")


class Lines:
    """Lines over one axis, with dots where they are few and a hover text for all.

    Parameters
    ----------
    plot
        Of `dashboard.plots.chart`.
    head
        First line of the hover text, with ``@x`` in it.
    formatters
        Of Bokeh's hover tool.
    bands
        Whether every line has an interval.
    """

    def __init__(
        self,
        plot: figure,
        head: str,
        formatters: Mapping[str, str] | None = None,
        *,
        bands: bool = False,
    ) -> None:
        self.plot, self._head, self._bands = plot, head, bands
        self._names: tuple[str, ...] = ()
        self._labels: tuple[str, ...] = ()
        self._unit, self._digits = "", 2
        empty = np.array([])
        columns = ["x", *(f"s{n}" for n in range(SERIES))]
        if bands:
            columns += [f"{end}{n}" for n in range(SERIES) for end in ("low", "high")]
        self.data = ColumnDataSource(dict.fromkeys(columns, empty))
        source = self.data
        self._whiskers = [
            plot.segment("x", f"low{n}", "x", f"high{n}", source=source, line_width=1.2)
            for n in range(SERIES if bands else 0)
        ]
        self._lines = [
            plot.line("x", f"s{n}", source=source, line_width=2.4 if n == 0 else 1.8)
            for n in range(SERIES)
        ]
        self._dots = [
            plot.scatter("x", f"s{n}", source=source, size=6, line_color=None)
            for n in range(SERIES)
        ]
        self._hover = HoverTool(
            renderers=[self._lines[0]], mode="vline", formatters=dict(formatters or {})
        )
        plot.add_tools(self._hover)

    def show(
        self,
        names: Sequence[str],
        labels: Sequence[str],
        x: NDArray[Any],
        values: Mapping[str, Float],
        unit: str,
        digits: int,
        intervals: Mapping[str, tuple[Float, Float]] | None = None,
    ) -> None:
        """Draw what there is of the names, in their order."""
        self._names, self._labels = tuple(names), tuple(labels)
        self._unit, self._digits = unit, digits
        nothing = np.full(x.size, np.nan)
        data: dict[str, Any] = {"x": x}
        for n in range(SERIES):
            name = names[n] if n < len(names) else ""
            data[f"s{n}"] = values.get(name, nothing)
            if self._bands:
                low, high = (intervals or {}).get(name, (nothing, nothing))
                data |= {f"low{n}": low, f"high{n}": high}
        self.data.data = data
        for n, dots in enumerate(self._dots):
            dots.visible = bool(np.isfinite(data[f"s{n}"]).sum() <= _FEW)

    def paint(self, theme: str) -> None:
        """Colours and dashes of the models, and the hover text."""
        paint(self.plot, theme)
        for n, name in enumerate(self._names[:SERIES]):
            drawn = line(name, theme)
            self._lines[n].glyph.update(line_color=drawn.colour, line_dash=list(drawn.dash))
            self._dots[n].glyph.update(fill_color=drawn.colour)
            if self._bands:
                self._whiskers[n].glyph.line_color = drawn.colour
        decimals = "0" * self._digits
        rows = [
            (label, f"@s{n}{{0.{decimals}}} {self._unit}") for n, label in enumerate(self._labels)
        ]
        self._hover.tooltips = tooltip(self._head, rows, theme)


class Bars:
    """Bars from zero to the right or left, a group a place, with intervals."""

    def __init__(self, plot: figure) -> None:
        self.plot = plot
        names = ("y", "height", "value", "low", "high", "colour", "hatch", "label", "place", "text")
        self.data = ColumnDataSource({name: [] for name in names})
        bars = plot.hbar(
            "y",
            right="value",
            height="height",
            left=0,
            source=self.data,
            fill_color="colour",
            line_color="colour",
            hatch_pattern="hatch",
            hatch_color="white",
            hatch_alpha=0.7,
            hatch_scale=6,
        )
        self._whiskers = plot.segment("low", "y", "high", "y", source=self.data, line_width=1.6)
        self._hover = HoverTool(renderers=[bars])
        self._zero = Span(location=0, dimension="height", line_width=1)
        plot.add_layout(self._zero)
        plot.add_tools(self._hover)
        plot.ygrid.visible = False

    def show(
        self,
        places: Sequence[str],
        names: Sequence[str],
        labels: Sequence[str],
        values: Mapping[str, Sequence[tuple[float, float, float]]],
        unit: str,
        theme: str,
    ) -> None:
        """Draw (value, low, high) of every name at every place, the first place on top."""
        shown = [(n, name) for n, name in enumerate(names[:SERIES]) if name in values]
        high = 0.82 / max(1, len(names[:SERIES]))
        columns: dict[str, list[Any]] = {name: [] for name in self.data.data}
        for n, name in shown:
            for row, (value, low, top) in enumerate(values[name]):
                cells = {
                    "y": row + 0.5 - 0.41 + (n + 0.5) * high,
                    "height": 0.9 * high,
                    "value": value,
                    "low": low,
                    "high": top,
                    "colour": line(name, theme).colour,
                    "hatch": _HATCHES[n],
                    "label": labels[n],
                    "place": places[row],
                    "text": interval(value, low, top, 3, unit),
                }
                for key, cell in cells.items():
                    columns[key].append(cell)
        self.data.data = columns
        ticks = [row + 0.5 for row in range(len(places))]
        axis = self.plot.yaxis[0]
        axis.ticker = FixedTicker(ticks=ticks)
        axis.major_label_overrides = dict(zip(ticks, places, strict=True))
        assert isinstance(self.plot.y_range, Range1d)
        self.plot.y_range.update(start=max(1, len(places)), end=0)
        span(self.plot.x_range, [*columns["value"], *columns["low"], *columns["high"]], 0.1,
             zero=True)  # fmt: skip
        self.paint(theme)

    def paint(self, theme: str) -> None:
        """Colours of axes and texts."""
        paint(self.plot, theme)
        token = TOKENS[theme]
        self._whiskers.glyph.line_color = token["muted"]
        self._zero.line_color = token["muted"]
        self._hover.tooltips = tooltip("@place", [("@label", "@text")], theme)


def interval(value: float, low: float, high: float, digits: int, unit: str = "") -> str:
    """A number with its interval and unit; without one where there is none."""
    text = number(value, digits, signed=True)
    if np.isfinite(low) and np.isfinite(high) and high > low:
        ends = (number(end, digits, signed=True) for end in (low, high))
        text += f" [{', '.join(ends)}]"
    return f"{text} {unit}".strip()


def broken(months: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    """Every month from the first to the last, so that lines break where months are missing."""
    if months.size == 0:
        return months
    first, last = months.min(), months.max()
    return np.arange(first.astype("datetime64[M]"), last.astype("datetime64[M]") + _MONTH)


def placed(axis: NDArray[np.datetime64], months: NDArray[np.datetime64], values: Float) -> Float:
    """Values of months on an axis of months; NaN elsewhere."""
    out = np.full(axis.size, np.nan)
    out[np.searchsorted(axis, months.astype("datetime64[M]"))] = values
    return out
