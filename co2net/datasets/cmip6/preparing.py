"""Monthly CMIP6 files into a canonical store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from co2net import schema
from co2net.datasets import building, guard
from co2net.datasets.building import Skipped
from co2net.datasets.cmip6.reading import IDENTITY, KEPT, NAMES, Header, read_header, read_values
from co2net.datasets.regrid import Regrid, regridder
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.source import StationNetwork

Progress = Callable[[float, str], None]

PREPARED_BY = "co2net.datasets.cmip6"

_MONTHS_AT_ONCE = 12
_LEVELS_MORE = 3  # than the surface pressure asks for, where some are missing


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
        text += building.gap_lines(self.gaps)
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
    variables = tuple(name for name in schema.AUXILIARY if name in {NAMES[key] for key in series})
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
            network = stations or building.own_network("the model's")
            schema.create_store(out, grid, stamps, network, _store_attrs(template), variables)
    store = schema.open_store(out)
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
            schema.write_frames(out, int(block[0]), fields, fields["co2"][:, rows, columns])
            done += fields["co2"].shape[0]
        if progress is not None:
            progress(seen / todo.size, str(axis[block[-1]]))
    gaps = building.gaps_between(schema.open_store(out).available, first)
    uniform = co2_is_uniform(schema.open_store(out))
    building.note(out, missing_months=[list(gap) for gap in gaps], co2_uniform=uniform)
    return Prepared(
        store=str(out),
        version=version,
        months=done,
        reused=int(there.sum()),
        gaps=gaps,
        skipped=tuple(skipped),
        absent=tuple(name for name in schema.AUXILIARY if name not in variables),
        uniform=uniform,
        calendar=template.calendar,
        seconds=time.perf_counter() - began,
    )


def co2_is_uniform(store: schema.StoreSource) -> bool:
    """Whether the CO2 of every frame is the same everywhere, to the step of the packed values."""
    held = np.flatnonzero(store.available)
    for block in np.array_split(held, -(-held.size // schema.CHUNK[0])):
        fields = store.read(["co2"], block)[0].reshape(block.size, -1)
        if np.ptp(fields, axis=1).max() > schema.VARIABLES["co2"].scale * 1.01:
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
        pairs = zip(IDENTITY, first.identity, other.identity, strict=True)
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
    cuts = (np.diff(index) != 1) | (np.diff(index // schema.CHUNK[0]) != 0)
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
            building.check_range(NAMES[name], values)
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
        **{f"original_{name}": text for name, text in header.attrs.items() if name in KEPT},
    }


def _shape(header: Header) -> tuple[int, ...]:
    return header.lat.shape if header.lat.ndim == 2 else (header.lat.size, header.lon.size)
