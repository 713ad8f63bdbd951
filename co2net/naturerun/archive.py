"""Many years of the simulated world on disk, and the world as a source of fields.

An archive holds the surface CO2 alone, one file of packed 16-bit integers a year; the weather is
an explicit function of time and is computed where it is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache, cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from co2net.assets import atomic_path, data_path, provenance
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.naturerun.stations import ObservationConfig, load_stations, observe
from co2net.naturerun.statistics import year_statistics
from co2net.naturerun.weather import Frames, days
from co2net.naturerun.world import (
    FIRST_YEAR,
    FRAMES_A_DAY,
    LAST_YEAR,
    STEP_SECONDS,
    WORLD_VERSION,
    Month,
    Progress,
    Restart,
    World,
    WorldConfig,
    check_restarts,
    has_restarts,
    month_times,
    quiet,
    restart_before,
    time_axis,
    write_restarts_label,
)
from co2net.schema import AUXILIARY, CO2, create_store, open_store, write_frames
from co2net.source import Index, StationNetwork

YEARS = tuple(range(FIRST_YEAR, LAST_YEAR + 1))
DEMO_MONTHS = ("2000-01", "2000-07", "2019-08", "2020-01", "2020-06", "2020-07", "2020-10")
WORLD_VARIABLES = AUXILIARY


def world_attrs(config: WorldConfig) -> dict[str, Any]:
    """Attributes of every data set that the world makes."""
    return {
        "title": "co2net nature run: a simulated world",
        "source": "co2net nature run (physically based simulation, not observations)",
        "version": WORLD_VERSION,
        "licence": "BSD-3-Clause",
        "simulated": True,
        "seed": config.weather.seed,
        "digest": config.digest,
        "level": "lowest model layer, 5 hPa (about 40 m) thick",
        **{f"made_by_{key}": value for key, value in provenance().items()},
    }


def weather_fields(world: World, frames: Frames) -> dict[str, NDArray[np.float32]]:
    """The store's auxiliary variables of a batch of frames, in the schema's units."""
    return {
        "air_pressure": frames.pressure,
        "specific_humidity": frames.humidity,
        "air_temperature": frames.temperature,
        "eastward_wind": frames.u,
        "northward_wind": frames.v,
        "geopotential_height": frames.height,
        "surface_altitude": world.weather.altitude.astype(np.float32),
    }


# -- archive ------------------------------------------------------------------------------------


def build_archive(
    folder: str | Path,
    config: WorldConfig | None = None,
    years: tuple[int, int] = (FIRST_YEAR, LAST_YEAR),
    restarts: str | Path | None = None,
    workers: int = 2,
    progress: Progress = quiet,
) -> Path:
    """Simulate years into an archive; years that are there already are kept.

    Where the restarts of this world are known, the years are simulated in parallel, with the
    same bits as in one go; else one process runs from the spin-up and writes the restarts.

    Parameters
    ----------
    folder
        Receives ``co2_YYYY.npy``, ``statistics_YYYY.npz`` and ``meta.json``.
    config
        Settings of the world.
    years
        First and last year.
    restarts
        Folder of restarts; by default the shipped ones, for other settings ``restarts`` in the
        archive.
    workers
        Processes.
    progress
        Told the share done and a line of text.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UserError
        When the folder holds another world, or years lie outside 2000-2020.
    """
    config = config or WorldConfig()
    folder = Path(folder)
    store = Path(restarts) if restarts is not None else data_path("restarts")
    if restarts is None and not has_restarts(store, config):
        store = folder / "restarts"  # another world than the shipped one
    if not FIRST_YEAR <= years[0] <= years[1] <= LAST_YEAR:
        raise UserError(f"years {years[0]}-{years[1]}: choose within {FIRST_YEAR}-{LAST_YEAR}")
    _label(folder, config)
    todo = [y for y in range(years[0], years[1] + 1) if not (folder / f"co2_{y}.npy").is_file()]
    if not todo:
        progress(1.0, "every year is there already")
        return folder
    if has_restarts(store, config):
        tasks = [(folder, config, year, store) for year in todo]
        for done, year in enumerate(_parallel(_archive_year, tasks, workers), 1):
            progress(done / len(todo), f"{year} simulated")
        return folder
    _simulate_in_one_go(folder, World(config), years[1], store, progress)
    if years[1] == LAST_YEAR:
        write_restarts_label(store, config)
    return folder


def _simulate_in_one_go(
    folder: Path, world: World, last: int, restarts: Path, progress: Progress
) -> None:
    """Years from the spin-up on, writing restarts; goes on where an earlier call broke off."""
    first = FIRST_YEAR
    while (folder / f"co2_{first}.npy").is_file() and _january(restarts, first + 1).is_file():
        first += 1
    if first > FIRST_YEAR:
        state = Restart.load(_january(restarts, first)).unpack()
    else:
        state = world.spin_up(lambda part, text: progress(0.0, text))
    for year in range(first, last + 1):
        months = world.run(state, (year, 1), (year, 12), restarts)
        _write_year(folder, world, year, list(months))
        progress((year - FIRST_YEAR + 1) / (last - FIRST_YEAR + 1), f"{year} simulated")


def _january(restarts: Path, year: int) -> Path:
    return restarts / f"{year}-01.npz"


def _label(folder: Path, config: WorldConfig) -> None:
    label = folder / "meta.json"
    if label.is_file():
        if json.loads(label.read_text(encoding="utf-8"))["digest"] != config.digest:
            raise UserError(f"{folder} holds another world; give an empty folder")
        return
    with atomic_path(label) as draft:
        meta = world_attrs(config) | {"scale": CO2.scale, "offset": CO2.offset}
        draft.write_text(json.dumps(meta, indent=1), encoding="utf-8")


def _parallel(function: Callable[..., Any], tasks: Sequence[tuple], workers: int) -> Iterator[Any]:
    """Results of calls as they come, from other processes where there is more than one call."""
    if min(workers, len(tasks)) <= 1:
        yield from (function(*task) for task in tasks)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for job in as_completed([pool.submit(function, *task) for task in tasks]):
            yield job.result()


def _archive_year(folder: Path, config: WorldConfig, year: int, restarts: Path) -> int:
    world = World(config)
    state = world.state_at(year, 1, restarts)
    _write_year(folder, world, year, list(world.run(state, (year, 1), (year, 12), None)))
    return year


def _write_year(folder: Path, world: World, year: int, months: Sequence[Month]) -> None:
    packed = np.concatenate([CO2.pack(month.surface) for month in months])
    with atomic_path(folder / f"statistics_{year}.npz") as draft, draft.open("wb") as handle:
        np.savez_compressed(handle, **year_statistics(world, months))
    with atomic_path(folder / f"co2_{year}.npy") as draft, draft.open("wb") as handle:
        np.save(handle, packed)


class WorldSource:
    """The simulated world as a `co2net.source.FieldSource`.

    CO2 comes from an archive; the weather is computed for the frames that are asked for, all
    variables at once, and the last batches are kept.

    Parameters
    ----------
    archive
        Folder made by `build_archive`.
    world
        Settings; by default those the archive was made with must be the default ones.
    observations
        Noise and gaps of the stations.
    strict
        Refuse an archive that other settings or another version of the world made; its CO2
        would not belong to the weather that is computed now.
    """

    def __init__(
        self,
        archive: str | Path,
        config: WorldConfig | None = None,
        observations: ObservationConfig | None = None,
        strict: bool = True,
    ) -> None:
        self.path = Path(archive)
        self._config = config or WorldConfig()
        self._observations = observations or ObservationConfig()
        label = self.path / "meta.json"
        if not label.is_file():
            raise UserError(f"no archive at {archive}; `co2net simulate` over years makes one")
        self.attrs: dict[str, Any] = json.loads(label.read_text(encoding="utf-8"))
        if strict and self.attrs["digest"] != self._config.digest:
            raise UserError(
                f"{archive} was made by another world (digest {self.attrs['digest']}, now "
                f"{self._config.digest}); simulate it anew"
            )
        self.grid = LatLonGrid.ct()
        self.time = time_axis()
        self.step = np.timedelta64(STEP_SECONDS, "s")
        self.variables: tuple[str, ...] = WORLD_VARIABLES
        self.stations: StationNetwork = load_stations()
        self._cells = self.stations.cells(self.grid)
        self._year = self.time.astype("datetime64[Y]").astype(int) + 1970
        self._first = np.searchsorted(self._year, np.arange(FIRST_YEAR, LAST_YEAR + 2))
        self._files: dict[int, NDArray[np.int16]] = {}
        self._cached: tuple[bytes, dict[str, NDArray[np.float32]]] | None = None

    @cached_property
    def world(self) -> World:
        """The world whose weather is read."""
        return World(self._config)

    @property
    def available(self) -> NDArray[np.bool_]:
        """(N,): frames of the years that are archived."""
        years = [y for y in YEARS if (self.path / f"co2_{y}.npy").is_file()]
        return np.isin(self._year, years)

    def read(self, names: Sequence[str], index: Index) -> NDArray[np.float32]:
        """(len(names), len(index), H, W): fields in the schema's units; static ones repeat."""
        index = np.asarray(index, dtype=np.int64)
        out = np.empty((len(names), index.size, *self.grid.shape), dtype=np.float32)
        for slot, name in zip(out, names, strict=True):
            slot[:] = self._co2(index) if name == "co2" else self._weather(index, name)
        return out

    def observations(self, index: Index) -> NDArray[np.float32]:
        """(len(index), S) umol/mol: simulated values at the stations, with noise and gaps."""
        index = np.asarray(index, dtype=np.int64)
        rows, columns = self._cells
        truth = np.empty((index.size, len(self.stations)), dtype=np.float32)
        self._by_year(
            index, lambda data, where, to: _take(truth, to, data[where][:, rows, columns])
        )
        return observe(truth, index, self._observations)

    def _co2(self, index: Index) -> NDArray[np.float32]:
        out = np.empty((index.size, *self.grid.shape), dtype=np.float32)
        self._by_year(index, lambda data, where, to: _take(out, to, data[where]))
        return out

    def _by_year(self, index: Index, use: Callable[[NDArray, Index, Index], None]) -> None:
        years = self._year[index]
        for year in np.unique(years):
            to = np.flatnonzero(years == year)
            data = self._file(int(year))
            use(data, index[to] - self._first[year - FIRST_YEAR], to)

    def _file(self, year: int) -> NDArray[np.int16]:
        if year not in self._files:
            path = self.path / f"co2_{year}.npy"
            if not path.is_file():
                raise UserError(f"{self.path} holds no year {year}; `co2net simulate` adds it")
            self._files[year] = np.load(path, mmap_mode="r", allow_pickle=False)
        return self._files[year]

    def _weather(self, index: Index, name: str) -> NDArray[np.float32]:
        if name not in self.variables:
            raise UserError(
                f"the simulated world has no {name}; it has {', '.join(self.variables)}"
            )
        key = index.tobytes()
        if self._cached is None or self._cached[0] != key:
            unique, back = np.unique(index, return_inverse=True)
            frames = self.world.weather.frames(days(self.time[unique]))
            fields = weather_fields(self.world, frames)
            if unique.size != index.size or not np.array_equal(unique, index):
                fields = {k: v if v.ndim == 2 else v[back] for k, v in fields.items()}
            self._cached = (key, fields)
        return self._cached[1][name]


def _take(out: NDArray[np.float32], to: Index, packed: NDArray[np.int16]) -> None:
    out[to] = CO2.unpack(packed)


# -- the demo's store -----------------------------------------------------------------------------


def build_demo(
    path: str | Path,
    months: Sequence[str] = DEMO_MONTHS,
    config: WorldConfig | None = None,
    restarts: str | Path | None = None,
    observations: ObservationConfig | None = None,
    workers: int = 2,
    progress: Progress = quiet,
) -> None:
    """Make the embedded world's store and fill some months; others can follow (`add_month`).

    The last day before a month is filled with it, so that its first frame has a whole window.

    Parameters
    ----------
    path
        Folder of the store; it may exist, then only missing months are added.
    months
        ``YYYY-MM``.
    config, restarts
        Settings of the world and the folder of its restarts; the shipped ones by default.
    observations
        Noise and gaps of the stations.
    workers
        Processes that simulate.
    progress
        Told the share done and a line of text.
    """
    config = config or WorldConfig()
    path = Path(path)
    store = Path(restarts) if restarts is not None else data_path("restarts")
    check_restarts(store, config)
    if not path.exists():
        attrs = world_attrs(config)
        create_store(path, LatLonGrid.ct(), time_axis(), load_stations(), attrs, WORLD_VARIABLES)
    held = open_store(path)
    lacking = set(held.time[~held.available].astype("datetime64[M]").astype(str))
    months = [text for text in months if "{:04d}-{:02d}".format(*_parse(text)) in lacking]
    groups = _group(months)
    done = 0
    progress(0.0 if months else 1.0, "simulating" if months else "every month is there already")
    for part in _parallel(_simulate_group, [(config, store, group) for group in groups], workers):
        for times, surface in part:
            _write_span(path, config, times, surface, observations)
            done += 1
            progress(done / len(months), f"{str(times[-1])[:7]} written")


def add_month(
    path: str | Path,
    month: str,
    config: WorldConfig | None = None,
    restarts: str | Path | None = None,
    observations: ObservationConfig | None = None,
) -> None:
    """Simulate one more month (``YYYY-MM``) into a store made by `build_demo`."""
    config = config or WorldConfig()
    store = Path(restarts) if restarts is not None else data_path("restarts")
    for times, surface in _simulate_group(config, store, [_parse(month)]):
        _write_span(path, config, times, surface, observations)


def _parse(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{4})-(\d{2})", text)
    year, month = (int(found[1]), int(found[2])) if found else (0, 0)
    if not (FIRST_YEAR <= year <= LAST_YEAR and 1 <= month <= 12):
        raise UserError(f"month '{text}': write YYYY-MM within {FIRST_YEAR}-{LAST_YEAR}")
    return year, month


Span = tuple[NDArray[np.datetime64], NDArray[np.float32]]
"""Times of consecutive frames and their surface CO2 (n, H, W)."""


def _group(months: Sequence[str]) -> list[list[tuple[int, int]]]:
    """Months that share a restart, to be simulated in one go; the longest groups first."""
    groups: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for year, month in sorted({_parse(text) for text in months}):
        groups.setdefault(restart_before(year, month), []).append((year, month))
    return sorted(groups.values(), key=lambda group: -(group[-1][1] % 2))


def _simulate_group(
    config: WorldConfig, restarts: Path, group: Sequence[tuple[int, int]]
) -> list[Span]:
    """The wanted months, each after the last day of the month before it."""
    spans: list[Span] = []
    before: list[Span] = []  # the day before, unless it is written with its own month
    for done in _world(config).months(*group[-1], restarts):
        times, surface = month_times(done.year, done.month), done.surface
        wanted = (done.year, done.month) in group
        if wanted:
            parts = [*before, (times, surface)]
            spans.append(
                (np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]))
            )
        before = [] if wanted else [(times[-FRAMES_A_DAY:], surface[-FRAMES_A_DAY:])]
    return spans


@cache
def _world(config: WorldConfig) -> World:
    return World(config)


def _write_span(
    path: str | Path,
    config: WorldConfig,
    times: NDArray[np.datetime64],
    surface: NDArray[np.float32],
    observations: ObservationConfig | None,
) -> None:
    world = _world(config)
    start = int(np.searchsorted(time_axis(), times[0]))
    fields = {"co2": surface, **weather_fields(world, world.weather.frames(days(times)))}
    rows, columns = load_stations().cells(world.grid)
    index = np.arange(start, start + times.size)
    truth = CO2.unpack(CO2.pack(surface[:, rows, columns]))
    reported = observe(truth, index, observations or ObservationConfig())
    write_frames(path, start, fields, reported)
