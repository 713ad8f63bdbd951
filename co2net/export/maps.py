"""Maps that are exported: figures of cartopy and matplotlib, with the shipped coastline.

Nothing is fetched. A figure carries in its metadata what `co2net.export.data.about` says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from co2net.assets import atomic_path, data_path
from co2net.colours import palette
from co2net.diagnostics import layer_fields
from co2net.errors import UserError
from co2net.export.charts import NOTE, use_fonts
from co2net.export.data import layer_variable
from co2net.inference import Engine
from co2net.layers import display
from co2net.regions import Region, region
from co2net.source import frame_index

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Progress = Callable[[float, str], None]

FIGURE_FORMATS = ("png", "pdf")
ANIMATION_FORMATS = ("gif",)
DPI = 300
MOST_FRAMES = 250
"""Most frames of an animation."""


_PAD = 0.2
"""Inches above and below every map; twice that lies between two, and above the first."""


@dataclass
class Panel:
    """One map of a figure, in the units that it shows.

    Parameters
    ----------
    title, when
        First and second line above it.
    values : (H, W)
    label
        Of its colour bar, with the unit.
    limits
        Of its colours.
    diverging
        Whether they diverge about zero.
    sites : (S,), optional
        Values of the stations' dots.
    """

    title: str
    when: str
    values: NDArray[np.floating[Any]]
    label: str
    limits: tuple[float, float]
    diverging: bool
    sites: NDArray[np.floating[Any]] | None = None


@dataclass
class Look:
    """How the maps of a figure look.

    Parameters
    ----------
    projection
        ``robinson``, ``platecarree``, ``mollweide``, ``north``, ``south`` or ``orthographic``.
    centre
        Latitude and longitude in the middle of the globe.
    place
        Region to outline and to show; the whole map where it has no outline.
    stations
        Whether to draw them.
    dots
        Their size, square points.
    wind : (2, H, W) m/s, optional
    note
        Small line below: data set, simulated or not, what made the figure.
    """

    projection: str = "robinson"
    centre: tuple[float, float] = (15.0, 15.0)
    place: Region = field(default_factory=lambda: region("global"))
    stations: bool = True
    dots: float = 9.0
    wind: NDArray[np.float32] | None = None
    note: str = ""


@cache
def _coastline() -> Any:
    from shapely.geometry import MultiLineString

    with np.load(data_path("coastline", "coastline.npz"), allow_pickle=False) as file:
        points, lengths = file["points"] / 100.0, file["lengths"]
    return MultiLineString(np.split(points, np.cumsum(lengths)[:-1]))


def _crs(look: Look) -> Any:
    from cartopy import crs

    return {
        "robinson": crs.Robinson,
        "platecarree": crs.PlateCarree,
        "mollweide": crs.Mollweide,
        "north": crs.NorthPolarStereo,
        "south": crs.SouthPolarStereo,
        "orthographic": lambda: crs.Orthographic(look.centre[1], look.centre[0]),
    }[look.projection]()


def map_figure(engine: Engine, panels: Sequence[Panel], look: Look | None = None) -> Figure:
    """A figure of one map or several, with their colour bars."""
    figure, _ = _map_figure(engine, panels, look or Look())
    return figure


def _map_figure(engine: Engine, panels: Sequence[Panel], look: Look) -> tuple[Figure, list[Any]]:
    """The figure and its meshes, one a panel."""
    from cartopy import crs
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.path import Path as Outline

    use_fonts()
    grid, plain = engine.grid, crs.PlateCarree()
    columns = 1 if len(panels) == 1 else 2 if len(panels) in (2, 4) else 3
    rows = -(-len(panels) // columns)
    wide = 8.0 if columns == 1 else 4.6 * columns
    round_map = look.projection in ("north", "south", "orthographic")
    high = (0.62 if not round_map else 0.95) * wide / columns * rows + 0.3
    high += 2 * _PAD * rows
    layout = ConstrainedLayoutEngine(h_pad=_PAD, rect=(0, 0, 1, 1 - _PAD / high))
    figure = Figure(figsize=(wide, high), layout=layout)
    meshes = []
    for number, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, number, projection=_crs(look))
        axes.set_facecolor("#e3e8ee")
        if look.projection in ("north", "south"):
            south, north = (0, 90) if look.projection == "north" else (-90, 0)
            axes.set_extent([-180, 180, south, north], plain)
            turn = np.linspace(0, 2 * np.pi, 121)
            ring = Outline(0.5 + 0.5 * np.column_stack([np.sin(turn), np.cos(turn)]))
            axes.set_boundary(ring, transform=axes.transAxes)
        else:
            axes.set_global()
        if look.place.polygons:
            _outline(axes, look, plain)
        name = "diverging" if panel.diverging else "sequential"
        mesh = axes.pcolormesh(
            grid.lon_edges,
            grid.lat_edges,
            panel.values,
            cmap=ListedColormap(palette(name)),
            vmin=panel.limits[0],
            vmax=panel.limits[1],
            transform=plain,
            rasterized=True,
        )
        meshes.append(mesh)
        axes.add_geometries(
            [_coastline()], plain, facecolor="none", edgecolor="#1b2530", linewidth=0.5
        )
        axes.gridlines(linewidth=0.3, color="#17202a", alpha=0.4, draw_labels=False)
        if look.stations:
            _dots(axes, engine, panel, look, mesh, plain)
        if look.wind is not None:
            u, v = look.wind[:, 2::5, 2::5].astype(np.float64)
            axes.quiver(
                grid.lon[2::5], grid.lat[2::5], u, v, transform=plain, width=0.0012, scale=400
            )
        _head(axes, panel.when, 4, fontsize=7.5)
        _head(axes, panel.title, 15, fontsize=10, fontweight="bold")
        bar = figure.colorbar(mesh, ax=axes, orientation="horizontal", shrink=0.8, aspect=40)
        bar.set_label(panel.label, fontsize=8)
        bar.ax.tick_params(labelsize=7.5)
    figure.supxlabel(look.note, **NOTE)
    return figure, meshes


def _head(axes: Any, text: str, above: float, **font: Any) -> None:
    """A line above a map, so many points from it; the layout keeps room for two (`_PAD`)."""
    axes.annotate(
        text, (0, 1), (0, above), "axes fraction", "offset points", va="bottom", **font
    ).set_in_layout(False)


def _outline(axes: Any, look: Look, plain: Any) -> None:
    for ring in look.place.polygons:
        closed = np.vstack([ring, ring[:1]])
        axes.plot(closed[:, 0], closed[:, 1], color="#ff2d78", linewidth=1.2, transform=plain)
    west, south, east, north = look.place.bounds
    if east <= 180 and look.projection in ("robinson", "platecarree", "mollweide"):
        pad = max(6.0, 0.4 * (east - west), 0.4 * (north - south))
        box = (west - pad, east + pad, max(south - pad, -90), min(north + pad, 90))
        if box[0] > -180 and box[1] < 180:
            axes.set_extent(box, plain)


def _dots(axes: Any, engine: Engine, panel: Panel, look: Look, mesh: Any, plain: Any) -> None:
    stations = engine.stations
    sites = np.full(len(stations), np.nan) if panel.sites is None else panel.sites
    known = np.isfinite(sites)
    common = {
        "transform": plain,
        "s": look.dots,
        "linewidths": 0.5,
        "edgecolors": "black",
        "zorder": 4,
    }
    axes.scatter(stations.lon[~known], stations.lat[~known], facecolors="none", **common)
    axes.scatter(
        stations.lon[known],
        stations.lat[known],
        c=sites[known],
        cmap=mesh.cmap,
        norm=mesh.norm,
        **common,
    )


def save_figure(figure: Figure, path: str | Path, attrs: dict[str, Any]) -> Path:
    """Write a figure as PNG at 300 dots an inch or as PDF, with the attributes in its metadata."""
    path = Path(path)
    kind = path.suffix.removeprefix(".")
    if kind not in FIGURE_FORMATS:
        raise UserError(f"{path}: figures are written as {' or '.join(FIGURE_FORMATS)}")
    text = _said(attrs)
    if kind == "png":
        metadata = {"Title": attrs["title"], "Software": attrs["history"], "Description": text}
    else:
        metadata = {"Title": attrs["title"], "Creator": attrs["history"], "Subject": text}
    with atomic_path(path) as draft:
        figure.savefig(draft, format=kind, dpi=DPI, metadata=metadata)
    return path


def _said(attrs: Mapping[str, Any]) -> str:
    return "; ".join(f"{key}: {value}" for key, value in attrs.items() if value)


def animate(
    engine: Engine,
    layers: Sequence[str],
    times: ArrayLike,
    panel: Callable[[str, np.datetime64, NDArray[np.float32]], Panel],
    path: str | Path,
    look: Look | None = None,
    attrs: Mapping[str, Any] | None = None,
    fps: int = 8,
    progress: Progress | None = None,
) -> Path:
    """Write the frames of layers, side by side, as a GIF.

    Parameters
    ----------
    panel
        Makes the panel of a layer and a time from the field, (H, W) in the schema's units.
    attrs
        Kept in the file as its comment.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    path = Path(path)
    if path.suffix != ".gif":
        raise UserError(f"{path}: animations are written as gif")
    wanted = np.atleast_1d(np.asarray(times, dtype="datetime64[s]"))
    if wanted.size > MOST_FRAMES:
        raise UserError(f"an animation holds {MOST_FRAMES} frames at most, not {wanted.size}")
    frame_index(engine.source, wanted)

    def panels(number: int) -> list[Panel]:
        time = wanted[number : number + 1]
        return [panel(one, time[0], layer_fields(engine, one, time)[0]) for one in layers]

    figure, meshes = _map_figure(engine, panels(0), look or Look())
    figure.set_dpi(100)
    lines = [mesh.axes.texts[0] for mesh in meshes]
    canvas, pictures = FigureCanvasAgg(figure), []
    for number, time in enumerate(wanted):
        for one, mesh, line in zip(panels(number), meshes, lines, strict=True):
            mesh.set_array(one.values)
            line.set_text(one.when)
        canvas.draw()
        figure.set_layout_engine("none")  # what has been laid out stays where it is
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        pictures.append(picture.quantize())
        if progress is not None:
            progress((number + 1) / wanted.size, str(time))
    with atomic_path(path) as draft:
        pictures[0].save(
            draft, format="gif", save_all=True, append_images=pictures[1:], loop=0,
            duration=1000 // fps, comment=_said(attrs or {}).encode(),
        )  # fmt: skip
    return path


def panel_of(
    engine: Engine,
    layer: str,
    time: np.datetime64,
    values: NDArray[np.floating[Any]],
    limits: tuple[float, float],
    title: str = "",
    label: str = "",
    when: str = "",
) -> Panel:
    """A `Panel` of a field in the schema's units, with English texts where none are given."""
    shown = display(layer)
    simulated = " · simulated" if engine.source.attrs.get("simulated") else ""
    name, attrs = layer_variable(layer)
    return Panel(
        title=title or attrs["long_name"],
        when=when or f"{time} UTC{simulated}",
        values=values * shown.factor + shown.shift,
        label=label or f"{name} ({shown.unit})",
        limits=limits,
        diverging=shown.diverging,
    )
