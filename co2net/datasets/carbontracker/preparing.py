"""CarbonTracker's daily files into a canonical store."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from co2net import schema
from co2net.datasets import building, guard
from co2net.datasets.building import Skipped
from co2net.datasets.carbontracker.fetching import Day, Progress, span_of
from co2net.datasets.carbontracker.reading import DayFields, day_in_name, read_day
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.source import StationNetwork

PREPARED_BY = "co2net.datasets.carbontracker"

_STATIC_TOLERANCE_M = 1.0


@dataclass(frozen=True)
class Prepared:
    """What `prepare` did.

    Parameters
    ----------
    store
        The store.
    release
        Of the files.
    days, reused
        Days written by this call, and days that the store held before.
    gaps
        (first, last) ISO days of every stretch that the store lacks.
    skipped
        Files left out.
    absent
        Auxiliary variables that the files do not have.
    seconds
        Time taken.
    """

    store: str
    release: str
    days: int
    reused: int
    gaps: tuple[tuple[str, str], ...]
    skipped: tuple[Skipped, ...]
    absent: tuple[str, ...]
    seconds: float

    def lines(self) -> list[str]:
        """For people: one line a fact."""
        text = [f"{self.store}: {self.days} days written, {self.reused} were there"]
        text += building.gap_lines(self.gaps)
        text += [f"skipped: {item.reason}" for item in self.skipped]
        if self.absent:
            text.append(f"the files do not have: {', '.join(self.absent)}")
        return text


@dataclass(frozen=True)
class _Plan:
    """What every file of a store must agree with."""

    grid: LatLonGrid
    variables: tuple[str, ...]
    offsets: NDArray[np.timedelta64]
    release: str
    altitude: NDArray[np.float32] | None
    origin: str

    @classmethod
    def of_day(cls, day: DayFields) -> _Plan:
        altitude = day.fields.get("surface_altitude")
        return cls(day.grid, day.variables, day.offsets, day.release, altitude, day.path.name)

    @classmethod
    def of_store(cls, path: Path) -> tuple[_Plan, NDArray[np.datetime64]]:
        """The plan of a store begun earlier, and the days of its axis."""
        store = schema.open_store(path)
        if store.attrs.get("prepared_by") != PREPARED_BY:
            raise UserError(f"{path} exists and is no CarbonTracker store; give another --out")
        days = np.unique(store.time.astype("M8[D]"))
        offsets = store.time[: store.time.size // days.size] - days[0]
        altitude = None
        if "surface_altitude" in store.variables:
            altitude = store.read(["surface_altitude"], np.array([0]))[0, 0]
        version = str(store.attrs["version"])
        return cls(store.grid, store.variables, offsets, version, altitude, path.name), days

    def check(self, day: DayFields) -> None:
        """Raise UserError where a file differs from the store."""
        where = f"{day.path}: differs from {self.origin}"
        if day.release != self.release:
            raise UserError(f"{where}: release {day.release}, not {self.release}")
        if day.grid != self.grid:
            raise UserError(f"{where}: {day.grid}, not {self.grid}")
        if day.offsets.shape != self.offsets.shape or (day.offsets != self.offsets).any():
            raise UserError(f"{where}: {day.time.size} times from {day.offsets[0]} of the day")
        if day.variables != self.variables:
            odd = sorted(set(day.variables) ^ set(self.variables))
            raise UserError(f"{where}: only one of them has {', '.join(odd)}")
        if self.altitude is not None:
            apart = np.abs(day.fields["surface_altitude"] - self.altitude).max()
            if apart > _STATIC_TOLERANCE_M:
                raise UserError(f"{where}: its terrain is up to {apart:.0f} m away")


def prepare(
    files: Iterable[str | Path],
    out: str | Path,
    *,
    start: str | None = None,
    end: str | None = None,
    skip_bad: bool = False,
    units: Mapping[str, str] | None = None,
    stations: StationNetwork | None = None,
    workers: int = 1,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Bring daily files into a canonical store, or go on with a store begun earlier.

    Days are read in order and written a chunk of the store (15 days) at a time, so that memory
    does not grow with the number of days. An interrupted call is called again with the same
    arguments: days that the store holds are not read anew, and the store becomes the same.

    Parameters
    ----------
    files
        Daily files, or folders that hold them.
    out
        The store: absent, or made by an earlier call for the same release and grid.
    start, end
        First and last ISO day of the store's time axis; those of the files by default. Give
        them to fill one store as files arrive; files outside are left alone.
    skip_bad
        Leave out files that cannot be used and report them, in place of stopping at the first.
    units
        Store variable -> unit, for variables whose files state none.
    stations
        Sites whose cells give the observations; those of ``data/stations.csv`` by default.
    workers
        Processes that read files (`guard`: a damaged file cannot hang the call).
    executor
        Where to read instead: any `concurrent.futures.Executor`, such as
        ``dask.distributed.Client(...).get_executor()`` for a cluster that sees the files.
    progress
        Called with the share of days done and a text.

    Raises
    ------
    UserError
        When two files hold one day, a file cannot be used (without ``skip_bad``), no file can,
        or ``out`` is something else. Days before the bad file are in the store by then.
    """
    out = Path(out)
    listed, skipped = _list_files(files, skip_bad)
    read = partial(guard.call, partial(read_day, units=units))
    with nullcontext(executor) if executor else ThreadPoolExecutor(workers) as pool:
        return _prepare(
            out, listed, skipped, (start, end), skip_bad, stations, read, pool, workers, progress
        )


def _prepare(
    out: Path,
    listed: Mapping[Day, Path],
    skipped: list[Skipped],
    span: tuple[str | None, str | None],
    skip_bad: bool,
    stations: StationNetwork | None,
    read: Callable[[Path], DayFields],
    pool: Executor,
    workers: int,
    progress: Progress | None,
) -> Prepared:
    """What `prepare` does once it is clear who reads."""
    began = time.perf_counter()
    start, end = span
    first, last = span_of(start or str(min(listed)), end or str(max(listed)))
    chosen = {day: path for day, path in sorted(listed.items()) if first <= day <= last}
    if not chosen:
        raise UserError(f"no file holds a day of {first} to {last}")

    fresh: dict[Path, DayFields] = {}
    if out.exists():
        plan, axis = _Plan.of_store(out)
        if plan.altitude is not None and np.isnan(plan.altitude).any():  # nothing is written yet
            template = _first_readable(chosen, read, pool, skip_bad, skipped)
            fresh[template.path] = template
            plan = replace(plan, altitude=template.fields.get("surface_altitude"))
        if start is None and end is None:
            first, last = axis[0], axis[-1]
        if (first, last) != (axis[0], axis[-1]) or not set(chosen) <= set(axis):
            raise UserError(
                f"{out} spans {axis[0]} to {axis[-1]}, which the call does not fit; give "
                "--start and --end of the whole span when the store is first made"
            )
    else:
        template = _first_readable(chosen, read, pool, skip_bad, skipped)
        plan = _Plan.of_day(template)
        fresh[template.path] = template
        days = np.arange(first, last + 1)
        axis_time = np.add.outer(days.astype("M8[s]"), plan.offsets).ravel()
        network = stations or building.own_network("CarbonTracker's")
        schema.create_store(
            out, plan.grid, axis_time, network, _store_attrs(template), plan.variables
        )

    store = schema.open_store(out)
    per_day = plan.offsets.size
    whole = _whole_days(store, per_day)
    known_bad = {item.file for item in skipped}
    todo = [
        path
        for day, path in chosen.items()
        if not whole[_number(day, first)] and str(path) not in known_bad
    ]
    writer = _Writer(out, first, plan, store.stations.cells(plan.grid))
    written = 0
    with closing(_read_ahead(todo, read, fresh, workers, pool)) as results:
        for path, result in results:
            try:
                day = result()
                plan.check(day)
            except UserError as error:
                if not skip_bad or isinstance(error.__cause__, _worker_deaths()):
                    writer.flush()
                    raise
                skipped.append(Skipped(str(path), str(error)))
            else:
                writer.add(day)
                written += 1
            if progress is not None:
                progress((written + len(skipped)) / (len(todo) + len(known_bad)), path.name)
    writer.flush()
    if progress is not None:
        progress(1.0, "")
    gaps = building.gaps_between(_whole_days(store, per_day), first)
    building.note(out, missing_days=[list(gap) for gap in gaps])
    return Prepared(
        store=str(out),
        release=plan.release,
        days=written,
        reused=int(whole.sum()),
        gaps=gaps,
        skipped=tuple(skipped),
        absent=tuple(name for name in schema.AUXILIARY if name not in plan.variables),
        seconds=time.perf_counter() - began,
    )


def _number(day: Day, first: Day) -> int:
    return int((day - first) / np.timedelta64(1, "D"))


def _list_files(
    files: Iterable[str | Path], skip_bad: bool
) -> tuple[dict[Day, Path], list[Skipped]]:
    """Day -> file, and files without a day in their names."""
    listed: dict[Day, Path] = {}
    skipped = []
    for entry in map(Path, files):
        inside = entry.is_dir()
        paths = sorted(entry.glob("*.nc")) if inside else [entry]
        for path in paths:
            day = day_in_name(path)
            if day is None:
                if inside:  # monthly means beside the days
                    continue
                reason = f"{path}: has no day in its name; prepare wants daily files, as published"
                if not skip_bad:
                    raise UserError(reason)
                skipped.append(Skipped(str(path), reason))
            elif day in listed:
                raise UserError(f"{day} is there twice: {listed[day]} and {path}; keep one")
            else:
                listed[day] = path
    if not listed:
        raise UserError(
            "no daily CarbonTracker file is given; they are named "
            "CT2022.molefrac_glb3x2_YYYY-MM-DD.nc"
        )
    return listed, skipped


def _first_readable(
    chosen: Mapping[Day, Path],
    read: Callable[[Path], DayFields],
    pool: Executor,
    skip_bad: bool,
    skipped: list[Skipped],
) -> DayFields:
    """The first file that can be read; it decides what the store holds."""
    for path in chosen.values():
        try:
            return _result(pool.submit(read, path), path)
        except UserError as error:
            if not skip_bad or isinstance(error.__cause__, _worker_deaths()):
                raise
            skipped.append(Skipped(str(path), str(error)))
    raise UserError(f"none of the {len(chosen)} files can be read; the first: {skipped[0].reason}")


def _read_ahead(
    paths: Sequence[Path],
    read: Callable[[Path], DayFields],
    fresh: Mapping[Path, DayFields],
    workers: int,
    pool: Executor,
) -> Generator[tuple[Path, Callable[[], DayFields]], None, None]:
    """Each path in order, with what gives its fields or raises; a few are read ahead."""
    queue = iter(paths)
    waiting: deque[tuple[Path, Callable[[], DayFields], Future[DayFields] | None]] = deque()

    def ask(count: int) -> None:
        for path in islice(queue, count):
            if path in fresh:
                waiting.append((path, partial(fresh.__getitem__, path), None))
            else:
                future = pool.submit(read, path)
                waiting.append((path, partial(_result, future, path), future))

    ask(2 * workers + 1)
    try:
        while waiting:
            path, result, _ = waiting.popleft()
            yield path, result
            ask(1)
    finally:
        for _, _, future in waiting:
            if future is not None:
                future.cancel()


def _result(future: Future[DayFields], path: Path) -> DayFields:
    try:
        return future.result()
    except _worker_deaths() as error:
        raise UserError(
            f"{path}: a reading process died at this file or just after it; "
            "run again, here and with --workers 1"
        ) from error


def _worker_deaths() -> tuple[type[BaseException], ...]:
    """What executors raise when a worker dies, be they of this machine or of a Dask cluster."""
    dask = sys.modules.get("distributed.scheduler")
    of_dask = () if dask is None else (dask.KilledWorker,)
    return BrokenExecutor, CancelledError, *of_dask


class _Writer:
    """Gathers days and writes them a chunk of the store at a time."""

    def __init__(
        self,
        path: Path,
        first: Day,
        plan: _Plan,
        cells: tuple[NDArray[np.int64], NDArray[np.int64]],
    ) -> None:
        self._path, self._first, self._plan, self._cells = path, first, plan, cells
        self._days: list[tuple[int, DayFields]] = []

    def add(self, day: DayFields) -> None:
        """Take a day; days come in order."""
        frame = _number(day.time[0].astype("M8[D]"), self._first) * day.time.size
        if self._days and frame // schema.CHUNK[0] != self._days[0][0] // schema.CHUNK[0]:
            self.flush()
        self._days.append((frame, day))

    def flush(self) -> None:
        """Write what is gathered, one call for every stretch without a gap."""
        stretch: list[tuple[int, DayFields]] = []
        for frame, day in self._days:
            if stretch and frame != stretch[-1][0] + day.time.size:
                self._write(stretch)
                stretch = []
            stretch.append((frame, day))
        if stretch:
            self._write(stretch)
        self._days = []

    def _write(self, stretch: Sequence[tuple[int, DayFields]]) -> None:
        names = (
            "co2",
            *(name for name in self._plan.variables if not schema.VARIABLES[name].static),
        )
        fields = {name: np.concatenate([day.fields[name] for _, day in stretch]) for name in names}
        observations = fields["co2"][:, self._cells[0], self._cells[1]]
        if self._plan.altitude is not None:
            fields["surface_altitude"] = self._plan.altitude
        schema.write_frames(self._path, stretch[0][0], fields, observations)


def _whole_days(store: schema.StoreSource, per_day: int) -> NDArray[np.bool_]:
    """(days,): which days the store holds."""
    return np.all(store.available.reshape(-1, per_day), axis=1)


def _store_attrs(day: DayFields) -> dict[str, Any]:
    attrs = {
        "title": f"CarbonTracker {day.release}, surface",
        "source": "NOAA Global Monitoring Laboratory, CarbonTracker: CO2 mole fractions of the "
        "TM5 transport model with fluxes optimised against observations",
        "version": day.release,
        "licence": "free for non-commercial use with acknowledgement (NOAA GML)",
        "acknowledgement": f"CarbonTracker {day.release} results provided by NOAA GML, Boulder, "
        "Colorado, USA from the website at http://carbontracker.noaa.gov",
        "simulated": False,
        "level": f"lowest of {day.levels} model levels",
        "air_pressure": "at the surface (boundary 0)",
        "geopotential_height": "centre of the lowest level (mean of boundaries 0 and 1)",
        "observations": "the data set's own surface CO2 in the cells of the stations, without "
        "noise or gaps; not measurements",
        "prepared_by": PREPARED_BY,
    }
    if day.release == "CT2022":
        attrs["references"] = "Jacobson et al. (2023), CarbonTracker CT2022, doi:10.25925/z1gj-3254"
    attrs |= {f"original_{name}": text for name, text in day.attrs.items()}
    return attrs
