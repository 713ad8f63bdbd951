"""Products of the sea's CO2 from NetCDF files, whatever their layout: to `ProductFields`.

Variables are found by the names that products use, or named by the user; coordinates may run in
any order and turn. Known by name: the kriged monthly fields that FluxEngine made of SOCAT
(``pCO2_2010_interpolated_pred``, ``Tcl_2010``, ``vCO2``), climatologies of the kind of Takahashi
et al. (``pCO2_sw``, ``SST_t``, ``salinity``, ``sea_ice_coverage``), and CF or CMIP names
(``spco2``, ``tos``, ``sos``, ``siconc``, ``talk``). The months are those of the time axis, of the
file's name (``201007...`` or ``2010-07``) where that is bogus, or January to December where there
are twelve of a year that is given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from co2net.datasets import guard, netcdf
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.ocean.fields import QUANTITIES, ProductFields

_NAMES = {
    "pco2": r"spco2|pco2|pco2_?(sw|sea|ocean|surf)|pco2_\d{4}_interpolated_pred",
    "pco2_sd": r"pco2_\d{4}_interpolated_error|s?pco2_(sd|std|unc|uncertainty|error)",
    "sst": r"sst|sst_t|tos|tcl_\d{4}|sea_surface_temperature|analysed_sst",
    "salinity": r"sss|sos|salinity|sea_surface_salinity",
    "ice": r"ice|siconc|sic|sea_ice_(coverage|fraction|area_fraction|concentration)(_mean)?",
    "alkalinity": r"talk|talkos|alkalinity|total_alkalinity",
    "xco2": r"vco2|xco2|vco2_air|xco2_air",
}
_ONE = dict.fromkeys(("1", "", "psu", "pss", "pss-78", "pss78", "1e-3", "0.001", "g/kg"), 1.0)
_UATM = {"uatm": 1.0, "microatm": 1.0, "pa": 1e6 / 101325.0, "ubar": 1.0 / 1.01325}
_UNITS: dict[str, Mapping[str, float]] = {
    "pco2": _UATM,
    "pco2_sd": _UATM,
    "salinity": _ONE,
    "ice": {"1": 1.0, "": 1.0, "fraction": 1.0, "%": 0.01, "percent": 0.01},
    "alkalinity": {"umol/kg": 1.0, "umolkg-1": 1.0, "molm-3": 1e6 / 1025.0, "mol/m3": 1e6 / 1025.0},
}
_LATITUDES, _LONGITUDES = ("lat", "latitude", "y"), ("lon", "longitude", "x")
_IN_NAME = re.compile(r"(?<!\d)((?:19|20)\d{2})-?(0[1-9]|1[0-2])(?:\d{2})?(?!\d)")


def read_product(
    paths: str | Path | Sequence[str | Path],
    grid: LatLonGrid,
    variables: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    year: int | None = None,
    title: str = "",
    licence: str = "",
) -> ProductFields:
    """Monthly fields of the sea from NetCDF files, on a grid.

    Parameters
    ----------
    paths
        Files, or a folder whose ``*.nc`` are meant.
    grid
        Cells that are wanted.
    variables : quantity of `co2net.ocean.fields.QUANTITIES` -> name
        For those that the table of names does not find.
    units : quantity or name -> unit
        For variables that state none.
    year
        That a climatology of twelve months stands for.
    title, licence
        Of the product; by default its file's ``title`` and ``license``.

    Raises
    ------
    UserError
        When a file cannot be read, a variable is missing or its unit unknown, or the months
        cannot be told.
    """
    files = _files(paths)
    for name in variables or {}:
        if name not in QUANTITIES:
            raise UserError(f"variable '{name[:40]}' is unknown; name {', '.join(QUANTITIES)}")
    parts = [guard.call(_read, f, dict(variables or {}), dict(units or {}), year) for f in files]
    first = parts[0]
    kept = [q for q in QUANTITIES if all(q in part["values"] for part in parts)]
    for part, path in zip(parts, files, strict=True):
        if part["grid"] != first["grid"]:
            raise UserError(f"{path}: lies on another grid than {files[0]}")
    return ProductFields(
        {q: np.concatenate([part["values"][q] for part in parts]) for q in kept},
        np.concatenate([part["months"] for part in parts]),
        LatLonGrid.from_dict(first["grid"]),
        grid,
        title=title or first["title"] or files[0].name,
        source=", ".join(f.name for f in files[:3]) + (", ..." if len(files) > 3 else ""),
        licence=licence or first["licence"],
    )


def _files(paths: str | Path | Sequence[str | Path]) -> list[Path]:
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    files: list[Path] = []
    for path in map(Path, given):
        files += sorted(path.glob("*.nc")) if path.is_dir() else [path]
    if not files:
        raise UserError(f"{given[0] if given else 'nothing'}: holds no NetCDF files (*.nc)")
    return files


def _read(
    path: Path, variables: dict[str, str], units: dict[str, str], year: int | None
) -> dict[str, Any]:
    """What a file has: values by quantity (n, H, W), months, grid, title, licence."""
    with netcdf.opened(path) as data:
        lat, lon = (_coordinate(data, names) for names in (_LATITUDES, _LONGITUDES))
        grid, rows, columns = LatLonGrid.from_coords(lat[:], lon[:])
        found = {q: _variable(data, q, variables, lat, lon) for q in QUANTITIES}
        values = {}
        for quantity, variable in found.items():
            if variable is not None:
                fields = _fields(variable, lat.dimensions[0], lon.dimensions[0])
                unit = units.get(quantity, units.get(variable.name))
                plain = _converted(quantity, variable, fields, unit)
                values[quantity] = plain[:, rows][:, :, columns]
        if "pco2" not in values:
            names = ", ".join(list(data.variables)[:12])
            raise UserError(f"has no pCO2 of the sea among {names}; name it as pco2=NAME")
        count = values["pco2"].shape[0]
        months = _months(data, path, count, year)
        for quantity, field in values.items():
            if field.shape[0] == 1 and count > 1:
                values[quantity] = np.repeat(field, count, axis=0)
            elif field.shape[0] != count:
                raise UserError(f"{quantity} has {field.shape[0]} months, pCO2 {count}")
        about = netcdf.attributes(data, ("title", "license", "licence"))
        return {
            "values": values,
            "months": months,
            "grid": grid.to_dict(),
            "title": about.get("title", ""),
            "licence": about.get("licence", about.get("license", "")),
        }


def _coordinate(data: Any, names: Sequence[str]) -> Any:
    for name, variable in data.variables.items():
        if name.lower() in names and variable.ndim == 1:
            return variable
    raise UserError(f"has no coordinate {names[0]}; only latitude by longitude can be read")


def _variable(data: Any, quantity: str, given: Mapping[str, str], lat: Any, lon: Any) -> Any | None:
    if quantity in given:
        if given[quantity] not in data.variables:
            known = ", ".join(list(data.variables)[:12])
            raise UserError(f"has no variable '{given[quantity][:40]}'; it has {known}")
        return data.variables[given[quantity]]
    pattern = re.compile(_NAMES[quantity], re.IGNORECASE)
    for name, variable in data.variables.items():
        axes = set(variable.dimensions)
        if pattern.fullmatch(name) and {lat.dimensions[0], lon.dimensions[0]} <= axes:
            return variable
    return None


def _fields(variable: Any, lat: str, lon: str) -> NDArray[Any]:
    """(n, H, W): the values with time first; NaN where masked or out of all bounds."""
    values = np.ma.filled(np.ma.asarray(variable[:]).astype(np.float64), np.nan)
    others = [axis for axis in variable.dimensions if axis not in (lat, lon)]
    long = [axis for axis in others if variable.shape[variable.dimensions.index(axis)] > 1]
    if len(long) > 1:
        raise UserError(f"{variable.name} has dimensions {', '.join(variable.dimensions)}")
    order = [variable.dimensions.index(axis) for axis in (*others, lat, lon)]
    values = values.transpose(order).reshape(-1, *(variable.shape[order[k]] for k in (-2, -1)))
    return np.where(np.abs(values) < 1e10, values, np.nan)


def _converted(
    quantity: str, variable: Any, values: NDArray[Any], unit: str | None
) -> NDArray[np.float64]:
    target = {"sst": "K", "xco2": "umol mol-1"}.get(quantity)
    if target is not None:
        plain = netcdf.converted(variable, values, target, unit, gaps=True).astype(np.float64)
        return plain - 273.15 if quantity == "sst" else plain
    stated = getattr(variable, "units", None) or unit
    known = _UNITS[quantity]
    if not isinstance(stated, str):
        if quantity in ("salinity", "ice"):
            return values
        raise UserError(f"{variable.name} states no units; say which with {quantity}=UNIT")
    short = re.sub(r"[\s^_]|\*\*", "", stated).lower().replace("\N{MICRO SIGN}", "u")
    short = short.replace("\N{GREEK SMALL LETTER MU}", "u")
    if short not in known:
        raise UserError(f"{variable.name}: units {stated!r} are not known for {quantity}")
    return values * known[short]


def _months(data: Any, path: Path, count: int, year: int | None) -> NDArray[np.datetime64]:
    """(count,) datetime64[M] of the fields of a file, in the year that is given."""
    stamps = _time_axis(data, count)
    named = _IN_NAME.search(path.name)
    if stamps is None and named and count == 1:
        stamps = np.array([f"{named[1]}-{named[2]}"], dtype="datetime64[M]")
    if stamps is None and year is not None and count == 12:
        stamps = np.datetime64(f"{year:04d}-01", "M") + np.arange(12)
    if stamps is None:
        raise UserError(
            f"cannot tell the months of its {count} fields: the time axis is bogus and the name "
            "has no YYYYMM; give the year of a climatology"
        )
    if year is not None:
        stamps = np.datetime64(f"{year:04d}-01", "M") + stamps.astype(int) % 12
    return stamps


def _time_axis(data: Any, count: int) -> NDArray[np.datetime64] | None:
    """Months of a time axis; None where there is none or it is bogus."""
    time = netcdf.find(data, ("time", "TIME", "Time", "date"))
    if time is None or time.ndim != 1 or time.size != count:
        return None
    try:
        stamps = netcdf.times(time).astype("datetime64[M]")
    except (UserError, ValueError, OverflowError):
        return None
    years = stamps.astype(int) // 12 + 1970
    return stamps if ((years >= 1900) & (years <= 2100)).all() else None
