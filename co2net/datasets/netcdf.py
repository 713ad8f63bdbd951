"""NetCDF files from elsewhere: is the file whole, what is in it, and in which units.

Files are judged before a library touches them: a web page saved as ``.nc``, an empty or a
cut-off file is named in one line. Units are converted by table; a unit that is not in the table,
or a variable without one, is an error, never a guess.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from co2net.errors import UserError

GRAVITY = 9.80665
"""Standard gravity (m s-2), which turns geopotential into geopotential height."""

_HDF5 = b"\x89HDF\r\n\x1a\n"
_FROM_DAMAGED = (
    *(OSError, RuntimeError, ArithmeticError, AttributeError),
    *(LookupError, TypeError, ValueError, MemoryError),
)
_CALENDARS = {"standard", "gregorian", "proleptic_gregorian"}
_CENTURIES_S = 1e11

# Factor and offset from a unit, written as `_normal` writes it, to the store's unit.
_UNITS: dict[str, dict[str, tuple[float, float]]] = {
    "umol mol-1": {
        **dict.fromkeys(("umol/mol", "umolmol-1", "micromol/mol", "micromolmol-1"), (1.0, 0.0)),
        **dict.fromkeys(("ppm", "ppmv", "1e-6", "1e-6mol/mol", "1e-6molmol-1"), (1.0, 0.0)),
        **dict.fromkeys(("mol/mol", "molmol-1", "1"), (1e6, 0.0)),
    },
    "Pa": {
        **dict.fromkeys(("pa", "pascal", "pascals"), (1.0, 0.0)),
        **dict.fromkeys(("hpa", "mb", "mbar", "millibar", "millibars"), (100.0, 0.0)),
        "kpa": (1000.0, 0.0),
    },
    "kg kg-1": {
        **dict.fromkeys(("kg/kg", "kgkg-1", "1"), (1.0, 0.0)),
        **dict.fromkeys(("(kgwater)/(kgair)", "kgwater/kgair", "kg(h2o)kg(air)-1"), (1.0, 0.0)),
        **dict.fromkeys(("g/kg", "gkg-1"), (1e-3, 0.0)),
    },
    "K": {
        **dict.fromkeys(("k", "kelvin", "degk", "degreesk"), (1.0, 0.0)),
        **dict.fromkeys(("degc", "celsius", "degreesc", "degreescelsius"), (1.0, 273.15)),
    },
    "m s-1": dict.fromkeys(("m/s", "ms-1", "meters/second", "metres/second"), (1.0, 0.0)),
    "m": {
        **dict.fromkeys(("m", "meter", "meters", "metre", "metres", "gpm"), (1.0, 0.0)),
        "km": (1000.0, 0.0),
    },
    "m2 s-2": dict.fromkeys(("m2/s2", "m2s-2", "j/kg", "jkg-1"), (1.0, 0.0)),
}


def _normal(unit: str) -> str:
    """A unit in one spelling: lower case, no blanks, no signs of powers, plain u for micro."""
    text = (
        unit.strip()
        .lower()
        .replace("\N{MICRO SIGN}", "u")
        .replace("\N{GREEK SMALL LETTER MU}", "u")
    )
    return re.sub(r"\s+|\^|\*\*", "", text).replace("_", "")


def conversion(unit: str, target: str) -> tuple[float, float]:
    """Factor and offset that bring values in a unit to a store's unit.

    Raises
    ------
    UserError
        When the unit is not known to be convertible.
    """
    known = _UNITS[target]
    if _normal(unit) not in known:
        raise UserError(f"units {unit!r} are not known for a variable in {target}")
    return known[_normal(unit)]


def check_file(path: str | Path) -> None:
    """Make sure that a file is NetCDF and whole, from its first bytes and its length.

    HDF5 files state their own length (HDF5 file format specification, superblock versions 0-3);
    classic files (NetCDF-3) must hold every variable that their header announces.

    Raises
    ------
    UserError
        One line that says what the file is instead.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as handle:
            head = handle.read(64)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not head:
        raise UserError(f"{path}: is empty; fetch it again")
    if head.startswith(_HDF5):
        stated = _hdf5_length(head)
        if stated is None or size < stated:
            whole = "an unreadable header" if stated is None else f"{size} of {stated} bytes"
            raise UserError(f"{path}: is cut off or damaged ({whole}); fetch it again")
    elif head.startswith(b"CDF"):
        _check_classic(path)
    else:
        start = head[:24].decode("latin-1").strip()
        raise UserError(f"{path}: is no NetCDF file (it begins with {start!r}); fetch it again")


def _hdf5_length(head: bytes) -> int | None:
    """Length that the superblock states; None where it cannot be read."""
    place = {0: 40, 1: 44, 2: 28, 3: 28}.get(head[8] if len(head) > 8 else -1)
    if place is None or len(head) < place + 8:
        return None
    return int(struct.unpack_from("<Q", head, place)[0])


def _check_classic(path: Path) -> None:
    from scipy.io import netcdf_file

    try:
        # Mapping every variable fails where the file ends too early; the NetCDF library itself
        # would give zeros.
        netcdf_file(path, mode="r", mmap=True).close()
    except _FROM_DAMAGED as error:
        raise UserError(
            f"{path}: is cut off or damaged ({type(error).__name__} in a classic NetCDF file); "
            "fetch it again"
        ) from error


@contextmanager
def opened(path: str | Path) -> Iterator[Any]:
    """Open a checked NetCDF file; whatever a damaged one provokes becomes one line.

    Yields
    ------
    netCDF4.Dataset

    Raises
    ------
    UserError
        When the file is damaged, or the library ``netCDF4`` is not installed.
    """
    try:
        import netCDF4
    except ImportError as error:
        raise UserError("reading NetCDF needs netCDF4; run `pip install netcdf4`") from error
    check_file(path)
    try:
        with netCDF4.Dataset(str(path)) as data:
            data.set_always_mask(False)  # a plain array where nothing is missing
            yield data
    except UserError as error:
        text = str(error)
        raise UserError(text if text.startswith(str(path)) else f"{path}: {text}") from error
    except _FROM_DAMAGED as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(
            f"{path}: cannot be read ({reason}); it is damaged, fetch it again"
        ) from error


def find(data: Any, names: Sequence[str]) -> Any | None:
    """The first variable of these names, or None."""
    return next((data.variables[name] for name in names if name in data.variables), None)


def unit_of(variable: Any, target: str, assumed: str | None = None) -> tuple[float, float]:
    """Factor and offset that bring a variable to a store's unit; see `converted`."""
    unit = getattr(variable, "units", None) or assumed
    if not isinstance(unit, str):
        raise UserError(f"{variable.name} states no units; say which with --units NAME=UNIT")
    try:
        return conversion(unit, target)
    except UserError as error:
        raise UserError(f"{variable.name}: {error}") from error


def converted(
    variable: Any, values: Any, target: str, assumed: str | None = None, gaps: bool = False
) -> NDArray[np.float32]:
    """Values of a variable in a store's unit.

    Parameters
    ----------
    variable
        Whose ``units`` count.
    values
        Array or masked array read from it.
    target
        A unit of the store.
    assumed
        Unit for a variable that states none, from the user.
    gaps
        Whether values may be missing; they become NaN.

    Returns
    -------
    float32, of the shape of ``values``

    Raises
    ------
    UserError
        When there are no units, they are not known, or a value is missing or not finite.
    """
    factor, offset = unit_of(variable, target, assumed)
    plain: NDArray[Any] = np.asarray(values)
    if np.ma.isMaskedArray(values):
        plain = np.ma.filled(values.astype(np.float64), np.nan)
    there = np.isfinite(plain)
    if not gaps and not there.all():
        share = 1 - there.mean()
        raise UserError(f"{variable.name}: {share:.1%} of the surface values are missing")
    if (factor, offset) != (1.0, 0.0):
        plain = plain.astype(np.float64) * factor + offset
    return plain.astype(np.float32)


def times(variable: Any) -> NDArray[np.datetime64]:
    """(n,) datetime64[s]: a CF time variable, to the nearest second.

    Raises
    ------
    UserError
        When it has no ``units`` of the kind "days since ...", or another calendar.
    """
    import cftime

    units = str(getattr(variable, "units", ""))
    calendar = str(getattr(variable, "calendar", "standard")).lower()
    if " since " not in units:
        raise UserError(f"{variable.name}: units {units!r} are no time units")
    if calendar not in _CALENDARS:
        raise UserError(f"{variable.name}: calendar {calendar!r} is not that of real days")
    values = np.ma.asarray(variable[:]).astype(np.float64)
    if values.ndim != 1 or not np.isfinite(np.ma.filled(values, np.nan)).all():
        raise UserError(f"{variable.name}: times are missing")
    if values.size == 0:
        return np.empty(0, dtype="datetime64[s]")
    # Dates by the calendar are slow: the first is one, the others lie so many units after it.
    epoch = "seconds since 1970-01-01 00:00:00"
    first, second = cftime.num2date(values[0] + np.arange(2), units, calendar="standard")
    start = cftime.date2num(first, epoch, calendar="standard")
    seconds = np.rint(start + (values - values[0]) * (second - first).total_seconds())
    if np.abs(seconds).max() > _CENTURIES_S:
        raise UserError(f"{variable.name}: times lie thousands of years apart")
    return seconds.astype(np.int64).astype("datetime64[s]")


def attributes(data: Any, names: Sequence[str]) -> Mapping[str, str]:
    """Global attributes of these names, those that are there, on one line each."""
    return {
        name: " ".join(str(data.getncattr(name)).split())
        for name in names
        if name in data.ncattrs()
    }
