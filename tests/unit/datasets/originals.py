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
