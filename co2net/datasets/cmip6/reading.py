"""One CMIP6 file of table Amon: what it says of itself, and its values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from co2net.datasets import netcdf
from co2net.errors import UserError
from co2net.schema import VARIABLES

NAMES = {
    "co2": "co2",
    "ps": "air_pressure",
    "hus": "specific_humidity",
    "ta": "air_temperature",
    "ua": "eastward_wind",
    "va": "northward_wind",
}
"""CMIP6 name -> the store's."""
IDENTITY = ("source_id", "experiment_id", "variant_label", "grid_label")
"""Attributes in which all files of a store agree."""
KEPT = ("institution", "license", "further_info_url", "parent_experiment_id", "version")
"""Further attributes worth keeping."""
SPAN = re.compile(r"_(\d{4})(\d{2})-(\d{4})(\d{2})\.nc$")
"""First and last month in a file's name."""

_ON_LEVELS = {"co2", "hus", "ta", "ua", "va"}
_CALENDARS = {
    *("standard", "gregorian", "proleptic_gregorian"),
    *("365_day", "noleap", "366_day", "all_leap", "360_day"),
}
_FILL = 1e19


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

    Parameters
    ----------
    path
        The file.
    name
        Its variable, as CMIP6 names it.
    months : (n,) datetime64[M]
        Calendar months, ascending one by one.
    lat, lon : degrees
        One or two dimensions.
    levels : (L,) Pa
        From the ground up; empty for a variable of the surface.
    calendar
        As the file names it.
    identity
        Model, experiment, member, grid.
    attrs
        Global attributes worth keeping.
    """

    path: Path
    name: str
    months: NDArray[np.datetime64]
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    levels: NDArray[np.float64]
    calendar: str
    identity: tuple[str, ...]
    attrs: Mapping[str, str]

    @property
    def span(self) -> str:
        return f"{self.months[0]} to {self.months[-1]}"

    def same_grid(self, other: Header) -> bool:
        return (
            self.lat.shape == other.lat.shape
            and self.lon.shape == other.lon.shape
            and np.allclose(self.lat, other.lat, atol=1e-4)
            and np.allclose(self.lon, other.lon, atol=1e-4)
        )


def read_header(path: Path) -> Header:
    """Read what a file holds, but not its values.

    Raises
    ------
    UserError
        One line that begins with the path.
    """
    with netcdf.opened(path) as data:
        names = [name for name in NAMES if name in data.variables]
        if len(names) != 1:
            known = ", ".join(NAMES)
            raise UserError(f"holds {len(names)} of the variables {known}, not one")
        name = names[0]
        variable = data.variables[name]
        frequency = str(getattr(data, "frequency", "mon"))
        if not frequency.startswith("mon"):
            raise UserError(f"is of frequency {frequency!r}; monthly means (Amon) are wanted")
        months, calendar = _months(data, path)
        rows, columns = variable.dimensions[-2:]
        lat, lon = (_coordinate(data, variable, axis) for axis in ("latitude", "longitude"))
        on_levels = name in _ON_LEVELS
        if variable.ndim != 3 + on_levels or variable.dimensions[0] != "time":
            wanted = "time, plev, lat, lon" if on_levels else "time, lat, lon"
            raise UserError(f"{name} lies on ({', '.join(variable.dimensions)}), not {wanted}")
        sizes = (data.dimensions[rows].size, data.dimensions[columns].size)
        if lat.shape != sizes if lat.ndim == 2 else (lat.size, lon.size) != sizes:
            raise UserError(f"{name} lies on ({rows}, {columns}), its coordinates do not")
        levels = _levels(data, variable) if on_levels else np.empty(0)
        if variable.shape[0] != months.size:
            raise UserError(f"{name} has {variable.shape[0]} times, the axis {months.size}")
        netcdf.unit_of(variable, VARIABLES[NAMES[name]].units)
        attrs = netcdf.attributes(data, (*IDENTITY, *KEPT))
        return Header(
            path=path,
            name=name,
            months=months,
            lat=lat,
            lon=lon,
            levels=np.sort(levels)[::-1],
            calendar=calendar,
            identity=tuple(attrs.get(key, "") for key in IDENTITY),
            attrs=attrs,
        )


def _months(data: Any, path: Path) -> tuple[NDArray[np.datetime64], str]:
    """(n,) datetime64[M], and the name of the calendar."""
    import cftime

    if "time" not in data.variables:
        raise UserError("has no variable time")
    axis = data.variables["time"]
    units, calendar = str(getattr(axis, "units", "")), str(getattr(axis, "calendar", "standard"))
    if " since " not in units:
        raise UserError(f"time: units {units!r} are no time units")
    if calendar.lower() not in _CALENDARS:
        raise UserError(f"time: calendar {calendar!r} has other months than ours")
    values = np.ma.filled(np.ma.asarray(axis[:]).astype(np.float64), np.nan)
    bounds = data.variables.get(str(getattr(axis, "bounds", "")))
    if bounds is not None and bounds.shape == (values.size, 2):
        edges = np.ma.filled(np.ma.asarray(bounds[:]).astype(np.float64), np.nan)
        if not ((edges[:, 0] <= values) & (values <= edges[:, 1])).all():
            raise UserError("time: its stamps do not lie within their bounds")
        values = edges.mean(axis=1)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise UserError("time: times are missing")
    stamps = cftime.num2date(values, units, calendar=calendar.lower())
    if bounds is None and all((s.day, s.hour) == (1, 0) for s in stamps):
        raise UserError("time: its stamps lie between two months and it has no bounds to tell")
    text = [f"{stamp.year:04d}-{stamp.month:02d}" for stamp in stamps]
    months = np.array(text, dtype="datetime64[M]")
    if not (np.diff(months) == np.timedelta64(1, "M")).all():
        raise UserError("time: it does not go on month by month")
    named = SPAN.search(path.name)
    if named is not None:
        says = (f"{named[1]}-{named[2]}", f"{named[3]}-{named[4]}")
        if says != (str(months[0]), str(months[-1])):
            raise UserError(
                f"its name says {says[0]} to {says[1]}, its times {text[0]} to {text[-1]}"
            )
    return months, calendar


def _coordinate(data: Any, variable: Any, axis: str) -> NDArray[np.float64]:
    """Latitude or longitude of a variable: one dimension, or the two of a curvilinear grid."""
    short = axis[:3]
    last = variable.dimensions[-2:]
    for name, one in data.variables.items():
        named = getattr(one, "standard_name", "") == axis or name in (short, axis, f"nav_{short}")
        if named and one.dimensions and set(one.dimensions) <= set(last):
            values = np.ma.filled(np.ma.asarray(one[:]).astype(np.float64), np.nan)
            if one.dimensions == last or one.dimensions == last[axis == "longitude" :][:1]:
                return values
    raise UserError(f"has no {axis} on ({', '.join(last)})")


def _levels(data: Any, variable: Any) -> NDArray[np.float64]:
    """(L,) Pa, in the file's order."""
    name = variable.dimensions[1]
    if name not in data.variables:
        raise UserError(f"has no pressures for its levels ({name})")
    axis = data.variables[name]
    values = netcdf.converted(axis, axis[:], "Pa").astype(np.float64)
    if values.ndim != 1 or np.unique(values).size != values.size or values.min() <= 0:
        raise UserError(f"{name}: its levels are no pressures")
    return values


def read_values(path: Path, first: int, count: int, levels: int) -> NDArray[np.float32]:
    """(count, levels or 1, H, W): months of a file's variable in the store's unit; NaN is missing.

    Parameters
    ----------
    first, count
        Position of the first month, and how many.
    levels
        How many, from the ground up; 0 for a variable of the surface.
    """
    with netcdf.opened(path) as data:
        name = next(name for name in NAMES if name in data.variables)
        variable = data.variables[name]
        months = slice(first, first + count)
        if levels:
            order = np.argsort(_levels(data, variable))[::-1][:levels]
            low, high = int(order.min()), int(order.max()) + 1
            raw = variable[months, low:high][:, order - low]
        else:
            raw = variable[months][:, None]
        raw = np.ma.masked_where(np.abs(np.ma.filled(raw, np.nan)) >= _FILL, raw)
        return netcdf.converted(variable, raw, VARIABLES[NAMES[name]].units, gaps=True)
