"""The surface of one of CarbonTracker's daily files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from co2net.datasets import netcdf
from co2net.datasets.building import check_range
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.schema import AUXILIARY, VARIABLES

Day = np.datetime64

_AXES = {
    "time": ("time", "date"),
    "lat": ("latitude", "lat"),
    "lon": ("longitude", "lon"),
}
_NAMES = {
    "co2": ("co2",),
    "air_pressure": ("pressure", "press"),
    "specific_humidity": ("specific_humidity", "shum"),
    "air_temperature": ("temperature", "temp"),
    "eastward_wind": ("u",),
    "northward_wind": ("v",),
    "geopotential_height": ("gph",),
    "surface_altitude": ("orography",),
}
_ON_BOUNDARIES = ("air_pressure", "geopotential_height")
_RELEASE = re.compile(r"(CT[\w.-]*?)\.molefrac")
_DAY = re.compile(r"(?<!\d)(\d{4})-?(\d{2})-?(\d{2})(?!\d)")


@dataclass(frozen=True)
class DayFields:
    """The surface of one day's file.

    Parameters
    ----------
    path
        The file.
    time : (n,) datetime64[s]
        Centres of the intervals.
    grid
        Cells, as stores hold them.
    fields
        Name -> (n, H, W) float32 in the store's units; ``surface_altitude`` is (H, W).
    levels
        Number of model levels in the file.
    release
        Such as ``CT2022``.
    attrs
        Global attributes worth keeping.
    """

    path: Path
    time: NDArray[np.datetime64]
    grid: LatLonGrid
    fields: Mapping[str, NDArray[np.float32]]
    levels: int
    release: str
    attrs: Mapping[str, str]

    @property
    def offsets(self) -> NDArray[np.timedelta64]:
        """(n,): times of day."""
        return self.time - self.time[0].astype("M8[D]")

    @property
    def variables(self) -> tuple[str, ...]:
        """Auxiliary variables that the file has."""
        return tuple(name for name in AUXILIARY if name in self.fields)


def read_day(path: str | Path, units: Mapping[str, str] | None = None) -> DayFields:
    """Read the surface of one original file.

    Only the schema's variables are read, of them level 0 (boundaries 0 and 1).

    Parameters
    ----------
    path
        A daily file; a day in its name must be that of its times.
    units
        Store variable -> unit, for variables whose file states none.

    Raises
    ------
    UserError
        One line that begins with the path: the file is damaged, its layout or units are not
        those described, values are missing or out of range, or times are not one whole day.
    """
    path = Path(path)
    with netcdf.opened(path) as data:
        axes = {axis: _axis(data, names) for axis, names in _AXES.items()}
        stamps = _times_of_day(data.variables[axes["time"]], path)
        grid, rows, columns = LatLonGrid.from_coords(
            data.variables[axes["lat"]][:], data.variables[axes["lon"]][:]
        )
        co2 = netcdf.find(data, _NAMES["co2"])
        if co2 is None:
            raise UserError("has no variable co2; is it a file of mole fractions?")
        levels = co2.shape[_vertical(co2, axes)]
        fields = {}
        for name, names in _NAMES.items():
            variable = netcdf.find(data, names)
            if variable is None:
                continue
            assumed = (units or {}).get(name)
            if name == "surface_altitude":
                values = _altitude(variable, axes, assumed)
            elif name in _ON_BOUNDARIES:
                found = _from_boundaries(name, variable, axes, levels, assumed)
                if found is None:
                    continue
                values = found
            else:
                values = _lowest(variable, axes, slice(0, 1), VARIABLES[name].units, assumed)[0]
            check_range(name, values)
            fields[name] = np.ascontiguousarray(values[..., rows, :][..., columns])
        return DayFields(
            path=path,
            time=stamps,
            grid=grid,
            fields=fields,
            levels=levels,
            release=_release(path, data),
            attrs=netcdf.attributes(data, ("institution", "version", "disclaimer", "url")),
        )


def _axis(data: Any, names: Sequence[str]) -> str:
    for name in names:
        if name in data.dimensions and name in data.variables:
            return name
    raise UserError(f"has no dimension and coordinate {' or '.join(names)}")


def _vertical(variable: Any, axes: Mapping[str, str]) -> int:
    """Place of the one dimension that is neither time nor latitude nor longitude."""
    dims = variable.dimensions
    others = [place for place, dim in enumerate(dims) if dim not in axes.values()]
    if len(others) != 1 or len(dims) != 4:
        raise UserError(f"{variable.name} lies on ({', '.join(dims)}), not time, level, lat, lon")
    return others[0]


def _lowest(
    variable: Any, axes: Mapping[str, str], levels: slice, unit: str, assumed: str | None
) -> NDArray[np.float32]:
    """(levels, n, H, W): the lowest levels of a variable whose dimensions come in any order."""
    vertical = _vertical(variable, axes)
    if isinstance(variable.chunking(), list):
        # Without a cache HDF5 reads just these levels from a chunk that is not compressed.
        variable.set_var_chunk_cache(size=0)
    dims = list(variable.dimensions)
    index = tuple(levels if place == vertical else slice(None) for place in range(4))
    order = [vertical, *(dims.index(axes[axis]) for axis in ("time", "lat", "lon"))]
    return netcdf.converted(variable, variable[index].transpose(order), unit, assumed)


def _from_boundaries(
    name: str, variable: Any, axes: Mapping[str, str], levels: int, assumed: str | None
) -> NDArray[np.float32] | None:
    """(n, H, W): surface pressure, or height of the centre of the lowest level.

    None for pressure that a release gives at level centres: it is not that of the surface.
    """
    unit = VARIABLES[name].units
    count = variable.shape[_vertical(variable, axes)]
    if count == levels:
        if name == "air_pressure":
            return None
        return _lowest(variable, axes, slice(0, 1), unit, assumed)[0]
    if count != levels + 1:
        raise UserError(f"{variable.name} has {count} boundaries of {levels} levels")
    ground, top = _lowest(variable, axes, slice(0, 2), unit, assumed)
    upward = ground > top if name == "air_pressure" else ground < top
    if not upward.all():
        raise UserError(f"{variable.name}: level 0 is not the lowest; the levels are in no order")
    return ground if name == "air_pressure" else (ground + top) / 2


def _altitude(variable: Any, axes: Mapping[str, str], assumed: str | None) -> NDArray[np.float32]:
    """(H, W) m: terrain from the surface geopotential, or from a height where units say so."""
    dims = list(variable.dimensions)
    values = variable[:]
    if axes["time"] in dims:
        place = dims.index(axes["time"])
        if np.ptp(values, axis=place).max() > 0:
            raise UserError(f"{variable.name} changes within the day")
        values = values.take(0, axis=place)
        del dims[place]
    if sorted(dims) != sorted((axes["lat"], axes["lon"])):
        raise UserError(f"{variable.name} lies on ({', '.join(dims)}), not latitude, longitude")
    if dims[0] == axes["lon"]:
        values = values.T
    try:
        return netcdf.converted(variable, values, "m", assumed)
    except UserError:
        return netcdf.converted(variable, values, "m2 s-2", assumed) / np.float32(netcdf.GRAVITY)


def _times_of_day(variable: Any, path: Path) -> NDArray[np.datetime64]:
    stamps = netcdf.times(variable)
    if stamps.size == 0:
        raise UserError("holds no times")
    days = np.unique(stamps.astype("M8[D]"))
    if days.size != 1:
        raise UserError(f"holds {days.size} days ({days[0]} to {days[-1]}), not one")
    step = np.timedelta64(86400, "s") / stamps.size
    if stamps.size > 1 and not (np.diff(stamps) == step).all():
        raise UserError(f"its {stamps.size} times are not a whole day in equal steps")
    named = day_in_name(path)
    if named is not None and named != days[0]:
        raise UserError(f"its name says {named}, its times {days[0]}")
    return stamps


def day_in_name(path: Path) -> Day | None:
    """The day in a file's name; None where there is none (a monthly mean, another file)."""
    for year, month, day in _DAY.findall(path.name):
        try:
            return Day(f"{year}-{month}-{day}", "D")
        except ValueError:
            continue
    return None


def _release(path: Path, data: Any) -> str:
    named = _RELEASE.match(path.name)
    stated = re.search(r"\bCT[\w.-]*\d[\w.-]*", str(getattr(data, "version", "")))
    return named[1] if named else stated[0] if stated else "of unknown release"
