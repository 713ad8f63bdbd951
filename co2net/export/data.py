"""Data that are exported: labelled arrays with CF attributes, as NetCDF or as text.

Every file names the quantity and its unit, place, times, models, data set, whether that is a
simulated world, and what made the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from co2net import diagnostics
from co2net.assets import atomic_path, provenance
from co2net.diagnostics import layer_fields
from co2net.errors import UserError
from co2net.evaluation.cases import Case, CaseSeries
from co2net.evaluation.network import AtStations, Cycle
from co2net.inference import TRUTH, Engine
from co2net.layers import ANOMALY, DIFFERENCE, SPREAD, derived
from co2net.regions import region
from co2net.schema import CO2, VARIABLES

if TYPE_CHECKING:
    import xarray as xr

Progress = Callable[[float, str], None]
Float = NDArray[np.float64]

DATA_FORMATS = ("nc", "csv")
OBSERVED = "observation"

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


def variable(quantity: str, name: str) -> str:
    """Name of a variable: ``co2`` of ``vit-absolute`` is ``co2_vit_absolute``."""
    return f"{quantity}_{re.sub('[^A-Za-z0-9]', '_', name.replace('+', 'plus'))}"


def layer_variable(layer: str) -> tuple[str, dict[str, Any]]:
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
        _described(name, info)
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


def _described(name: str, info: Any) -> str:
    """A model in one line: what it is, what it was trained on, and which one."""
    if not hasattr(info, "title"):
        return name
    words = [info.title, f"preset {info.preset}" if info.preset else ""]
    data = info.trained_on
    if data:
        words.append(f"trained on {data.get('title', '')} {data.get('years', '')}".strip())
    return f"{name}: {', '.join([word for word in words if word])}, digest {info.digest}"


def fields_dataset(
    engine: Engine,
    layers: str | Sequence[str],
    times: ArrayLike,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Layers on the grid at some times, ``NAME(time, lat, lon)`` in the schema's units.

    Of several layers each is called after what it is of: ``co2_vit``, ``co2_difference_vit``.

    Raises
    ------
    UserError
        When a field cannot be had.
    """
    import xarray as xr

    wanted = np.atleast_1d(np.asarray(times, dtype="datetime64[s]"))
    names = [layers] if isinstance(layers, str) else list(layers)
    variables = {}
    for layer in names:
        name, attrs = layer_variable(layer)
        values = layer_fields(engine, layer, wanted, progress)
        alone = len(names) == 1 or layer == name
        key = name if alone else variable(name, layer.rpartition(":")[2])
        variables[key] = ("time", "lat", "lon"), values, attrs
    data = xr.Dataset(variables, _axes(engine, wanted))
    grid = engine.grid
    box = f"{grid.lat_edges[0]:g}..{grid.lat_edges[-1]:g} N, "
    data.attrs = about(engine, names, box + f"{grid.lon_edges[0]:g}..{grid.lon_edges[-1]:g} E")
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
            "model": name,
            "cell_methods": "" if point else "area: mean",
        }
        variables[variable("co2", name)] = (
            ("time",),
            values,
            {key: value for key, value in attrs.items() if value},
        )
    data = xr.Dataset(variables, axes)
    data.attrs = about(engine, names, place)
    return data


def histogram_dataset(
    engine: Engine, names: Sequence[str], time: np.datetime64, where: str, edges: Float
) -> xr.Dataset:
    """Shares of a region's area by CO2 at one time, ``share_NAME(co2)`` in % per umol/mol.

    Parameters
    ----------
    edges : (bins + 1,) umol/mol
    """
    import xarray as xr

    chosen = region(where)
    weights = chosen.mask(engine.grid) * engine.grid.area
    variables = {}
    for name in names:
        shares = diagnostics.histogram(engine.field(name, time), weights, edges)
        attrs = {"units": "% (umol mol-1)-1", "long_name": f"share of the area, {name}"}
        variables[variable("share", name)] = ("co2", 100 * shares, attrs | {"model": name})
    data = xr.Dataset(variables, _bins("co2", edges, CO2.units, "surface CO2"))
    data.attrs = about(engine, names, f"{chosen.name_en} ({chosen.key})")
    data.attrs["title"] = f"Shares of the area by CO2 at {time} UTC: {', '.join(names)}"
    data.attrs["time"] = f"{time}Z"
    return data


def _bins(name: str, edges: Float, units: str, long: str) -> dict[str, Any]:
    """The middles of bins as an axis, with where they begin and end."""
    attrs = {"units": units, "long_name": f"{long}, middle of the bin"}
    ends = {"units": units}
    return {
        name: (name, (edges[:-1] + edges[1:]) / 2, attrs),
        f"{name}_low": (name, edges[:-1], ends | {"long_name": f"{long}, start of the bin"}),
        f"{name}_high": (name, edges[1:], ends | {"long_name": f"{long}, end of the bin"}),
    }


def hovmoller_dataset(
    engine: Engine, layer: str, times: ArrayLike, where: str, progress: Progress | None = None
) -> xr.Dataset:
    """Zonal means of a layer over a region, ``NAME(time, lat)`` in the schema's units."""
    import xarray as xr

    wanted = np.atleast_1d(np.asarray(times, dtype="datetime64[s]"))
    chosen = region(where)
    name, attrs = layer_variable(layer)
    values = diagnostics.hovmoller(engine, layer, wanted, chosen.mask(engine.grid), progress)
    if not np.isfinite(values).any():
        raise UserError(f"{layer}: nothing from {wanted[0]} to {wanted[-1]}; choose another time")
    axes = _axes(engine, wanted)
    del axes["lon"]
    attrs |= {"cell_methods": "lon: mean"}
    data = xr.Dataset({name: (("time", "lat"), values.astype(np.float32), attrs)}, axes)
    data.attrs = about(engine, [layer], f"{chosen.name_en} ({chosen.key}), zonal mean")
    data.attrs["title"] = f"Zonal means of {layer}, {wanted[0]} to {wanted[-1]} UTC"
    return data


def latitude_dataset(
    engine: Engine, models: Sequence[str], times: ArrayLike, progress: Progress | None = None
) -> xr.Dataset:
    """Root mean square error along every row of cells over some times, ``rmse_NAME(lat)``."""
    import xarray as xr

    axes = _axes(engine, np.empty(0, dtype="datetime64[s]"))
    variables = {}
    for name in models:
        truth, values, wanted = _pairs(engine, name, times, progress)
        attrs = {"units": CO2.units, "long_name": f"root mean square error, {name}", "model": name}
        errors = diagnostics.error_by_latitude(truth, values)
        variables[variable("rmse", name)] = ("lat", errors, attrs | _when(wanted))
    data = xr.Dataset(variables, {"lat": axes["lat"]})
    data.attrs = about(engine, models, "all longitudes of each row of cells")
    data.attrs["title"] = f"Error by latitude: {', '.join(models)}"
    return data


def density_dataset(
    engine: Engine,
    models: Sequence[str],
    times: ArrayLike,
    limits: tuple[float, float],
    size: int = 160,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Cells and times by truth and model, ``count_NAME(model, truth)``.

    Parameters
    ----------
    limits
        Of both axes, umol/mol; what lies beyond is not counted.
    size
        Bins along each.
    """
    import xarray as xr

    edges = np.linspace(*limits, size + 1)
    axes = _bins("truth", edges, CO2.units, "surface CO2 of the truth")
    axes |= _bins("model", edges, CO2.units, "surface CO2 of the model")
    variables = {}
    for name in models:
        truth, values, wanted = _pairs(engine, name, times, progress)
        counts = diagnostics.density(truth, values, limits, size)
        attrs = {"units": "1", "long_name": f"cells and times, {name} against truth", "model": name}
        variables[variable("count", name)] = (("model", "truth"), counts, attrs | _when(wanted))
    data = xr.Dataset(variables, axes)
    data.attrs = about(engine, models, "global, all cells")
    data.attrs["title"] = f"Models against truth: {', '.join(models)}"
    return data


def _pairs(
    engine: Engine, name: str, times: ArrayLike, progress: Progress | None
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.datetime64]]:
    """Truth and model at those of the times at which both can be had."""
    wanted = np.atleast_1d(np.asarray(times, dtype="datetime64[s]"))
    wanted = wanted[np.isin(wanted, engine.times(name)) & np.isin(wanted, engine.times(TRUTH))]
    if not wanted.size:
        raise UserError(f"{name} has nothing at these times; it reads the frames before them")
    return engine.fields(TRUTH, wanted), engine.fields(name, wanted, progress), wanted


def _when(times: NDArray[np.datetime64]) -> dict[str, Any]:
    return {"times": f"{times.size} from {times[0]}Z to {times[-1]}Z"}


def case_dataset(engine: Engine, found: CaseSeries) -> xr.Dataset:
    """Daily means of a case over its region, ``co2_NAME(time)``."""
    import xarray as xr

    names = list(found.values)
    variables = {
        variable("co2", name): (
            "time",
            values,
            {
                "units": CO2.units,
                "standard_name": CO2.standard_name,
                "long_name": f"surface CO2, {name}",
                "model": name,
                "cell_methods": "area: mean time: mean (day)",
            },
        )
        for name, values in found.values.items()
    }
    axes = _axes(engine, found.days.astype("datetime64[s]"), plane=False)
    data = xr.Dataset(variables, axes)
    data.attrs = _about_case(engine, found.case, names)
    return data


def case_scores_dataset(engine: Engine, found: CaseSeries) -> xr.Dataset:
    """First, last and change of every series of a case, and the models' scores, ``NAME(name)``."""
    import xarray as xr

    columns = {
        "first": (CO2.units, "mean of the first day"),
        "last": (CO2.units, "mean of the last day"),
        "change": (CO2.units, "last less first; of compared years the last less the first"),
        "rmse": (CO2.units, "root mean square difference of daily means from the truth's"),
        "correlation": ("1", "correlation of the daily means with the truth's"),
        "amplitude": ("1", "standard deviation of the daily means over the truth's"),
    }
    names = list(found.values)
    rows = [
        {"first": float(v[0]), "last": float(v[-1]), "change": found.change(v)}
        | dict(found.scores.get(name, {}))
        for name, v in found.values.items()
    ]
    variables = {
        key: ("name", [row.get(key, np.nan) for row in rows], {"units": unit, "long_name": long})
        for key, (unit, long) in columns.items()
    }
    data = xr.Dataset(variables, {"name": ("name", names, {"long_name": "truth or model"})})
    data.attrs = _about_case(engine, found.case, names)
    return data


def _about_case(engine: Engine, case: Case, names: Sequence[str]) -> dict[str, Any]:
    chosen = region(case.region)
    attrs = about(engine, names, f"{chosen.name_en} ({chosen.key}), area mean")
    attrs["title"] = (
        f"{case.title['en']}, {', '.join(case.months) or f'{case.start} to {case.end}'}"
    )
    attrs["case"] = case.key
    return attrs


def network_dataset(engine: Engine, found: AtStations) -> xr.Dataset:
    """Scores of models at every station over the times found, ``METRIC_NAME(station)``."""
    import xarray as xr

    variables = {}
    for name in found.values:
        for metric, values in found.scores(name).items():
            unit = "1" if metric == "correlation" else CO2.units
            attrs = {"units": unit, "long_name": f"{metric} against the observation, {name}"}
            variables[variable(metric, name)] = ("station", values, attrs | {"model": name})
    data = xr.Dataset(variables, _stations(engine))
    data.attrs = about(engine, list(found.values), "the stations' cells")
    data.attrs["title"] = f"Models against the stations, {_span(found.times)}"
    data.attrs["times"] = _when(found.times)["times"]
    return data


def _stations(engine: Engine) -> dict[str, Any]:
    network = engine.stations
    return {
        "station": ("station", list(network.code), {"cf_role": "timeseries_id"}),
        "station_name": ("station", list(network.name), {"long_name": "name of the station"}),
        "lat": ("station", network.lat, {"units": "degrees_north", "standard_name": "latitude"}),
        "lon": ("station", network.lon, {"units": "degrees_east", "standard_name": "longitude"}),
        "altitude": ("station", network.altitude, {"units": "m", "standard_name": "altitude"}),
    }


def _span(times: NDArray[np.datetime64]) -> str:
    first, last = (np.datetime_as_string(time, unit="D") for time in times[[0, -1]])
    return f"{first} to {last}"


def _place(engine: Engine, code: str) -> tuple[int, str, dict[str, Any]]:
    """Number, words and scalar coordinates of a station."""
    network = engine.stations
    if code not in network.code:
        raise UserError(f"there is no station '{code[:20]}'; there are {', '.join(network.code)}")
    n = network.code.index(code)
    axes = {name: ((), value[1][n], value[2]) for name, value in _stations(engine).items()}
    place = f"{code}, {network.name[n]}, {network.lat[n]:.3f} N, {network.lon[n]:.3f} E"
    return n, f"{place}, {network.altitude[n]:.0f} m", axes


def station_dataset(engine: Engine, found: AtStations, code: str) -> xr.Dataset:
    """What a station reports and the models in its cell, ``co2_NAME(time)``."""
    import xarray as xr

    n, place, axes = _place(engine, code)
    series = {OBSERVED: found.observed} | found.values
    variables = {
        variable("co2", name): ("time", values[:, n], _co2(name)) for name, values in series.items()
    }
    data = xr.Dataset(variables, _axes(engine, found.times, plane=False) | axes)
    data.attrs = about(engine, list(found.values), place) | {"featureType": "timeSeries"}
    data.attrs["title"] = f"CO2 at {code}, {_span(found.times)}"
    return data


def _co2(name: str) -> dict[str, Any]:
    return {
        "units": CO2.units,
        "standard_name": CO2.standard_name,
        "long_name": f"surface CO2, {name}",
        "model": name,
    }


def residuals_dataset(engine: Engine, found: AtStations, code: str, bins: int = 31) -> xr.Dataset:
    """How often a model differs by how much from what a station reports, ``count_NAME(residual)``.

    The bins reach to the 99.5 % quantile of all differences, at least 1 umol/mol; what lies beyond
    counts in the last ones.
    """
    import xarray as xr

    n, place, axes = _place(engine, code)
    residuals = {
        name: one[np.isfinite(one)]
        for name, one in ((k, v[:, n] - found.observed[:, n]) for k, v in found.values.items())
    }
    edges = residual_edges(list(residuals.values()), bins)
    variables = {}
    for name, one in residuals.items():
        counts, _ = np.histogram(np.clip(one, edges[0], edges[-1]), edges)
        attrs = {"units": "1", "long_name": f"times, {name} less the observation", "model": name}
        variables[variable("count", name)] = ("residual", counts, attrs)
    data = xr.Dataset(
        variables, _bins("residual", edges, CO2.units, "model less observation") | axes
    )
    data.attrs = about(engine, list(found.values), place)
    data.attrs["title"] = f"Residuals at {code}, {_span(found.times)}"
    return data


def residual_edges(residuals: Sequence[Float], bins: int) -> NDArray[np.float64]:
    """(bins + 1,): symmetric about zero, to the 99.5 % quantile, at least 1 umol/mol."""
    every = np.abs(np.concatenate(residuals)) if residuals else np.empty(0)
    reach = max(1.0, float(np.percentile(every, 99.5))) if every.size else 1.0
    return np.linspace(-reach, reach, bins + 1)


def cycle_dataset(engine: Engine, cycle: Cycle, code: str) -> xr.Dataset:
    """Monthly means of a station and of the models in its cell, ``co2_NAME(time)``."""
    import xarray as xr

    n, place, axes = _place(engine, code)
    months = np.array(cycle.months, dtype="datetime64[M]").astype("datetime64[s]")
    series = {OBSERVED: cycle.observed} | cycle.values
    variables = {
        variable("co2", name): (
            "time",
            values[:, n],
            _co2(name) | {"cell_methods": "time: mean (month, at the same frames and hours)"},
        )
        for name, values in series.items()
    }
    data = xr.Dataset(variables, _axes(engine, months, plane=False) | axes)
    data.attrs = about(engine, list(cycle.values), place)
    data.attrs["title"] = f"Monthly means at {code}, {', '.join(cycle.months)}"
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
            if "time" in data.coords:
                encoding["time"] = {"units": "seconds since 1970-01-01", "dtype": "int64"}
            data.to_netcdf(draft, engine="netcdf4", encoding=encoding)
        else:
            lines = [
                f"# {name}: {one.attrs['long_name']} ({one.attrs['units']})"
                for name, one in data.data_vars.items()
            ]
            for name, one in data.coords.items():
                units = one.attrs.get("units", "")
                if not one.dims:
                    lines.append(f"# {name}: {one.item()} {units}".rstrip())
                elif units:
                    lines.append(f"# {name}: {one.attrs.get('long_name', name)} ({units})")
            single = [name for name in data.coords if not data[name].dims]
            frame = data.drop_vars(single).to_dataframe()
            _write_text(draft, data.attrs, lines, frame.to_csv(**_TEXT))
    return path


_TEXT: dict[str, Any] = {"float_format": "%.6g", "date_format": "%Y-%m-%dT%H:%M:%SZ"}


def _write_text(path: Path, attrs: Mapping[str, Any], lines: list[str], table: str) -> None:
    head = [f"# {key}: {' '.join(str(value).split())}" for key, value in attrs.items()]
    path.write_text("\n".join([*head, *lines]) + "\n" + table, encoding="utf-8")


def save_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    path: str | Path,
    attrs: Mapping[str, Any],
) -> Path:
    """Write a table as comma-separated values, its attributes first as lines that begin with #."""
    import pandas as pd

    path = Path(path)
    frame = pd.DataFrame(rows, columns=list(columns))
    with atomic_path(path) as draft:
        _write_text(draft, attrs, [], frame.to_csv(index=False, float_format="%.6g"))
    return path
