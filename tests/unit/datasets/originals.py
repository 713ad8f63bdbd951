"""Writes files in the layout of CarbonTracker's daily mole fractions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from tests.synthetic import SyntheticSource

NEW = {
    "time": "time",
    "latitude": "latitude",
    "longitude": "longitude",
    "pressure": "pressure",
    "temperature": "temperature",
    "specific_humidity": "specific_humidity",
}
OLD = {
    "time": "date",
    "latitude": "lat",
    "longitude": "lon",
    "pressure": "press",
    "temperature": "temp",
    "specific_humidity": "shum",
}


def write_day(
    folder: Path,
    day: str,
    source: SyntheticSource,
    *,
    levels: int = 34,
    release: str = "CT2022",
    old_names: bool = False,
    name: str | None = None,
    format: str = "NETCDF4",
    packed: bool = True,
) -> Path:
    """One day of a source as an original file.

    Level 0 holds the source's fields, higher levels something else; boundaries 0 and 1 are such
    that the surface pressure and the centre of the lowest level are the source's.
    """
    names = OLD if old_names else NEW
    first = np.datetime64(day, "s") + np.timedelta64(5400, "s")
    index = np.flatnonzero(
        (source.time >= first) & (source.time < np.datetime64(day, "s") + np.timedelta64(1, "D"))
    )
    fields = dict(
        zip(("co2", *source.variables), source.read(["co2", *source.variables], index), strict=True)
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (name or f"{release}.molefrac_glb3x2_{day}.nc")
    with netCDF4.Dataset(path, "w", format=format) as data:
        data.setncatts(
            {
                "notes": "This file contains CarbonTracker mole fractions averaged over each time "
                "interval.  The times on the date axis are the centers of each averaging period.",
                "disclaimer": "CarbonTracker is an open product of the NOAA Earth System Research "
                "Laboratory",
                "email": "carbontracker.team@noaa.gov",
                "url": "http://carbontracker.noaa.gov",
                "institution": "NOAA Earth System Research Laboratory",
                "conventions": "CF-1.5",
                "history": "Created for a test",
                "version": f"CarbonTracker release version {release} - mole fraction output",
            }
        )
        time, lat, lon = names["time"], names["latitude"], names["longitude"]
        sizes = {
            time: None,
            "level": levels,
            "boundary": levels + 1,
            lat: source.grid.lat.size,
            lon: source.grid.lon.size,
            "calendar_components": 6,
        }
        for dim, size in sizes.items():
            data.createDimension(dim, size)

        def put(key: str, dims: Sequence[str], values: Any, units: str, kind: str = "f4") -> None:
            compress = packed and kind == "f4" and format == "NETCDF4"
            packing = {"zlib": True, "complevel": 1} if compress else {}
            fill = {"fill_value": np.float32(-1e34)} if kind == "f4" else {}
            variable = data.createVariable(key, kind, dims, **packing, **fill)
            variable.units = units
            variable[:] = values

        seconds = (source.time[index] - np.datetime64("2000-01-01")).astype(float)
        put(time, (time,), seconds / 86400, "days since 2000-01-01 00:00:00 UTC", "f8")
        put("level", ("level",), np.arange(1, levels + 1), "NA", "i4")
        put("boundary", ("boundary",), np.arange(1, levels + 2), "NA", "i4")
        put(lat, (lat,), source.grid.lat, "degrees_north", "f8")
        put(lon, (lon,), source.grid.lon, "degrees_east", "f8")
        put("decimal_date", (time,), 2000 + seconds / 86400 / 365.25, "years", "f8")
        parts = np.zeros((index.size, 6), dtype=np.int32)
        put("time_components", (time, "calendar_components"), parts, "NA", "i4")

        up = np.arange(levels, dtype=np.float32)[None, :, None, None]
        fall = np.linspace(1, 0, levels + 1, dtype=np.float32)[None, :, None, None]
        rise = (25 + 50 * (np.arange(levels + 1) - 1))[None, :, None, None]
        on_levels, on_boundaries = (time, "level", lat, lon), (time, "boundary", lat, lon)
        for key, field, slope, units in (
            ("co2", "co2", 0.5, "micromol mol-1"),
            (names["temperature"], "air_temperature", -2.0, "K"),
            (names["specific_humidity"], "specific_humidity", 1e-4, "(kg water)/(kg air)"),
            ("u", "eastward_wind", 1.5, "m/s"),
            ("v", "northward_wind", -1.5, "m/s"),
        ):
            put(key, on_levels, fields[field][:, None] + np.float32(slope) * up, units)
        put("air_mass", on_levels, fields["co2"][:, None] * 0 + 1e12 + up, "kg")
        put(names["pressure"], on_boundaries, fields["air_pressure"][:, None] * fall, "Pa")
        put("gph", on_boundaries, fields["geopotential_height"][:, None] + rise, "m")
        put("blh", (time, lat, lon), fields["co2"] * 0 + 800, "m")
        put("orography", (lat, lon), fields["surface_altitude"][0] * np.float32(9.80665), "m^2/s^2")
    return path


def edit(path: Path, variable: str, **changes: Any) -> None:
    """Change attributes of a variable; None removes one. ``values`` replaces what it holds."""
    with netCDF4.Dataset(path, "a") as data:
        target = data.variables[variable]
        if "values" in changes:
            target[:] = changes.pop("values")
        for key, value in changes.items():
            if value is None:
                target.delncattr(key)
            else:
                target.setncattr(key, value)


# -- CMIP6 ----------------------------------------------------------------------------------

CMIP6_UNITS = {"co2": "mol mol-1", "ps": "Pa", "hus": "1", "ta": "K", "ua": "m s-1", "va": "m s-1"}
PLEV = np.array(
    [100000, 92500, 85000, 70000, 60000, 50000, 40000, 30000, 25000, 20000, 15000, 10000, 7000,
     5000, 3000, 2000, 1000, 500, 100], dtype=np.float64,
)  # fmt: skip


def write_cmip6(
    folder: Path,
    name: str,
    months: Sequence[str],
    values: Any,
    lat: Any,
    lon: Any,
    *,
    calendar: str = "365_day",
    levels: Any = PLEV,
    experiment: str = "esm-hist",
    bounds: bool = True,
    file: str | None = None,
) -> Path:
    """A file of table Amon, as CanESM5's are: time in days since 1850 in the model's calendar.

    Parameters
    ----------
    months
        ``YYYY-MM``, in a row.
    values
        (n, L, H, W), or (n, H, W) for ps; NaN is written as 1e20.
    lat, lon
        One dimension each, or (H, W).
    """
    import cftime

    folder.mkdir(parents=True, exist_ok=True)
    months = list(months)
    span = f"{months[0].replace('-', '')}-{months[-1].replace('-', '')}"
    path = folder / (file or f"{name}_Amon_CanESM5_{experiment}_r1i1p1f1_gn_{span}.nc")
    units = "days since 1850-01-01 0:0:0.0"
    starts = []
    for month in [*months, str(np.datetime64(months[-1], "M") + 1)]:
        year, number = (int(word) for word in month.split("-"))
        first = cftime.datetime(year, number, 1, calendar=calendar)
        starts.append(cftime.date2num(first, units, calendar=calendar))
    edges = np.array([starts[:-1], starts[1:]]).T
    lat, lon, values = np.asarray(lat), np.asarray(lon), np.asarray(values)
    with netCDF4.Dataset(path, "w") as data:
        data.setncatts(
            {
                "source_id": "CanESM5",
                "experiment_id": experiment,
                "variant_label": "r1i1p1f1",
                "grid_label": "gn",
                "table_id": "Amon",
                "frequency": "mon",
                "institution": "Canadian Centre for Climate Modelling and Analysis",
                "license": "CC BY-SA 4.0",
                "Conventions": "CF-1.7",
            }
        )
        data.createDimension("time", None)
        data.createDimension("bnds", 2)
        horizontal = ("lat", "lon") if lat.ndim == 1 else ("j", "i")
        for dim, size in zip(horizontal, values.shape[-2:], strict=True):
            data.createDimension(dim, size)
        time = data.createVariable("time", "f8", ("time",))
        time.setncatts({"units": units, "calendar": calendar, "standard_name": "time"})
        time[:] = edges.mean(axis=1)
        if bounds:
            time.bounds = "time_bnds"
            data.createVariable("time_bnds", "f8", ("time", "bnds"))[:] = edges
        names = ("lat", "lon") if lat.ndim == 1 else ("latitude", "longitude")
        for key, long, axis in zip(names, ("latitude", "longitude"), (lat, lon), strict=True):
            dims = horizontal if axis.ndim == 2 else (key,)
            variable = data.createVariable(key, "f8", dims)
            variable.setncatts({"units": "degrees", "standard_name": long})
            variable[:] = axis
        dims = ("time", *horizontal)
        if values.ndim == 4:
            data.createDimension("plev", values.shape[1])
            plev = data.createVariable("plev", "f8", ("plev",))
            plev.setncatts({"units": "Pa", "standard_name": "air_pressure", "positive": "down"})
            plev[:] = np.asarray(levels)[: values.shape[1]]
            dims = ("time", "plev", *horizontal)
        variable = data.createVariable(name, "f4", dims, zlib=True, fill_value=np.float32(1e20))
        variable.setncatts({"units": CMIP6_UNITS[name], "missing_value": np.float32(1e20)})
        variable[:] = np.where(np.isnan(values), 1e20, values)
    return path


# -- ObsPack --------------------------------------------------------------------------------


def write_obspack(
    folder: Path,
    code: str,
    time: Any,
    value: Any,
    *,
    project: str = "surface-insitu",
    lab: str = "NOAA",
    number: int = 1,
    tag: str = "allvalid",
    lat: Any = 19.536,
    lon: Any = -155.576,
    altitude: float = 3437.0,
    intake: float = 40.0,
    molar: bool = True,
    qcflag: Sequence[str] | None = None,
    obs_flag: Sequence[int] | None = None,
    nvalue: Sequence[int] | None = None,
    spread: Sequence[float] | None = None,
    attrs: dict[str, Any] | None = None,
    text: bool = False,
) -> Path:
    """A dataset as GLOBALVIEWplus has it (mol mol-1), or as NOAA's own files are (micromol).

    Parameters
    ----------
    time
        Starts of the intervals, datetime64.
    value
        umol/mol; NaN is written as the fill of the convention, -99 as the -999.99 that is none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    time, value = np.asarray(time, dtype="M8[s]"), np.asarray(value, dtype=np.float64)
    size = value.size
    name = f"co2_{code.lower()}_{project}_{number}_{tag}"
    seconds = (time - np.datetime64("1970-01-01", "s")).astype(np.int64)
    fill = -1e34 if molar else -999.999
    known = np.where(np.isnan(value), fill, value * (1e-6 if molar else 1))
    known = np.where(value == -99, -999.99, known)
    flags = list(qcflag or ["..."] * size)
    table = {
        "latitude": np.broadcast_to(lat, size),
        "longitude": np.broadcast_to(lon, size),
        "altitude": np.full(size, altitude),
        "intake_height": np.full(size, intake),
        "nvalue": np.asarray(nvalue if nvalue is not None else [1] * size),
        "value_std_dev": np.asarray(spread if spread is not None else [np.nan] * size)
        * (1e-6 if molar else 1),
    }
    units = "mol mol-1" if molar else "micromol mol-1"
    about = {
        "site_code": code,
        "site_name": f"Site {code}",
        "site_latitude": float(np.mean(table["latitude"])),
        "site_longitude": float(np.mean(table["longitude"])),
        "site_elevation": altitude - intake,
        "site_utc2lst": -10.0,
        "dataset_name": name,
        "dataset_project": project,
        "dataset_platform": "fixed",
        "dataset_selection_tag": tag,
        "dataset_calibration_scale": "CO2_X2019",
        "lab_1_abbr": lab,
        "obspack_name": "obspack_co2_1_GLOBALVIEWplus_v10.0_2024-09-26",
        **(attrs or {}),
    }
    if text:
        path = folder / f"{name}.txt"
        parts = [str(stamp).replace("T", "-").replace(":", "-").split("-") for stamp in time]
        lines = [f"# {key} : {words}" for key, words in about.items()]
        lines += ["# site_code:long_name : site_name_abbreviation.", f"# value:units : {units}"]
        lines += ["#", "# site_code year month day hour minute second value " + " ".join(table)
                  + " qcflag"]  # fmt: skip
        for n in range(size):
            cells = [f"{column[n]:.9g}" for column in table.values()]
            words = [code, *parts[n], f"{known[n]:.9g}", *cells, flags[n]]
            lines.append(" ".join(words))
        path.write_text("\n".join(lines) + "\n")
        return path
    path = folder / f"{name}.nc"
    with netCDF4.Dataset(path, "w") as data:
        data.setncatts(about)
        data.createDimension("obs", None)
        data.createDimension("calendar_components", 6)
        data.createDimension("string_of_10chars", 10)
        axis = data.createVariable("time", "i4", ("obs",))
        axis.units = "seconds since 1970-01-01T00:00:00Z"
        axis[:] = seconds
        variable = data.createVariable("value", "f8", ("obs",), fill_value=fill)
        variable.units = units
        variable.set_auto_maskandscale(False)
        variable[:] = known
        for key, column in table.items():
            data.createVariable(key, "f8", ("obs",), fill_value=-999.999)[:] = np.where(
                np.isnan(column), -999.999, column
            )
        if obs_flag is not None:
            data.createVariable("obs_flag", "i4", ("obs",), fill_value=-9)[:] = list(obs_flag)
        letters = data.createVariable("qcflag", "S1", ("obs", "string_of_10chars"))
        letters[:] = netCDF4.stringtochar(np.array(flags, "S10"))
    return path
