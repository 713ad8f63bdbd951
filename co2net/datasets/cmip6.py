"""CMIP6 monthly output (table Amon): found at ESGF, fetched, and brought into the canonical store.

* **Files**: one a variable and period, in any number; co2, ps, and on pressure levels ta, hus, ua,
  va. They must be of one model, experiment, member and grid.
* **Level**: at every cell and month the lowest pressure level above ground: not below the surface
  by ``ps`` (some models fill values under the ground), and not missing.
* **Calendar**: a monthly mean belongs to a calendar month, and all calendars of CMIP6 have the same
  twelve. Its frame is stamped the 16th of that month, 00:00 UTC, whatever the length of the month:
  the stamp is a label. The month is that of the middle of ``time_bnds``, where the file has them;
  no value is moved to another month or made from two.
* **Grid**: bilinear to 2 x 3 degrees, round the circle of longitude.
* Geopotential height and terrain are absent.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from co2net.datasets import guard, netcdf
from co2net.datasets.building import (
    Skipped,
    check_range,
    gap_lines,
    gaps_between,
    note,
    own_network,
)
from co2net.datasets.download import Fetched, Policy, Remote, download, get_json
from co2net.datasets.regrid import Regrid, regridder
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.schema import (
    AUXILIARY,
    CHUNK,
    VARIABLES,
    StoreSource,
    create_store,
    open_store,
    write_frames,
)
from co2net.source import StationNetwork

Month = np.datetime64
Progress = Callable[[float, str], None]

PREPARED_BY = "co2net.datasets.cmip6"
SEARCH = "https://esgf-node.llnl.gov/esg-search/search"
"""Address of an ESGF index; any other takes the same questions."""

NAMES = {
    "co2": "co2",
    "ps": "air_pressure",
    "hus": "specific_humidity",
    "ta": "air_temperature",
    "ua": "eastward_wind",
    "va": "northward_wind",
}
_ON_LEVELS = {"co2", "hus", "ta", "ua", "va"}
_CALENDARS = {
    *("standard", "gregorian", "proleptic_gregorian"),
    *("365_day", "noleap", "366_day", "all_leap", "360_day"),
}
_FILL = 1e19
_MONTHS_AT_ONCE = 12
_LEVELS_MORE = 3  # than the surface pressure asks for, where some are missing
_IDENTITY = ("source_id", "experiment_id", "variant_label", "grid_label")
_KEPT = ("institution", "license", "further_info_url", "parent_experiment_id", "version")
_SPAN = re.compile(r"_(\d{4})(\d{2})-(\d{4})(\d{2})\.nc$")


# -- fetching -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wanted:
    """What is asked of ESGF.

    Parameters
    ----------
    model, experiment, member, grid
        Facets of CMIP6; ``esm-hist`` is the historical experiment driven by emissions, in which
        CO2 moves, ``historical`` the one driven by concentrations.
    variables
        Of table Amon.
    start, end
        First and last year wanted; files that touch them are taken. None: all.
    """

    model: str = "CanESM5"
    experiment: str = "esm-hist"
    member: str = "r1i1p1f1"
    grid: str = "gn"
    variables: tuple[str, ...] = tuple(NAMES)
    start: int | None = None
    end: int | None = None

    def query(self, base_url: str = SEARCH, offset: int = 0, limit: int = 200) -> str:
        """Address that answers with the files, as the ESGF search service takes it."""
        words = {
            "project": "CMIP6",
            "type": "File",
            "source_id": self.model,
            "experiment_id": self.experiment,
            "variant_label": self.member,
            "grid_label": self.grid,
            "table_id": "Amon",
            "variable_id": ",".join(self.variables),
            "latest": "true",
            "distrib": "true",
            "format": "application/solr+json",
            "fields": "title,url,size,checksum,checksum_type,variable_id,replica",
            "offset": offset,
            "limit": limit,
        }
        return f"{base_url.rstrip('/')}?{urlencode(words)}"


def search(
    wanted: Wanted, base_url: str | None = None, policy: Policy | None = None
) -> list[Remote]:
    """The files that an ESGF index knows, one address a file.

    Raises
    ------
    UserError
        When the index cannot be asked, does not answer as described, or lacks a variable.
    """
    found: dict[str, Remote] = {}
    variables: set[str] = set()
    offset, total = 0, 1
    while offset < total:
        address = wanted.query(base_url or SEARCH, offset)
        answer = get_json(address, policy or Policy())
        try:
            total = int(answer["response"]["numFound"])
            rows = answer["response"]["docs"]
            for row in rows:
                remote = _remote(row)
                if remote is not None and _touches(remote.name, wanted):
                    found.setdefault(remote.name, remote)
                    variables.update(row["variable_id"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{address}: answers, but not as an ESGF index does ({type(error).__name__}); "
                "name another with --base-url"
            ) from error
        if not rows:
            break
        offset += len(rows)
    lacking = [name for name in wanted.variables if name not in variables]
    if lacking:
        raise UserError(
            f"the index has no {', '.join(lacking)} of {wanted.model} {wanted.experiment} "
            f"{wanted.member} {wanted.grid}; choose another --member or --variables"
        )
    return [found[name] for name in sorted(found)]


def _remote(row: Mapping[str, Any]) -> Remote | None:
    """A file of an answer; None when no server gives it over HTTP."""
    urls = [text.split("|") for text in row["url"]]
    plain = [parts[0] for parts in urls if parts[-1] == "HTTPServer"]
    name = str(row["title"])
    if not plain or Path(name).name != name or not name.endswith(".nc"):
        return None
    kind = str((row.get("checksum_type") or [""])[0]).lower()
    digest = row["checksum"][0].lower() if kind == "sha256" and row.get("checksum") else None
    return Remote(plain[0], name, digest)


def _touches(name: str, wanted: Wanted) -> bool:
    span = _SPAN.search(name)
    if span is None:
        return True
    first, last = int(span[1]), int(span[3])
    return (wanted.end is None or first <= wanted.end) and (
        wanted.start is None or last >= wanted.start
    )


def fetch(
    wanted: Wanted,
    to: str | Path,
    *,
    base_url: str | None = None,
    workers: int = 4,
    policy: Policy | None = None,
    progress: Progress | None = None,
) -> Fetched:
    """Ask an ESGF index and download what it names; see `search` and `download.download`."""
    return download(
        search(wanted, base_url, policy),
        to,
        workers=workers,
        policy=policy or Policy(),
        check=netcdf.check_file,
        progress=progress,
    )


# -- reading --------------------------------------------------------------------------------


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
        attrs = netcdf.attributes(data, (*_IDENTITY, *_KEPT))
        return Header(
            path=path,
            name=name,
            months=months,
            lat=lat,
            lon=lon,
            levels=np.sort(levels)[::-1],
            calendar=calendar,
            identity=tuple(attrs.get(key, "") for key in _IDENTITY),
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
    named = _SPAN.search(path.name)
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


# -- preparing ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Prepared:
    """What `prepare` did.

    Parameters
    ----------
    store
        The store.
    version
        Model, experiment, member, grid.
    months, reused
        Months written by this call, and those that the store held.
    gaps
        (first, last) month of every stretch that the store lacks.
    skipped
        Files left out.
    absent
        Auxiliary variables that the files do not have.
    uniform
        Whether CO2 is the same everywhere in every month.
    calendar
        Of the files.
    seconds
        Time taken.
    """

    store: str
    version: str
    months: int
    reused: int
    gaps: tuple[tuple[str, str], ...]
    skipped: tuple[Skipped, ...]
    absent: tuple[str, ...]
    uniform: bool
    calendar: str
    seconds: float

    def lines(self) -> list[str]:
        """For people: one line a fact."""
        text = [f"{self.store}: {self.months} months written, {self.reused} were there"]
        text.append(
            f"calendar {self.calendar}: each month's mean is stamped the 16th of its own month"
        )
        text += gap_lines(self.gaps)
        text += [f"skipped: {item.reason}" for item in self.skipped]
        if self.absent:
            text.append(f"the files do not have: {', '.join(self.absent)}; models do without")
        if self.uniform:
            text.append(
                "CO2 is the same everywhere: the run was driven by concentrations, and there is "
                "nothing to reconstruct in it; esm-hist is the run driven by emissions"
            )
        return text


@dataclass(frozen=True)
class _Series:
    """All files of a variable."""

    files: tuple[Header, ...]

    @property
    def months(self) -> NDArray[np.datetime64]:
        return np.concatenate([file.months for file in self.files])

    def file(self, month: np.datetime64) -> Header:
        """The file that holds a month."""
        return next(file for file in self.files if file.months[0] <= month <= file.months[-1])

    def read(
        self, months: NDArray[np.datetime64], above: float | None, read: Callable[..., Any]
    ) -> NDArray[np.float32]:
        """(n, L, H, W): months of one file in a row, levels up to the first above a pressure."""
        file, count = self.file(months[0]), 0
        if file.levels.size:
            under = 0 if above is None else int((file.levels > above).sum()) + _LEVELS_MORE
            count = min(under or file.levels.size, file.levels.size)
        first = int((months[0] - file.months[0]) / np.timedelta64(1, "M"))
        values: NDArray[np.float32] = read(file.path, first, months.size, count)
        return values


class _BadFile(UserError):
    """A file whose values cannot be used."""

    def __init__(self, file: Header, reason: str) -> None:
        path = str(file.path)
        super().__init__(reason if reason.startswith(path) else f"{path}: {reason}")
        self.file = file


def prepare(
    files: Iterable[str | Path],
    out: str | Path,
    *,
    start: str | None = None,
    end: str | None = None,
    skip_bad: bool = False,
    stations: StationNetwork | None = None,
    grid: LatLonGrid | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Bring monthly CMIP6 files into a canonical store, or go on with one begun earlier.

    Parameters
    ----------
    files
        NetCDF files, or folders that hold them; of the variables in `NAMES`, co2 at least.
    out
        The store: absent, or made by an earlier call with the same files.
    start, end
        First and last ISO month (or day) of the store; those of the co2 files by default.
    skip_bad
        Leave out files that cannot be used and report them; where that shows among the values,
        months read before stay, and the file's later ones are gaps.
    stations
        Sites whose cells give the observations; those of ``data/stations.csv`` by default.
    grid
        Cells of the store; CarbonTracker's 2 x 3 degrees by default.
    progress
        Called with the share of months done and a text.

    Raises
    ------
    UserError
        When a file cannot be used (without ``skip_bad``), files do not belong together, a month
        is there twice, or ``out`` is something else.
    """
    began = time.perf_counter()
    out, grid = Path(out), grid or LatLonGrid.ct()
    series, skipped = _gather(files, skip_bad)
    co2 = series["co2"]
    first = np.datetime64(start or str(co2.months[0]), "M")
    last = np.datetime64(end or str(co2.months[-1]), "M")
    axis = np.arange(first, last + 1)
    if axis.size == 0:
        raise UserError(f"the span {first} to {last} ends before it starts")
    whole = np.all([np.isin(axis, one.months) for one in series.values()], axis=0)
    _require_any(whole, axis, series, skipped)
    template = co2.files[0]
    read = partial(guard.call, read_values)
    bring = _regridder(template, grid)
    variables = tuple(name for name in AUXILIARY if name in {NAMES[key] for key in series})
    stamps = (axis.astype("datetime64[D]") + 15).astype("datetime64[s]")

    def fields_of(months: NDArray[np.int64]) -> dict[str, NDArray[np.float32]] | None:
        """Fields of months that lie in one file a variable; None where one of these is left out."""
        try:
            return _fields(series, axis[months], bring, read)
        except _BadFile as error:
            if not skip_bad:
                raise
            skipped.append(Skipped(str(error.file.path), str(error)))
            whole[np.isin(axis, error.file.months)] = False
            return None

    while not out.exists():
        _require_any(whole, axis, series, skipped)
        if fields_of(np.flatnonzero(whole)[:1]):  # a fault shows before anything is made
            network = stations or own_network("the model's")
            create_store(out, grid, stamps, network, _store_attrs(template), variables)
    store = open_store(out)
    version = " ".join(template.identity)
    if (
        store.attrs.get("prepared_by") != PREPARED_BY
        or store.attrs["version"] != version
        or not np.array_equal(store.time, stamps)
        or store.variables != variables
    ):
        raise UserError(
            f"{out} exists and is no store of {version}, {first} to {last}, with the same "
            "variables; give another --out"
        )
    there = store.available
    rows, columns = store.stations.cells(grid)
    todo = np.flatnonzero(whole & ~there)
    done = seen = 0
    for block in _blocks(todo, axis, series):
        seen += block.size
        parts = []
        for year in np.array_split(block, -(-block.size // _MONTHS_AT_ONCE)):
            part = fields_of(year) if whole[year].all() else None
            if part is None:
                break
            parts.append(part)
        if parts:
            fields = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
            write_frames(out, int(block[0]), fields, fields["co2"][:, rows, columns])
            done += fields["co2"].shape[0]
        if progress is not None:
            progress(seen / todo.size, str(axis[block[-1]]))
    gaps = gaps_between(open_store(out).available, first)
    uniform = co2_is_uniform(open_store(out))
    note(out, missing_months=[list(gap) for gap in gaps], co2_uniform=uniform)
    return Prepared(
        store=str(out),
        version=version,
        months=done,
        reused=int(there.sum()),
        gaps=gaps,
        skipped=tuple(skipped),
        absent=tuple(name for name in AUXILIARY if name not in variables),
        uniform=uniform,
        calendar=template.calendar,
        seconds=time.perf_counter() - began,
    )


def co2_is_uniform(store: StoreSource) -> bool:
    """Whether the CO2 of every frame is the same everywhere, to the step of the packed values."""
    held = np.flatnonzero(store.available)
    for block in np.array_split(held, -(-held.size // CHUNK[0])):
        fields = store.read(["co2"], block)[0].reshape(block.size, -1)
        if np.ptp(fields, axis=1).max() > VARIABLES["co2"].scale * 1.01:
            return False
    return True


def _gather(
    files: Iterable[str | Path], skip_bad: bool
) -> tuple[dict[str, _Series], list[Skipped]]:
    """CMIP6 name -> its files in order of time; files that were left out."""
    paths: list[Path] = []
    for given in map(Path, files):
        paths += sorted(given.glob("*.nc")) if given.is_dir() else [given]
    if not paths:
        raise UserError(
            "no CMIP6 file is given; they are named co2_Amon_MODEL_..._YYYYMM-YYYYMM.nc"
        )
    headers: list[Header] = []
    skipped = []
    for path in paths:
        try:
            header = guard.call(read_header, path)
            if headers:
                _require_kin(headers[0], header)
        except UserError as error:
            if not skip_bad:
                raise
            skipped.append(Skipped(str(path), str(error)))
        else:
            headers.append(header)
    if not headers:
        raise UserError(
            f"none of the {len(paths)} files can be read; the first: {skipped[0].reason}"
        )
    series = {}
    for name in NAMES:
        found = sorted((one for one in headers if one.name == name), key=lambda one: one.months[0])
        for before, after in pairwise(found):
            if after.months[0] <= before.months[-1]:
                raise UserError(
                    f"{after.months[0]} of {name} is there twice: {before.path} and {after.path}; "
                    "keep one"
                )
        if found:
            series[name] = _Series(tuple(found))
    if "co2" not in series:
        raise UserError(f"the {len(headers)} files hold no co2, only {', '.join(series)}")
    return series, skipped


def _require_kin(first: Header, other: Header) -> None:
    if other.identity != first.identity:
        pairs = zip(_IDENTITY, first.identity, other.identity, strict=True)
        odd = "; ".join(f"{key} {b or 'none'}, not {a or 'none'}" for key, a, b in pairs if a != b)
        raise UserError(f"{other.path}: differs from {first.path.name}: {odd}")
    if not other.same_grid(first):
        raise UserError(f"{other.path}: differs from {first.path.name}: another grid")
    if other.calendar != first.calendar:
        raise UserError(f"{other.path}: differs from {first.path.name}: calendar {other.calendar}")


def _regridder(header: Header, grid: LatLonGrid) -> Regrid:
    try:
        return regridder(header.lat, header.lon, grid)
    except UserError as error:
        raise UserError(f"{header.path}: {error}") from error


def _require_any(
    whole: NDArray[np.bool_],
    axis: NDArray[np.datetime64],
    series: Mapping[str, _Series],
    skipped: Sequence[Skipped],
) -> None:
    if not whole.any():
        last = f"; the last one left out: {skipped[-1].reason}" if skipped else ""
        raise UserError(
            f"no month of {axis[0]} to {axis[-1]} is in the files of all of {', '.join(series)}"
            f"{last}"
        )


def _blocks(
    index: NDArray[np.int64], axis: NDArray[np.datetime64], series: Mapping[str, _Series]
) -> list[NDArray[np.int64]]:
    """Stretches without a gap, cut at the borders of a store's chunks and of files."""
    cuts = (np.diff(index) != 1) | (np.diff(index // CHUNK[0]) != 0)
    for one in series.values():
        starts = np.array([file.months[0] for file in one.files])
        cuts |= np.diff(np.searchsorted(starts, axis[index], side="right")) != 0
    return [part for part in np.split(index, np.flatnonzero(cuts) + 1) if part.size]


def _fields(
    series: Mapping[str, _Series],
    months: NDArray[np.datetime64],
    bring: Regrid,
    read: Callable[..., NDArray[np.float32]],
) -> dict[str, NDArray[np.float32]]:
    """Store name -> (n, H, W) on the store's grid; of months in one file a variable.

    Raises
    ------
    _BadFile
        Which file's values cannot be used, and why.
    """
    ground: NDArray[np.float32] | None = None
    fields = {}
    for name, one in sorted(series.items(), key=lambda item: item[0] != "ps"):
        try:
            above = None if ground is None else float(ground.min())
            raw = one.read(months, above, read)
            if name == "ps":
                values = ground = raw[:, 0]
                if np.isnan(values).any():
                    raise UserError("ps: values are missing")
            else:
                values = lowest(raw, one.file(months[0]).levels, ground)
            check_range(NAMES[name], values)
        except UserError as error:
            raise _BadFile(one.file(months[0]), str(error)) from error
        fields[NAMES[name]] = bring(values)
    return fields


def lowest(
    values: NDArray[np.float32],
    levels: Sequence[float] | NDArray[np.float64],
    ground: NDArray[np.float32] | None,
) -> NDArray[np.float32]:
    """(n, H, W): at every cell the lowest level that lies above ground and holds a value.

    Parameters
    ----------
    values : (n, L, H, W)
        NaN where missing.
    levels : (L or more,) Pa
        Descending: from the ground up.
    ground : (n, H, W) Pa or None
        Surface pressure; levels of a higher pressure lie under the ground, whatever they hold.

    Raises
    ------
    UserError
        When a cell has no value on any level.
    """
    usable = np.isfinite(values)
    if ground is not None:
        pressure = np.asarray(levels)[: values.shape[1]]
        usable &= pressure[None, :, None, None] <= ground[:, None]
    if not usable.any(axis=1).all():
        share = 1 - usable.any(axis=1).mean()
        raise UserError(f"{share:.1%} of the columns have no value above ground")
    level = np.argmax(usable, axis=1)[:, None]
    return np.take_along_axis(values, level, axis=1)[:, 0]


def _store_attrs(header: Header) -> dict[str, Any]:
    model, experiment, member, _ = header.identity
    return {
        "title": f"CMIP6 {model} {experiment}, near the surface",
        "source": f"CMIP6 output of {model}, experiment {experiment}, member {member}: "
        f"{header.attrs.get('institution', 'institution not stated')}",
        "version": " ".join(header.identity),
        "licence": header.attrs.get("license", "not stated in the files"),
        "simulated": True,
        "free_running": True,
        "level": "lowest pressure level above ground, at every cell and month",
        "air_pressure": "at the surface (ps)",
        "time_stamps": "monthly means; a stamp is a label: the 16th of its month, 00:00 UTC",
        "original_calendar": header.calendar,
        "original_grid": f"{' x '.join(map(str, _shape(header)))} cells, bilinear to the store's",
        "observations": "the model's own CO2 in the cells of the stations, without noise or gaps; "
        "not measurements",
        "prepared_by": PREPARED_BY,
        **{f"original_{name}": text for name, text in header.attrs.items() if name in _KEPT},
    }


def _shape(header: Header) -> tuple[int, ...]:
    return header.lat.shape if header.lat.ndim == 2 else (header.lat.size, header.lon.size)
