"""Fields, series, figures and animations as files that say what they hold.

Every file names the quantity and its unit, place, times, model, data set, whether that is a
simulated world, and what made the file. Figures are drawn by cartopy and matplotlib with the
shipped coastline; nothing is fetched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from co2net.assets import atomic_path, data_path, provenance
from co2net.colours import model_line, palette
from co2net.diagnostics import layer_fields
from co2net.errors import UserError
from co2net.inference import TRUTH, Engine
from co2net.layers import ANOMALY, DIFFERENCE, SPREAD, derived, display
from co2net.regions import Region, region
from co2net.schema import CO2, VARIABLES
from co2net.source import frame_index

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

Progress = Callable[[float, str], None]

DATA_FORMATS = ("nc", "csv")
FIGURE_FORMATS = ("png", "pdf")
ANIMATION_FORMATS = ("gif",)
DPI = 300
MOST_FRAMES = 250
"""Most frames of an animation, and of fields in one file of comma-separated values."""

_NAMES = {DIFFERENCE: "co2_difference", ANOMALY: "co2_anomaly", SPREAD: "co2_standard_deviation"}
_LONG = {
    DIFFERENCE: "surface CO2, {what} minus the truth",
    ANOMALY: "surface CO2, {what} minus the background (level, season and hour)",
    SPREAD: "standard deviation of surface CO2 over {what}",
}


def file_name(*parts: str, suffix: str) -> str:
    """A name that is safe in every file system: letters, digits, dots, hyphens, underscores.

    >>> file_name("diff:vit", "2020-06-01T01:30", suffix="png")
    'co2net_diff-vit_2020-06-01T01-30.png'
    """
    clean = (re.sub(r"[^A-Za-z0-9.+_-]+|\.{2,}", "-", part).strip("-.") for part in parts)
    return "_".join(["co2net", *(part[:60] for part in clean if part)]) + f".{suffix}"


# -- data -----------------------------------------------------------------------------------


def _variable(layer: str) -> tuple[str, dict[str, Any]]:
    """Name and CF attributes of a layer; derived ones have no standard name."""
    kind = derived(layer)
    if kind:
        what = layer.removeprefix(kind).replace(",", ", ")
        return _NAMES[kind], {
            "units": CO2.units,
            "long_name": _LONG[kind].format(what=what),
            "layer": layer,
        }
    found = VARIABLES.get(layer, CO2)
    attrs = {
        "units": found.units,
        "standard_name": found.standard_name,
        "long_name": found.long_name,
        "layer": layer,
    }
    return found.name, attrs


def about(engine: Engine, layers: Sequence[str], place: str) -> dict[str, Any]:
    """Attributes of a file: what, where, from what data, simulated or not, made by what."""
    attrs = engine.source.attrs
    simulated = bool(attrs.get("simulated", False))
    known = {info.name: info for info in engine.models()}
    models = [
        f"{info.name}: {info.title}, preset {info.preset}, trained on {info.trained_on}, "
        f"digest {info.digest}"
        if hasattr(info, "title")
        else name
        for name, info in known.items()
        if any(name in re.split(r"[:,]", layer) for layer in layers)
    ]
    made = provenance()
    return {
        "Conventions": "CF-1.11",
        "title": f"CO2 at the Earth's surface: {', '.join(layers)}",
        "source": f"{attrs.get('title', '')} ({attrs.get('version', '')})",
        "licence": str(attrs.get("licence", "")),
        "simulated": "true" if simulated else "false",
        "comment": "A simulated world, not observations." if simulated else "",
        "models": "; ".join(models),
        "place": place,
        "history": f"co2net {made['co2net']}, commit {made['commit']}",
    }


def fields_dataset(
    engine: Engine, layer: str, times: ArrayLike, progress: Progress | None = None
) -> xr.Dataset:
    """A layer on the grid at some times, ``NAME(time, lat, lon)`` in the schema's units.

    Raises
    ------
    UserError
        When a field cannot be had.
    """
    import xarray as xr

    wanted = np.atleast_1d(np.asarray(times, dtype="datetime64[s]"))
    name, attrs = _variable(layer)
    values = layer_fields(engine, layer, wanted, progress)
    data = xr.Dataset({name: (("time", "lat", "lon"), values, attrs)}, _axes(engine, wanted))
    grid = engine.grid
    box = f"{grid.lat_edges[0]:g}..{grid.lat_edges[-1]:g} N, "
    data.attrs = about(engine, [layer], box + f"{grid.lon_edges[0]:g}..{grid.lon_edges[-1]:g} E")
    return data


def _axes(engine: Engine, times: NDArray[np.datetime64], plane: bool = True) -> dict[str, Any]:
    stamp = {"standard_name": "time", "long_name": "time (UTC)", "axis": "T"}
    axes: dict[str, Any] = {"time": ("time", times.astype("datetime64[ns]"), stamp)}
    if plane:
        for name, unit, axis, long in (
            ("lat", "degrees_north", "Y", "latitude"),
            ("lon", "degrees_east", "X", "longitude"),
        ):
            attrs = {"units": unit, "axis": axis, "standard_name": long}
            axes[name] = (name, getattr(engine.grid, name), attrs)
    return axes


def series_dataset(
    engine: Engine,
    names: Sequence[str],
    times: ArrayLike,
    point: tuple[float, float] | None = None,
    where: str = "global",
    progress: Progress | None = None,
) -> xr.Dataset:
    """CO2 of the truth and of models at a point, or its area mean over a region.

    Parameters
    ----------
    names
        ``truth`` and models; each becomes a variable ``co2_NAME(time)``, NaN where it has none.
    point : (latitude, longitude)
        The cell that holds it; None: the region ``where``.
    """
    import xarray as xr

    wanted = np.atleast_1d(np.asarray(times, dtype="datetime64[s]"))
    grid = engine.grid
    axes = _axes(engine, wanted, plane=False)
    if point is None:
        chosen = region(where)
        mask, place = chosen.mask(grid), f"{chosen.name_en} ({chosen.key}), area mean"
    else:
        row, column = (int(v) for v in grid.cell(*point))
        lat, lon = float(grid.lat[row]), float(grid.lon[column])
        place = f"{lat:g} N, {lon:g} E (centre of the cell that holds {point[0]:g}, {point[1]:g})"
        axes["lat"] = ((), lat, {"units": "degrees_north", "standard_name": "latitude"})
        axes["lon"] = ((), lon, {"units": "degrees_east", "standard_name": "longitude"})
    variables = {}
    for name in names:
        if point is None:
            values = engine.region_series(name, mask, wanted, progress)
        else:
            values = engine.series(name, *point, wanted, progress)
        attrs = {
            "units": CO2.units,
            "standard_name": CO2.standard_name,
            "long_name": f"surface CO2, {name}",
            "coordinates": "lat lon" if point else "",
            "cell_methods": "" if point else "area: mean",
        }
        variables[f"co2_{name.replace('-', '_').replace('+', 'plus')}"] = (
            ("time",),
            values,
            {key: value for key, value in attrs.items() if value and key != "coordinates"},
        )
    data = xr.Dataset(variables, axes)
    data.attrs = about(engine, names, place)
    return data


def save_data(data: xr.Dataset, path: str | Path) -> Path:
    """Write a data set as NetCDF-4 (``.nc``) or comma-separated values (``.csv``).

    In the latter the attributes come first, as lines that begin with ``#``.
    """
    path = Path(path)
    kind = path.suffix.removeprefix(".")
    if kind not in DATA_FORMATS:
        raise UserError(f"{path}: data are written as {' or '.join(DATA_FORMATS)}")
    with atomic_path(path) as draft:
        if kind == "nc":
            encoding: dict[str, dict[str, Any]] = {
                str(name): {"zlib": True, "complevel": 4} for name in data.data_vars
            }
            encoding["time"] = {"units": "seconds since 1970-01-01", "dtype": "int64"}
            data.to_netcdf(draft, engine="netcdf4", encoding=encoding)
        else:
            lines = [f"# {key}: {value}" for key, value in data.attrs.items()]
            lines += [
                f"# {name}: {data[name].attrs['long_name']} ({data[name].attrs['units']})"
                for name in data.data_vars
            ]
            frame = data.to_dataframe()
            if list(frame.index.names) == ["time"]:
                frame = frame[list(data.data_vars)]
            table = frame.to_csv(float_format="%.6g", date_format="%Y-%m-%dT%H:%M:%SZ")
            draft.write_text("\n".join(lines) + "\n" + table, encoding="utf-8")
    return path


# -- figures --------------------------------------------------------------------------------


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
    wind : (2, H, W) m/s, optional
    note
        Small line below: data set, simulated or not, what made the figure.
    """

    projection: str = "robinson"
    centre: tuple[float, float] = (15.0, 15.0)
    place: Region = field(default_factory=lambda: region("global"))
    stations: bool = True
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
    from cartopy import crs
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.path import Path as Outline

    grid, plain = engine.grid, crs.PlateCarree()
    columns = 1 if len(panels) == 1 else 2 if len(panels) in (2, 4) else 3
    rows = -(-len(panels) // columns)
    wide = 8.0 if columns == 1 else 4.6 * columns
    round_map = look.projection in ("north", "south", "orthographic")
    high = (0.62 if not round_map else 0.95) * wide / columns * rows + 0.3
    figure = Figure(figsize=(wide, high), layout="constrained")
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
            _dots(axes, engine, panel, mesh, plain)
        if look.wind is not None:
            u, v = look.wind[:, 2::5, 2::5].astype(np.float64)
            axes.quiver(
                grid.lon[2::5], grid.lat[2::5], u, v, transform=plain, width=0.0012, scale=400
            )
        axes.set_title(panel.title, fontsize=10, loc="left", fontweight="bold", pad=16)
        axes.text(0, 1.02, panel.when, transform=axes.transAxes, fontsize=7.5, va="bottom")
        bar = figure.colorbar(mesh, ax=axes, orientation="horizontal", shrink=0.8, aspect=40)
        bar.set_label(panel.label, fontsize=8)
        bar.ax.tick_params(labelsize=7.5)
    figure.supxlabel(look.note, fontsize=6, color="#52606d")
    return figure, meshes


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


def _dots(axes: Any, engine: Engine, panel: Panel, mesh: Any, plain: Any) -> None:
    stations = engine.stations
    sites = np.full(len(stations), np.nan) if panel.sites is None else panel.sites
    known = np.isfinite(sites)
    common = {"transform": plain, "s": 9, "linewidths": 0.5, "edgecolors": "black", "zorder": 4}
    axes.scatter(stations.lon[~known], stations.lat[~known], facecolors="none", **common)
    axes.scatter(
        stations.lon[known],
        stations.lat[known],
        c=sites[known],
        cmap=mesh.cmap,
        norm=mesh.norm,
        **common,
    )


def series_figure(data: xr.Dataset, title: str, labels: Sequence[str], note: str = "") -> Figure:
    """A figure of `series_dataset`, one line a variable."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, label in zip(data.data_vars, labels, strict=True):
        model = str(data[name].attrs["long_name"]).rpartition(", ")[2]
        if model == TRUTH:
            axes.plot(data.time, data[name], color="black", linewidth=1.8, label=label)
            continue
        drawn = model_line(model)
        dash: Any = (0, tuple(drawn.dash)) if drawn.dash else "-"
        axes.plot(data.time, data[name], color=drawn.colour, linestyle=dash, lw=1.3, label=label)
    axes.set_title(title, fontsize=10, loc="left", fontweight="bold")
    axes.set_ylabel("CO2 (ppm)", fontsize=9)
    axes.set_xlabel("UTC", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(axis="y", linewidth=0.4)
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(note, fontsize=6, color="#52606d")
    return figure


def save_figure(figure: Figure, path: str | Path, attrs: dict[str, Any]) -> Path:
    """Write a figure as PNG at 300 dots an inch or as PDF, with the attributes in its metadata."""
    path = Path(path)
    kind = path.suffix.removeprefix(".")
    if kind not in FIGURE_FORMATS:
        raise UserError(f"{path}: figures are written as {' or '.join(FIGURE_FORMATS)}")
    text = "; ".join(f"{key}: {value}" for key, value in attrs.items() if value)
    if kind == "png":
        metadata = {"Title": attrs["title"], "Software": attrs["history"], "Description": text}
    else:
        metadata = {"Title": attrs["title"], "Creator": attrs["history"], "Subject": text}
    with atomic_path(path) as draft:
        figure.savefig(draft, format=kind, dpi=DPI, metadata=metadata)
    return path


def animate(
    engine: Engine,
    layer: str,
    times: ArrayLike,
    panel: Callable[[np.datetime64, NDArray[np.float32]], Panel],
    path: str | Path,
    look: Look | None = None,
    fps: int = 8,
    progress: Progress | None = None,
) -> Path:
    """Write the frames of a layer as a GIF.

    Parameters
    ----------
    panel
        Makes the panel of a time from the field, (H, W) in the schema's units.
    """
    from matplotlib.animation import PillowWriter

    path = Path(path)
    if path.suffix != ".gif":
        raise UserError(f"{path}: animations are written as gif")
    wanted = np.atleast_1d(np.asarray(times, dtype="datetime64[s]"))
    if wanted.size > MOST_FRAMES:
        raise UserError(f"an animation holds {MOST_FRAMES} frames at most, not {wanted.size}")
    frame_index(engine.source, wanted)
    first = panel(wanted[0], layer_fields(engine, layer, wanted[:1])[0])
    figure, (mesh,) = _map_figure(engine, [first], look or Look())
    when = figure.axes[0].texts[0]
    writer = PillowWriter(fps=fps, metadata={"comment": (look or Look()).note})
    with atomic_path(path) as draft:
        named = draft.with_name(draft.name + ".gif")
        with writer.saving(figure, str(named), dpi=100):
            for number, time in enumerate(wanted):
                now = panel(time, layer_fields(engine, layer, wanted[number : number + 1])[0])
                mesh.set_array(now.values)
                when.set_text(now.when)
                writer.grab_frame()
                if progress is not None:
                    progress((number + 1) / wanted.size, str(time))
        named.replace(draft)
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
    name, attrs = _variable(layer)
    return Panel(
        title=title or attrs["long_name"],
        when=when or f"{time} UTC{simulated}",
        values=values * shown.factor + shown.shift,
        label=label or f"{name} ({shown.unit})",
        limits=limits,
        diverging=shown.diverging,
    )
