"""ObsPack GLOBALVIEWplus: measured CO2 at sites, averaged onto the frames of a data set.

* **Formats**: NetCDF (one file a dataset) and NOAA's text files; several folders deep.
* **Units**: as the file states them (mol mol-1 or micromol mol-1). A value that is not above zero
  is missing, whatever the fill is called: -1e34, -999.999, and the -999.99 that no attribute names.
* **Quality**: a value counts when the first character of ``qcflag`` is a dot (or it has no flag),
  and, unless local values are wanted, ``obs_flag`` is not 0 (0: local or regional influence).
* **Time**: a value belongs to the frame that holds the middle of its interval. Averages over longer
  than a frame (daily files for 3-hourly frames) are left out.
* **Sites with several datasets**: every frame takes the values of one dataset, the first that has
  any, in this order: continuous before flasks; intake nearest to the wanted height above ground;
  NOAA's own laboratory; more values; name.
* **Mobile platforms** (ships, aircraft, drifting stations) are left out, or on request become sites
  of their own, one a cell of the data set that they visit often enough.
"""

from __future__ import annotations

import re
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from co2net.assets import atomic_path, data_path
from co2net.datasets import guard, netcdf
from co2net.datasets.building import Skipped
from co2net.datasets.catalog import entry
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.observations import Observations
from co2net.regions import region as region_of
from co2net.schema import CO2, even_steps, open_store
from co2net.source import StationNetwork

Progress = Callable[[float, str], None]
Clock = Literal["utc", "local", "solar"]

HEIGHT_M = 25.0
"""Height above ground (m) to which intakes are compared: the middle of CarbonTracker's level 0."""

PREPARED_BY = "co2net.datasets.obspack"
_MOBILE = ("shipboard", "aircraft", "aircore")
_MOBILE_SPREAD = 1.0
_MOBILE_FRAMES = 12
_MOBILE_CEILING_M = 500.0
_CONTINUOUS = ("surface-insitu", "tower-insitu")
_HOURS = {"second": 1 / 3600, "minute": 1 / 60, "hour": 1, "day": 24, "week": 168, "month": 730}
_TAGS = {"dailydata": 24.0, "monthlydata": 730.0}
_SCALES = re.compile(r"X\d{4}[A-Z]?")


# -- the archive ----------------------------------------------------------------------------


def steps() -> list[str]:
    """What a person does to get the product: its provider asks for agreement first."""
    known = entry("obspack")
    return [f"{known.title['en']}: {known.url}", *known.obtain["en"], f"Cite: {known.citation}"]


def unpack(archive: str | Path, to: str | Path) -> Path:
    """Take the data files out of a downloaded archive, and nothing outside the folder.

    Only ``.nc`` and ``.txt`` files are written. Members with absolute names, with ``..``, links and
    devices make the whole archive refused, before anything is written.

    Parameters
    ----------
    archive
        ``.tar``, ``.tar.gz`` or ``.zip``, as downloaded.
    to
        A folder that does not exist yet.

    Raises
    ------
    UserError
        When it is no archive, is damaged or unsafe, holds no data, or the folder is there.
    """
    archive, to = Path(archive), Path(to)
    if to.exists():
        raise UserError(f"{to} exists already; give another --to or remove it")
    try:
        members: list[tuple[str, str, int, Any]]
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                members = [
                    (item.filename, _zip_kind(item), item.file_size, item)
                    for item in packed.infolist()
                ]
                return _write(archive, to, members, packed.open)
        if tarfile.is_tarfile(archive):
            with tarfile.open(archive) as packed:
                members = [(item.name, _tar_kind(item), item.size, item) for item in packed]
                return _write(archive, to, members, packed.extractfile)
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, NotImplementedError,
            RuntimeError, ValueError) as error:  # fmt: skip
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:100]
        raise UserError(f"{archive}: cannot be unpacked ({reason}); download it again") from error
    raise UserError(f"{archive}: is neither a tar nor a zip archive; download it again")


def _zip_kind(item: zipfile.ZipInfo) -> str:
    mode = item.external_attr >> 16 & 0o170000
    return "folder" if item.is_dir() else "file" if mode in (0, 0o100000) else "other"


def _tar_kind(item: tarfile.TarInfo) -> str:
    return "folder" if item.isdir() else "file" if item.isfile() else "other"


def _write(
    archive: Path,
    to: Path,
    members: Sequence[tuple[str, str, int, Any]],
    read: Callable[[Any], Any],
) -> Path:
    """Write the wanted members into a draft of the folder, which then takes its name."""
    wanted, total = [], 0
    for name, kind, size, item in members:
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if kind == "other" or not parts or ".." in parts or parts[0] == "/" or ":" in parts[0]:
            raise UserError(
                f"{archive}: is not safe to unpack (member {name[:80]!r} is a link, a device or "
                "leads outside); download it from its provider again"
            )
        if kind == "file" and parts[-1].endswith((".nc", ".txt")):
            wanted.append((Path(*parts), item))
            total += size
    if not any(_is_dataset(path.name) for path, _ in wanted):
        raise UserError(f"{archive}: holds no file of CO2 measurements (co2_SITE_....nc or .txt)")
    to.parent.mkdir(parents=True, exist_ok=True)
    if total > shutil.disk_usage(to.parent).free:
        raise UserError(f"{archive}: {total / 1e9:.1f} GB do not fit on the disk of {to}")
    with atomic_path(to) as draft:
        for path, item in wanted:
            (draft / path).parent.mkdir(parents=True, exist_ok=True)
            with read(item) as source, (draft / path).open("xb") as target:
                shutil.copyfileobj(source, target)
    return to


def _is_dataset(name: str) -> bool:
    return re.fullmatch(r"co2_[a-z0-9]+_[a-z]+-[a-z0-9]+_.+\.(nc|txt)", name, re.I) is not None


# -- one dataset ----------------------------------------------------------------------------


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
    if unit in _HOURS:
        number = _number(found.get("dataset_data_frequency", "1"))
        return _HOURS[unit] * (number if number > 0 else 1.0)
    return _TAGS.get(found.get("dataset_selection_tag", "").lower(), 0.0)


# -- onto frames ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Selection:
    """Which sites and values are wanted.

    Parameters
    ----------
    sites
        Codes, in the order of the result, with or without a record; None: the 96 surface sites of
        ``data/stations.csv``, the document's choice; empty: every site that has a record.
    region
        A key of `co2net.regions`; sites outside are left out.
    years
        Least number of years (twelve months with a value) that a site needs.
    mobile
        Whether mobile platforms are taken too.
    local
        Whether values flagged as of local influence (``obs_flag`` 0) count.
    hours
        First and last hour of the day, such as (12, 16); None: all. It may run over midnight.
    clock
        Whose hours: ``utc``, ``local`` (standard) or ``solar`` time.
    height
        Height above ground (m) to which intakes are compared.
    """

    sites: tuple[str, ...] | None = None
    region: str | None = None
    years: float = 0.0
    mobile: bool = False
    local: bool = False
    hours: tuple[float, float] | None = None
    clock: Clock = "local"
    height: float = HEIGHT_M


def _selection(given: Selection | Mapping[str, Any] | None) -> Selection:
    if given is None or isinstance(given, Selection):
        return given or Selection()
    lists = {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
    try:
        return Selection(**{**given, **lists})
    except TypeError as error:
        raise UserError(f"selection: {error}") from error


def parse_sites(text: str | None) -> tuple[str, ...] | None:
    """Codes with commas; ``all`` is every site, None the document's."""
    if text is None:
        return None
    return () if text == "all" else tuple(code.strip() for code in text.split(",") if code.strip())


def parse_hours(text: str | None) -> tuple[float, float] | None:
    """First and last hour of the day, written ``12-16``.

    Raises
    ------
    UserError
        When it is written otherwise.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,2}(?:\.\d+)?)-(\d{1,2}(?:\.\d+)?)", text)
    if not found or max(float(found[1]), float(found[2])) > 24 or found[1] == found[2]:
        raise UserError(f"hours '{text[:20]}': write the first and the last, such as 12-16")
    return float(found[1]), float(found[2])


def parse_clock(text: str) -> Clock:
    """``utc``, ``local`` or ``solar``; UserError otherwise."""
    for clock in get_args(Clock):
        if text == clock:
            return text  # type: ignore[return-value]
    raise UserError(f"clock '{text[:20]}': choose {', '.join(get_args(Clock))}")


@dataclass(frozen=True)
class Prepared:
    """What `prepare` did.

    Parameters
    ----------
    out
        The file of observations.
    sites, reporting
        Sites in it, and those of them that have a value.
    frames
        Frames.
    share
        Share of frames and sites with a value.
    datasets
        Files used.
    left_out
        One line each for files that were read but not used.
    skipped
        Files that could not be read.
    mixed_scales
        Sites whose values lie on several calibration scales.
    """

    out: str
    sites: int
    reporting: int
    frames: int
    share: float
    datasets: int
    left_out: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    mixed_scales: tuple[str, ...]

    def lines(self) -> list[str]:
        """For people: one line a fact."""
        text = [
            f"{self.out}: {self.reporting} of {self.sites} sites report, {self.share:.1%} of "
            f"{self.frames} frames, from {self.datasets} datasets"
        ]
        if self.mixed_scales:
            text.append(f"several calibration scales at {', '.join(self.mixed_scales)}")
        if self.left_out:
            text.append(f"{len(self.left_out)} files were not wanted:")
            text += [f"  {line}" for line in self.left_out]
        return text + [f"skipped: {item.reason}" for item in self.skipped]


def prepare(
    files: Iterable[str | Path],
    out: str | Path,
    *,
    store: str | Path,
    selection: Selection | Mapping[str, Any] | None = None,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Prepared:
    """Average measurements onto the frames of a store, and write them as `Observations`.

    Parameters
    ----------
    files
        Datasets, or folders that hold them at any depth.
    out
        File of observations to make.
    store
        Gives the time axis and the grid.
    selection
        Which sites and values, also as a mapping from JSON; the document's 96 sites by default.
    skip_bad
        Leave out files that cannot be read and report them.
    progress
        Called with the share of files read and a name.

    Raises
    ------
    UserError
        When a file cannot be read (without ``skip_bad``), none holds a wanted value, or ``out`` is
        taken.
    """
    out, selection = Path(out), _selection(selection)
    if out.exists():
        raise UserError(f"{out} exists already; give another --out or remove it")
    target = open_store(store)
    frames = Frames.of(target.time)
    paths = _list_files(files)
    wanted = _codes(selection)
    bounds = None if selection.region is None else region_of(selection.region).mask(target.grid)
    used: dict[str, list[_Averages]] = {}
    left_out: list[str] = []
    skipped: list[Skipped] = []
    for number, path in enumerate(paths):
        try:
            dataset = guard.call(read_dataset, path) if path.suffix == ".nc" else read_dataset(path)
        except UserError as error:
            if not skip_bad:
                raise
            skipped.append(Skipped(str(path), str(error)))
            continue
        reason = _unwanted(dataset, selection, wanted, frames, target.grid, bounds)
        parts = [] if reason else _averages(dataset, selection, frames, target.grid)
        if not parts:
            left_out.append(f"{dataset.name}: {reason or 'no value that counts in these years'}")
        for part in parts:
            used.setdefault(part.code, []).append(part)
        if progress is not None:
            progress((number + 1) / len(paths), path.name)
    found = _merge(used, selection, wanted, frames)
    _require_any(found, used, left_out, skipped)
    observations = _observations(found, frames, selection, str(store))
    observations.save(out)
    there = np.isfinite(observations.co2)
    return Prepared(
        out=str(out),
        sites=len(observations.stations),
        reporting=int(there.any(axis=0).sum()),
        frames=frames.time.size,
        share=float(there.mean()),
        datasets=sum(len(site.parts) for site in found),
        left_out=tuple(left_out),
        skipped=tuple(skipped),
        mixed_scales=tuple(site.code for site in found if len(site.scales) > 1),
    )


@dataclass(frozen=True, eq=False)
class Frames:
    """The time axis, and which frame a time lies in.

    Parameters
    ----------
    time : (N,) datetime64[s]
        Centres, or labels of months.
    monthly
        Whether a frame is a calendar month.
    """

    time: NDArray[np.datetime64]
    monthly: bool

    @classmethod
    def of(cls, time: NDArray[np.datetime64]) -> Frames:
        """The frames of a time axis."""
        if not even_steps(time):
            raise UserError("the store's time steps are not equal; `co2net data verify` says more")
        steps = np.unique(np.diff(time))
        return cls(
            time, bool(steps.size > 1 or (steps.size and steps[0] >= np.timedelta64(28, "D")))
        )

    @property
    def hours(self) -> float:
        """Length of a frame."""
        if self.monthly:
            return _HOURS["month"]
        return float((self.time[1] - self.time[0]) / np.timedelta64(3600, "s"))

    def index(self, time: NDArray[np.datetime64]) -> NDArray[np.int64]:
        """(n,): frame of each time; -1 before the first and after the last."""
        if self.monthly:
            place = (time.astype("M8[M]") - self.time[0].astype("M8[M]")).astype(np.int64)
        else:
            step = self.time[1] - self.time[0]
            start = self.time[0] - step // 2
            place = (time - start) // step
        return np.where((place >= 0) & (place < self.time.size), place, -1).astype(np.int64)


@dataclass(frozen=True, eq=False)
class _Averages:
    """A dataset at one site, on frames: (frame index, mean, count, spread), ascending."""

    code: str
    dataset: Dataset
    lat: float
    lon: float
    altitude: float
    frame: NDArray[np.int64]
    mean: NDArray[np.float64]
    count: NDArray[np.int64]
    spread: NDArray[np.float64]

    def rank(self, height: float) -> tuple[Any, ...]:
        """Place in the order of preference; the least is taken first."""
        one = self.dataset
        apart = abs(one.intake - height) if np.isfinite(one.intake) else np.inf
        return (
            one.project not in _CONTINUOUS,
            apart,
            not one.laboratory.upper().startswith("NOAA"),
            -self.frame.size,
            one.name,
        )


@dataclass(frozen=True, eq=False)
class _Site:
    """A site of the result, its datasets in the order of preference; none without a record."""

    code: str
    name: str
    lat: float
    lon: float
    altitude: float
    parts: tuple[_Averages, ...]

    @property
    def scales(self) -> set[str]:
        return {part.dataset.scale for part in self.parts if part.dataset.scale}


def _list_files(files: Iterable[str | Path]) -> list[Path]:
    paths: list[Path] = []
    for given in map(Path, files):
        if given.is_dir():
            inside = sorted(path for path in given.rglob("*") if _is_dataset(path.name))
            paths += inside
        else:
            paths.append(given)
    if not paths:
        raise UserError(
            "no ObsPack dataset is given; they are named co2_mlo_surface-insitu_1_allvalid.nc; "
            "`co2net data fetch obspack` says how to get them"
        )
    return paths


def _known_sites() -> StationNetwork:
    return StationNetwork.from_csv(
        data_path("stations.csv"), "96 surface sites of ObsPack GLOBALVIEWplus"
    )


def _codes(selection: Selection) -> tuple[str, ...]:
    """Wanted codes in order; empty for all."""
    if selection.sites is None:
        return _known_sites().code
    codes = tuple(code.upper() for code in selection.sites)
    if len(set(codes)) != len(codes):
        raise UserError("a site is wanted twice; name each once")
    return codes


def _unwanted(
    dataset: Dataset,
    selection: Selection,
    wanted: Sequence[str],
    frames: Frames,
    grid: LatLonGrid,
    bounds: NDArray[np.float64] | None,
) -> str | None:
    """Why a dataset is not taken; None when it is."""
    if dataset.mobile and not selection.mobile:
        return f"a mobile platform ({dataset.project}); --mobile takes it"
    if not dataset.mobile and wanted and dataset.code not in wanted:
        return f"site {dataset.code} is not wanted"
    if dataset.hours > frames.hours * 1.01:
        return f"averages over {dataset.hours:g} h do not fit frames of {frames.hours:g} h"
    if dataset.mobile:
        return None
    try:
        row, column = grid.cell(dataset.lat, dataset.lon)
    except UserError:
        return f"site {dataset.code} lies outside the grid"
    if bounds is not None and bounds[int(row), int(column)] == 0:
        return f"site {dataset.code} lies outside {selection.region}"
    return None


def _averages(
    dataset: Dataset, selection: Selection, frames: Frames, grid: LatLonGrid
) -> list[_Averages]:
    """The dataset on frames: one site, or, of a mobile platform, one a cell."""
    keep = dataset.good & (selection.local | ~dataset.local)
    keep &= (dataset.value >= CO2.low) & (dataset.value <= CO2.high)
    if selection.hours is not None:
        first, last = selection.hours
        hour = dataset.clock_hours(selection.clock)
        inside = (hour >= first) & (hour < last)
        keep &= inside if first <= last else (hour >= first) | (hour < last)
    keep &= frames.index(dataset.time) >= 0
    about = dataset.take(np.zeros(dataset.value.size, dtype=bool))  # its values are not kept
    if not dataset.mobile:
        part = _average(dataset.take(keep), dataset.code, about, frames)
        return [part] if part.frame.size else []
    keep &= dataset.altitudes <= _MOBILE_CEILING_M
    keep &= np.isfinite(dataset.lats + dataset.lons)
    chosen = dataset.take(keep)
    if not chosen.value.size:
        return []
    rows, columns = grid.cell(chosen.lats, chosen.lons)
    parts = []
    for row, column in np.unique(np.stack([rows, columns], axis=1), axis=0):
        here = chosen.take((rows == row) & (columns == column))
        lat, lon = grid.lat[row], grid.lon[column]
        code = f"{dataset.code}@{lat:+05.1f}{lon:+06.1f}"
        part = _average(here, code, about, frames)
        if part.frame.size >= _MOBILE_FRAMES:
            parts.append(replace(part, lat=float(lat), lon=float(lon)))
    return parts


def _average(chosen: Dataset, code: str, about: Dataset, frames: Frames) -> _Averages:
    frame, place, size = np.unique(
        frames.index(chosen.time), return_inverse=True, return_counts=True
    )
    mean = np.bincount(place, chosen.value, minlength=frame.size) / np.maximum(size, 1)
    square = np.bincount(place, (chosen.value - mean[place]) ** 2, minlength=frame.size)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.where(size > 1, np.sqrt(square / (size - 1)), np.nan)
    single = size[place] == 1
    spread[place[single]] = chosen.spread[single]
    return _Averages(
        code=code,
        dataset=about,
        lat=about.lat,
        lon=about.lon,
        altitude=about.altitude,
        frame=frame,
        mean=mean,
        count=size,
        spread=spread,
    )


def _merge(
    used: Mapping[str, Sequence[_Averages]],
    selection: Selection,
    wanted: Sequence[str],
    frames: Frames,
) -> list[_Site]:
    """Sites in order, their datasets by preference; those with too few years are left out."""
    network = _known_sites()
    places = {code: place for place, code in enumerate(network.code)}
    mobile = sorted(code for code in used if "@" in code)
    order = [*(wanted or sorted(code for code in used if "@" not in code)), *mobile]
    sites = []
    for code in order:
        parts = tuple(sorted(used.get(code, ()), key=lambda part: part.rank(selection.height)))
        if selection.years and _months(parts, frames) < 12 * selection.years:
            continue
        if parts:
            best = parts[0]
            site = _Site(code, best.dataset.site, best.lat, best.lon, best.altitude, parts)
        elif selection.region is None and code in places:
            n = places[code]
            site = _Site(
                code, network.name[n], network.lat[n], network.lon[n], network.altitude[n], ()
            )
        else:
            continue
        sites.append(site)
    return sites


def _months(parts: Sequence[_Averages], frames: Frames) -> int:
    if not parts:
        return 0
    held = np.concatenate([part.frame for part in parts])
    return int(np.unique(frames.time[held].astype("M8[M]")).size)


def _require_any(
    sites: Sequence[_Site],
    used: Mapping[str, Sequence[_Averages]],
    left_out: Sequence[str],
    skipped: Sequence[Skipped],
) -> None:
    if any(site.parts for site in sites):
        return
    if used:
        raise UserError(f"no site is left of {len(used)} that have values; ask for less --years")
    first = f"the first: {left_out[0]}" if left_out else f"the first: {skipped[0].reason}"
    raise UserError(f"none of the files holds a wanted value; {first}")


def _observations(
    sites: Sequence[_Site],
    frames: Frames,
    selection: Selection,
    store: str,
) -> Observations:
    shape = (frames.time.size, len(sites))
    co2 = np.full(shape, np.nan, dtype=np.float32)
    count = np.zeros(shape, dtype=np.int32)
    spread = np.full(shape, np.nan, dtype=np.float32)
    for n, site in enumerate(sites):
        for part in reversed(site.parts):  # the preferred one is written last
            co2[part.frame, n] = part.mean
            count[part.frame, n] = part.count
            spread[part.frame, n] = part.spread
    known = entry("obspack")
    products = sorted(
        {p.dataset.product for site in sites for p in site.parts if p.dataset.product}
    )
    network = StationNetwork(
        code=tuple(site.code for site in sites),
        name=tuple(site.name for site in sites),
        lat=np.array([site.lat for site in sites]),
        lon=np.array([site.lon for site in sites]),
        altitude=np.array([site.altitude for site in sites]),
        network="ObsPack GLOBALVIEWplus, measured",
    )
    about = {
        "title": "Measured CO2 at sites (ObsPack)",
        "source": "ObsPack: measurements of many laboratories, averaged onto frames",
        "version": ", ".join(products) or "not stated in the files",
        "licence": known.licence,
        "acknowledgement": known.acknowledgement,
        "references": known.citation,
        "simulated": False,
        "frames": "calendar months" if frames.monthly else f"{frames.hours:g} hours",
        "time_axis_of": store,
        "selection": {
            "sites": "96 of data/stations.csv"
            if selection.sites is None
            else list(selection.sites),
            "region": selection.region,
            "years": selection.years,
            "mobile": selection.mobile,
            "local": selection.local,
            "hours": None if selection.hours is None else list(selection.hours),
            "clock": selection.clock,
            "height_m": selection.height,
        },
        "datasets": {
            site.code: [
                {
                    "name": part.dataset.name,
                    "laboratory": part.dataset.laboratory,
                    "scale": part.dataset.scale,
                    "intake_m": part.dataset.intake if np.isfinite(part.dataset.intake) else None,
                    "frames": int(part.frame.size),
                }
                for part in site.parts
            ]
            for site in sites
        },
        "prepared_by": PREPARED_BY,
    }
    return Observations(network, frames.time, co2, count, spread, about)
