"""One dataset of ObsPack, from NetCDF or NOAA's text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from co2net.datasets import netcdf
from co2net.errors import UserError
from co2net.schema import CO2

Clock = Literal["utc", "local", "solar"]

HOURS = {"second": 1 / 3600, "minute": 1 / 60, "hour": 1, "day": 24, "week": 168, "month": 730}
"""Lengths of what values are averaged over."""

_MOBILE = ("shipboard", "aircraft", "aircore")
_MOBILE_SPREAD = 1.0
_TAGS = {"dailydata": 24.0, "monthlydata": 730.0}
_SCALES = re.compile(r"X\d{4}[A-Z]?")


@dataclass(frozen=True, eq=False)
class Dataset:
    """One file: a site (or platform), a laboratory and a method.

    Parameters
    ----------
    path
        The file.
    name, code, site
        Name of the dataset, code and name of the site.
    project
        Such as ``surface-insitu``.
    mobile
        Whether the platform moves.
    laboratory, scale, product
        Who measured, on which calibration scale, in which product.
    hours
        What a value is averaged over; 0 for samples at an instant or where it is not said.
    utc2lst
        Hours from UTC to local standard time; NaN where it is not said.
    lat, lon, altitude
        Of the site (degrees, m above sea level).
    intake
        Usual height of the intake above ground (m); NaN where it is not said.
    time : (n,) datetime64[s]
        Middle of the interval, UTC.
    value, spread : (n,) umol/mol
        NaN where missing.
    count : (n,)
        Measurements in a value; 1 where it is not said.
    rejected, local : (n,) bool
        Flags of the laboratory.
    lats, lons, altitudes : (n,)
        Of every value.
    """

    path: Path
    name: str
    code: str
    site: str
    project: str
    mobile: bool
    laboratory: str
    scale: str
    product: str
    hours: float
    utc2lst: float
    lat: float
    lon: float
    altitude: float
    intake: float
    time: NDArray[np.datetime64]
    value: NDArray[np.float64]
    spread: NDArray[np.float64]
    count: NDArray[np.int64]
    rejected: NDArray[np.bool_]
    local: NDArray[np.bool_]
    lats: NDArray[np.float64]
    lons: NDArray[np.float64]
    altitudes: NDArray[np.float64]

    @cached_property
    def good(self) -> NDArray[np.bool_]:
        """(n,): values that are there and not rejected."""
        return np.isfinite(self.value) & ~self.rejected

    def clock_hours(self, clock: Clock) -> NDArray[np.float64]:
        """(n,) 0..24: time of day of every value in UTC, local standard or local solar time."""
        if clock == "utc":
            return _of_day(self.time)
        if clock == "local":
            offset = self.utc2lst if np.isfinite(self.utc2lst) else np.round(self.lon / 15)
            return (_of_day(self.time) + offset) % 24
        return solar_hours(self.time, self.lons)

    def take(self, chosen: NDArray[np.bool_]) -> Dataset:
        """The same with some of the values."""
        columns = ("time", "value", "spread", "count", "rejected", "local", "lats", "lons")
        names = (*columns, "altitudes")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})


def _of_day(time: NDArray[np.datetime64]) -> NDArray[np.float64]:
    seconds: NDArray[np.float64] = (time - time.astype("M8[D]")).astype(np.float64)
    return seconds / 3600


def solar_hours(
    time: NDArray[np.datetime64], lon: NDArray[np.float64] | float
) -> NDArray[np.float64]:
    """Local apparent solar time (hours of the day).

    UTC + longitude / 15 + equation of time; the latter by Spencer (1971), *Search* 2, 172, to half
    a minute.
    """
    year = time.astype("M8[Y]")
    day = (time - year.astype("M8[s]")) / np.timedelta64(86400, "s")
    angle = 2 * np.pi * day / 365.25
    minutes = 229.18 * (
        0.000075
        + 0.001868 * np.cos(angle)
        - 0.032077 * np.sin(angle)
        - 0.014615 * np.cos(2 * angle)
        - 0.040849 * np.sin(2 * angle)
    )
    return (_of_day(time) + np.asarray(lon) / 15 + minutes / 60) % 24


def read_dataset(path: Path) -> Dataset:
    """Read a NetCDF or text file.

    Raises
    ------
    UserError
        One line that begins with the path.
    """
    path = Path(path)
    if path.suffix == ".txt":
        return _read_text(path)
    with netcdf.opened(path) as data:
        found = {name: str(data.getncattr(name)) for name in data.ncattrs()}
        if "value" not in data.variables:
            raise UserError("has no variable value; is it a dataset of ObsPack?")
        variable = data.variables["value"]
        factor, _ = netcdf.unit_of(variable, CO2.units)
        dim = variable.dimensions[0] if variable.ndim == 1 else ""
        size = variable.size
        if not dim:
            raise UserError(f"value lies on ({', '.join(variable.dimensions)}), not on obs")

        def column(*names: str) -> NDArray[np.float64] | None:
            one = netcdf.find(data, names)
            if one is None or one.dimensions != (dim,):
                return None
            return np.ma.filled(np.ma.asarray(one[:]).astype(np.float64), np.nan)

        start, middle = column("time", "start_time"), column("midpoint_time")
        axis = netcdf.find(data, ("time", "start_time"))
        if axis is None or start is None:
            raise UserError("has no times of its values")
        time = netcdf.times(data.variables["midpoint_time"] if middle is not None else axis)
        flags = _strings(data, "qcflag", size)
        return _dataset(
            path, found, time, middle is not None, column, factor, flags, column("obs_flag")
        )


def _strings(data: Any, name: str, size: int) -> NDArray[np.str_] | None:
    """(n,): a text variable, be it of characters or of strings."""
    if name not in data.variables:
        return None
    import netCDF4

    values = data.variables[name][:]
    if values.ndim == 2:
        plain = np.ma.filled(values, b"" if values.dtype.kind == "S" else "")
        values = netCDF4.chartostring(plain)
    text = np.ma.filled(values, "").astype(str)
    return np.char.strip(text) if text.shape == (size,) else None


def _read_text(path: Path) -> Dataset:
    """NOAA's text format: a header of ``#`` lines, whose last names the columns."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    head = [line[1:].strip() for line in lines if line.startswith("#")]
    rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    titles = [line.split() for line in head if line][-1:] + rows[:1]
    columns = next((words for words in titles if "value" in words), None)
    if columns is None:
        raise UserError(f"{path}: is no text file of ObsPack (no line names its columns)")
    rows = rows[1:] if rows and rows[0] == columns else rows
    if any(len(row) != len(columns) for row in rows):
        odd = next(n for n, row in enumerate(rows) if len(row) != len(columns))
        raise UserError(
            f"{path}: value {odd + 1} has {len(rows[odd])} columns of {len(columns)}; it is "
            "damaged, fetch it again"
        )
    matches = [re.match(r"(\w+)\s*:\s(.*)", line) for line in head]
    found = {match[1]: match[2].strip() for match in matches if match}
    unit = _header_unit(head)
    if unit is None:
        raise UserError(f"{path}: value states no units; its header is not complete")
    table = dict(zip(columns, zip(*rows, strict=True), strict=True)) if rows else {}

    def column(*names: str) -> NDArray[np.float64] | None:
        name = next((name for name in names if name in table), None)
        if name is None:
            return None
        return np.array([_number(word) for word in table[name]])

    try:
        factor, _ = netcdf.conversion(unit, CO2.units)
        time, middle = _text_times(table, column)
        flags = np.array(table["qcflag"]) if "qcflag" in table else None
        return _dataset(path, found, time, middle, column, factor, flags, column("obs_flag"))
    except UserError as error:
        text = str(error)
        raise UserError(text if text.startswith(str(path)) else f"{path}: {text}") from error


def _header_unit(head: Sequence[str]) -> str | None:
    """Unit in a line such as ``value:units : micromol mol-1``."""
    for line in head:
        found = re.match(r"value\s*:\s*units\s*:\s*(.+)", line)
        if found:
            return found[1].strip()
    return None


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return float("nan")


def _text_times(
    table: Mapping[str, Sequence[str]], column: Callable[..., NDArray[np.float64] | None]
) -> tuple[NDArray[np.datetime64], bool]:
    """Times of the rows, and whether they are the middles of the intervals."""
    middle = column("midpoint_time")
    seconds = middle if middle is not None else column("time", "start_time")
    if seconds is not None and np.isfinite(seconds).all():
        return np.rint(seconds).astype(np.int64).astype("datetime64[s]"), middle is not None
    names = ("year", "month", "day", "hour", "minute", "second")
    if not set(names[:3]) <= set(table):
        raise UserError("has no times of its values")
    stamps = []
    for row in zip(*(table.get(name, ["0"] * len(table["year"])) for name in names), strict=True):
        try:
            year, month, day, hour, minute, second = (int(float(word)) for word in row)
            stamps.append(datetime(year, month, day, hour, minute, second))
        except (ValueError, OverflowError) as error:
            raise UserError(f"{' '.join(row)!r} is no time; fetch it again") from error
    return np.array(stamps, "datetime64[s]"), False


def _dataset(
    path: Path,
    found: Mapping[str, str],
    time: NDArray[np.datetime64],
    is_middle: bool,
    column: Callable[..., NDArray[np.float64] | None],
    factor: float,
    flags: NDArray[np.str_] | None,
    obs_flag: NDArray[np.float64] | None,
) -> Dataset:
    """What both formats have in common."""
    value = column("value")
    if value is None or value.size == 0:
        raise UserError("holds no values")
    size = value.size
    value = np.where(value > 0, value, np.nan) * factor
    known = value[np.isfinite(value)]
    if known.size and not CO2.low <= np.median(known) <= CO2.high:
        raise UserError(
            f"value is {np.median(known):g} umol/mol in the middle, outside {CO2.low:g} to "
            f"{CO2.high:g}; check its units"
        )
    spread = column("value_std_dev", "value_unc")
    spread = np.full(size, np.nan) if spread is None else spread
    count = column("nvalue")
    count = np.ones(size) if count is None else np.where(count >= 1, count, 1)

    def position(name: str, usual: float, low: float, high: float) -> NDArray[np.float64]:
        got = column(name)
        got = np.full(size, usual) if got is None else got
        return np.where((got >= low) & (got <= high), got, usual)

    code = found.get("site_code", "") or path.name.split("_")[1]
    names = ("latitude", "longitude", "elevation")
    usual = {name: _number(found.get(f"site_{name}", "nan")) for name in names}
    lats = position("latitude", usual["latitude"], -90, 90)
    lons = position("longitude", usual["longitude"], -180, 360)
    altitudes = position("altitude", usual["elevation"], -500, 20000)
    intakes = position("intake_height", np.nan, -500, 20000)
    good = np.isfinite(value)
    lat, lon = _usual(lats, good), _usual(lons, good)
    if not (np.isfinite(lat) and np.isfinite(lon)):
        raise UserError("says nowhere where it was measured")
    project = found.get("dataset_project", "") or "_".join(path.stem.split("_")[2:3])
    wide = max(np.ptp(axis[good]) if good.any() else 0.0 for axis in (lats, lons))
    mobile = (
        found.get("dataset_platform", "fixed") == "mobile"
        or project.startswith(_MOBILE)
        or bool(wide > _MOBILE_SPREAD)
    )
    hours = _interval_hours(found)
    if not is_middle:
        time = time + np.timedelta64(int(hours * 1800), "s")
    flags = np.full(size, "") if flags is None else flags
    unflagged = np.isin(flags, ("", "NA"))
    first = flags.astype("U1") if flags.dtype.kind == "U" else flags.astype(str).astype("U1")
    local = np.zeros(size, dtype=bool) if obs_flag is None else obs_flag == 0
    scale = _SCALES.search(found.get("dataset_calibration_scale", ""))
    return Dataset(
        path=path,
        name=found.get("dataset_name", path.stem),
        code=code.upper(),
        site=found.get("site_name", code),
        project=project,
        mobile=mobile,
        laboratory=found.get("lab_1_abbr", "") or found.get("lab_1_name", ""),
        scale=scale[0] if scale else "",
        product=found.get("obspack_name", "") or found.get("obspack_id", ""),
        hours=hours,
        utc2lst=_number(found.get("site_utc2lst", "nan")),
        lat=lat,
        lon=(lon + 180) % 360 - 180,
        altitude=_usual(altitudes, good),
        intake=_usual(intakes, good),
        time=time.astype("datetime64[s]"),
        value=value,
        spread=np.where(spread > 0, spread, np.nan) * factor,
        count=count.astype(np.int64),
        rejected=~unflagged & (first != "."),
        local=local,
        lats=lats,
        lons=(lons + 180) % 360 - 180,
        altitudes=altitudes,
    )


def _usual(values: NDArray[np.float64], good: NDArray[np.bool_]) -> float:
    """Median of the finite values, of the good ones where there are any."""
    chosen = values[good & np.isfinite(values)]
    if chosen.size == 0:
        chosen = values[np.isfinite(values)]
    return float(np.median(chosen)) if chosen.size else float("nan")


def _interval_hours(found: Mapping[str, str]) -> float:
    """What a value is averaged over, by the attributes; 0 where they do not say."""
    unit = found.get("dataset_data_frequency_unit", "").lower().rstrip("s")
    if unit in HOURS:
        number = _number(found.get("dataset_data_frequency", "1"))
        return HOURS[unit] * (number if number > 0 else 1.0)
    return _TAGS.get(found.get("dataset_selection_tag", "").lower(), 0.0)
