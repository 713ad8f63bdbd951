"""Charts that are exported: series, histograms, latitude against time, scatter, intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from co2net.colours import model_line, palette
from co2net.export.data import OBSERVED
from co2net.inference import TRUTH

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.dates import AutoDateLocator
    from matplotlib.figure import Figure

NOTE: dict[str, Any] = {"fontsize": 6, "color": "#52606d"}
"""How the small line below a figure looks."""
_CHINESE = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN",
    "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Microsoft YaHei", "PingFang SC", "SimHei",
    "Noto Sans CJK JP", "Droid Sans Fallback", "Arial Unicode MS",
)  # fmt: skip


@cache
def use_fonts() -> bool:
    """Let matplotlib find Chinese letters in a font of this machine; whether it has one.

    Such a font is appended to matplotlib's list for letters that its own font lacks.
    """
    import matplotlib
    from matplotlib.font_manager import fontManager

    there = {entry.name for entry in fontManager.ttflist}
    found = [name for name in _CHINESE if name in there][:1]
    known = matplotlib.rcParams["font.family"]
    matplotlib.rcParams["font.family"] = [*known, *(name for name in found if name not in known)]
    return bool(found)


@dataclass
class Words:
    """Texts of a chart.

    Parameters
    ----------
    title, x, y
        Title, and what the axes measure, with units.
    labels : name -> str
        What models are called; a name that is absent stands for itself.
    note
        Small line below: data set, simulated or not, what made the figure.
    """

    title: str
    x: str = ""
    y: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    def label(self, name: str) -> str:
        """What a model is called."""
        return self.labels.get(name, name)


def _figure(words: Words, width: float = 8.0, height: float = 4.0) -> Figure:
    from matplotlib.figure import Figure

    use_fonts()
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(words.title, fontsize=10, x=0.01, ha="left", fontweight="bold")
    figure.supxlabel(words.note, **NOTE)
    return figure


def _dress(axes: Axes, words: Words) -> None:
    axes.set_xlabel(words.x, fontsize=9)
    axes.set_ylabel(words.y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(linewidth=0.4, color="#d5dbe1")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _days(axes: Axes, locator: AutoDateLocator) -> None:
    """Days and hours in figures, which no language reads differently."""
    from matplotlib.dates import ConciseDateFormatter

    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(
        ConciseDateFormatter(
            locator,
            formats=["%Y", "%Y-%m", "%m-%d", "%H:%M", "%H:%M", "%S"],
            zero_formats=["%Y", "%Y-%m", "%Y-%m-%d", "%m-%d", "%H:%M", "%H:%M"],
            show_offset=False,
        )
    )


def _stroke(name: str) -> dict[str, Any]:
    """Colour and dash of a model, of the truth, or of observations."""
    if name in (TRUTH, OBSERVED):
        return {"color": "black", "linewidth": 1.8}
    drawn = model_line(name)
    dash: Any = (0, tuple(drawn.dash)) if drawn.dash else "-"
    return {"color": drawn.colour, "linestyle": dash, "linewidth": 1.3}


def series_figure(data: xr.Dataset, words: Words) -> Figure:
    """One line a variable against time; a long gap in time breaks the axis.

    Observations are dots; months are dots on lines.
    """
    from matplotlib.dates import AutoDateLocator

    figure = _figure(words)
    times = data["time"].values
    apart = np.diff(times)
    cuts = np.flatnonzero(apart > 15 * np.median(apart)) + 1 if times.size > 2 else apart[:0]
    parts = np.split(np.arange(times.size), cuts.astype(int))
    places = figure.subplots(
        1, len(parts), sharey=True, squeeze=False, width_ratios=[part.size for part in parts]
    )[0]
    sparse = times.size <= 24
    for axes, part in zip(places, parts, strict=True):
        for one in data.data_vars.values():
            name = one.attrs["model"]
            style = _stroke(name)
            if name == OBSERVED:
                style |= {"linestyle": "", "marker": "o", "markersize": 6 if sparse else 2.5}
            elif sparse:
                style |= {"marker": "o", "markersize": 4}
            axes.plot(times[part], one.values[part], label=words.label(name), **style)
        if len(parts) == 1:
            _days(axes, AutoDateLocator(minticks=2, maxticks=8))
        else:  # side by side there is room for one date each
            middle = times[part[part.size // 2]]
            axes.set_xticks([middle], [np.datetime_as_string(middle, unit="M")])
        _dress(axes, words)
        if axes is not places[0]:
            axes.set_ylabel("")
    places[0].legend(fontsize=8, frameon=False)
    return figure


def histogram_figure(data: xr.Dataset, axis: str, words: Words) -> Figure:
    """One step line a variable; the bins lie along a coordinate ``axis`` of the data."""
    figure = _figure(words)
    axes = figure.add_subplot()
    edges = np.append(data[f"{axis}_low"].values, data[f"{axis}_high"].values[-1])
    for one in data.data_vars.values():
        name = one.attrs["model"]
        axes.stairs(one.values, edges, label=words.label(name), **_stroke(name))
    _dress(axes, words)
    axes.legend(fontsize=8, frameon=False)
    return figure


def latitude_figure(data: xr.Dataset, words: Words) -> Figure:
    """One line a variable, latitude upwards."""
    figure = _figure(words, 5.0, 5.0)
    axes = figure.add_subplot()
    for one in data.data_vars.values():
        name = one.attrs["model"]
        axes.plot(one.values, data["lat"].values, label=words.label(name), **_stroke(name))
    axes.set_yticks([-90, -60, -30, 0, 30, 60, 90])
    axes.set_xlim(left=0)
    _dress(axes, words)
    axes.legend(fontsize=8, frameon=False)
    return figure


def hovmoller_figure(
    data: xr.Dataset, limits: tuple[float, float], kind: Literal["sequential", "diverging"],
    words: Words, bar: str,
) -> Figure:  # fmt: skip
    """Latitude against time; the data in the unit that ``bar``, the colour bar's label, says."""
    from matplotlib.colors import ListedColormap
    from matplotlib.dates import AutoDateLocator

    figure = _figure(words)
    axes = figure.add_subplot()
    (one,) = data.data_vars.values()
    mesh = axes.pcolormesh(
        data["time"].values, data["lat"].values, one.values.T,
        cmap=ListedColormap(palette(kind)), vmin=limits[0], vmax=limits[1],
        shading="nearest", rasterized=True,
    )  # fmt: skip
    axes.set_yticks([-90, -60, -30, 0, 30, 60, 90])
    _days(axes, AutoDateLocator(maxticks=8))
    _dress(axes, words)
    axes.grid(visible=False)
    figure.colorbar(mesh, ax=axes, pad=0.01).set_label(bar, fontsize=8)
    return figure


def density_figure(data: xr.Dataset, words: Words, bar: str) -> Figure:
    """A panel a model: how many cells and times have which truth and which value."""
    from matplotlib.colors import ListedColormap, LogNorm

    count = len(data.data_vars)
    figure = _figure(words, 3.4 * count + 1.2, 4.2)
    low, high = float(data["truth_low"][0]), float(data["truth_high"][-1])
    top = max(2, *(int(one.max()) for one in data.data_vars.values()))
    for n, one in enumerate(data.data_vars.values(), start=1):
        axes = figure.add_subplot(1, count, n)
        seen = np.where(one.values > 0, one.values, np.nan)
        mesh = axes.pcolormesh(
            data["truth"].values, data["model"].values, seen,
            cmap=ListedColormap(palette("sequential")), norm=LogNorm(1, top), rasterized=True,
        )  # fmt: skip
        axes.plot([low, high], [low, high], color="#ff2d78", linewidth=0.8, linestyle="--")
        axes.set_title(words.label(one.attrs["model"]), fontsize=9)
        axes.set_aspect("equal")
        _dress(axes, words)
        if n > 1:
            axes.set_ylabel("")
    figure.colorbar(mesh, ax=figure.axes, pad=0.01, shrink=0.8).set_label(bar, fontsize=8)
    return figure


def intervals_figure(
    models: Sequence[str],
    values: Sequence[float],
    intervals: Sequence[tuple[float, float]],
    words: Words,
) -> Figure:
    """A row a model, the first on top: its value, and the interval where it is known."""
    figure = _figure(words, 7.0, 0.32 * len(models) + 1.4)
    axes = figure.add_subplot()
    for row, (name, value, (low, high)) in enumerate(zip(models, values, intervals, strict=True)):
        colour = "black" if name == TRUTH else model_line(name).colour
        axes.plot(value, row, "o", color=colour, markersize=5)
        if np.isfinite(low) and np.isfinite(high):
            axes.hlines(row, low, high, color=colour, linewidth=1.5)
    axes.set_yticks(range(len(models)), [words.label(name) for name in models])
    axes.set_ylim(len(models) - 0.5, -0.5)
    _dress(axes, words)
    axes.grid(visible=False, axis="y")
    return figure
