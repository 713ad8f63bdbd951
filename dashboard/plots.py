"""Charts of the pages that are no maps: plain Bokeh figures, made once, painted by theme."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import panel as pn
from bokeh.models import DatetimeTickFormatter, FactorRange, GlyphRenderer, Range1d
from bokeh.plotting import figure
from numpy.typing import NDArray

from dashboard.theme import TOKENS

MONTHS = {"en": "%-d %b", "zh": "%-m月%-d日"}
"""Days on a time axis, by language."""


def chart(
    name: str,
    x_label: str = "",
    y_label: str = "",
    *,
    time: str = "",
    x_factors: Sequence[str] | None = None,
    y_factors: Sequence[str] | None = None,
    tools: str = "",
) -> figure:
    """An empty chart that fills its place.

    Parameters
    ----------
    name
        By which tests find it.
    x_label, y_label
        What the axes measure, with units.
    time
        Language of a time axis; empty: the axis is a number.
    x_factors, y_factors
        Names along an axis that has categories.
    tools
        Of Bokeh; none by default.
    """
    plot = figure(
        x_axis_type="datetime" if time else "auto",
        x_range=Range1d(0, 1) if x_factors is None else FactorRange(*x_factors),
        y_range=Range1d(0, 1) if y_factors is None else FactorRange(*y_factors),
        sizing_mode="stretch_both",
        toolbar_location=None,
        tools=tools,
        min_width=50,
        min_height=50,
        min_border=4,
        min_border_right=14,
        outline_line_color=None,
        title=None,
        name=name,
    )
    plot.background_fill_alpha = plot.border_fill_alpha = 0
    plot.axis.axis_label_text_font_style = "normal"
    plot.axis.axis_label_text_font_size = plot.axis.major_label_text_font_size = "11px"
    plot.axis.minor_tick_line_color = None
    plot.xaxis.axis_label, plot.yaxis.axis_label = x_label, y_label
    plot.xgrid.visible = x_factors is None and not time
    if time:
        day = MONTHS[time]
        plot.xaxis.formatter = DatetimeTickFormatter(
            days=day, months=f"{day} %Y" if time == "en" else "%Y年%-m月", hours=f"{day} %H:%M"
        )
        plot.xaxis.ticker.desired_num_ticks = 5
    if y_factors is None:
        plot.yaxis.ticker.desired_num_ticks = 5
    return plot


class _Pane(pn.pane.Bokeh):
    """A pane that may leave the page and come back: Panel forgets who listens to its figure."""

    def _cleanup(self, root: Any = None) -> None:
        listeners = self.object._event_callbacks
        super()._cleanup(root)
        self.object._event_callbacks = listeners


def pane(plot: figure) -> pn.pane.Bokeh:
    """A figure that fills its place on the page, without the looks that nothing here gives it.

    Bokeh has a glyph of its own for everything that is selected, not selected or muted.
    """
    for renderer in plot.renderers:
        if isinstance(renderer, GlyphRenderer):
            renderer.nonselection_glyph = renderer.muted_glyph = None
    return _Pane(plot, sizing_mode="stretch_both")


def paint(plot: figure, theme: str) -> None:
    """Colours of axes and grid."""
    token = TOKENS[theme]
    for axis in plot.axis:
        axis.update(
            axis_label_text_color=token["text"],  # as the theme of the page has it
            major_label_text_color=token["muted"],
            axis_line_color=token["line"],
            major_tick_line_color=token["line"],
        )
    for grid in plot.grid:
        grid.grid_line_color = token["line"]


def span(axis: Range1d, values: Any, least: float, *, zero: bool = False) -> None:
    """Let an axis hold values, with some room; at least ``least`` wide, so that noise stays small.

    Parameters
    ----------
    values
        An array, or several of any lengths.
    zero
        Whether zero must be on it.
    """
    parts = [np.ravel(np.asarray(part, dtype=np.float64)) for part in values]
    seen: NDArray[np.float64] = np.concatenate([*parts, np.array([])])
    seen = seen[np.isfinite(seen)]
    if zero:
        seen = np.append(seen, 0.0)
    if seen.size:
        low, high = float(seen.min()), float(seen.max())
        pad = max(0.06 * (high - low), (least - (high - low)) / 2, 0.0)
        axis.update(start=low - pad, end=high + pad)
