"""What all sessions share: the engine, threads, colour limits, and months in the making."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from co2net.errors import UserError
from co2net.inference import Engine
from co2net.layers import ANOMALY, BACKGROUND, DIFFERENCE, SPREAD, combine, ingredients
from co2net.regions import region
from co2net.source import FieldSource
from dashboard.jobs_view import JobsWatch
from dashboard.maps.layers import LIMITS, VARIABLES, derived, display, sample_limits

if TYPE_CHECKING:
    from co2net.ocean.engine import Ocean
    from co2net.ocean.fields import OceanFields

PATIENCE = 0.35
"""Seconds that a frame waits for a model before it is shown without it."""

log = logging.getLogger(__name__)
Result = TypeVar("Result")


@dataclass
class Frame:
    """Fields of a page at one time, in the units of the page.

    Parameters
    ----------
    fields : (panels, H, W)
        NaN where a layer cannot be had.
    faults
        One line a layer that cannot be had.
    sites : (panels, S)
        What the stations report, made into the same quantity; NaN where there is none.
    wind : (2, H, W) m/s, or None
    waiting
        Layers that are still being computed, each with the names that it waits for.
    """

    fields: NDArray[np.float32]
    sites: NDArray[np.float32]
    faults: dict[str, str] = field(default_factory=dict)
    wind: NDArray[np.float32] | None = None
    waiting: dict[str, set[str]] = field(default_factory=dict)


class Pool(ThreadPoolExecutor):
    """Threads, and how many pieces of work they have yet to finish."""

    def __init__(self, threads: int, name: str) -> None:
        super().__init__(threads, name)
        self._left = 0
        self._count = threading.Lock()

    @property
    def working(self) -> int:
        """Pieces of work that run or wait."""
        return self._left

    def submit(self, work: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        """See `ThreadPoolExecutor`."""
        future = super().submit(work, *args, **kwargs)
        with self._count:
            self._left += 1
        future.add_done_callback(self._finished)
        return future

    def _finished(self, _: Any) -> None:
        with self._count:
            self._left -= 1


class Service:
    """One a server. Every method may be called from any thread.

    Parameters
    ----------
    engine
        Gives the fields.
    store
        Path of the store, where months can be added; None where that is not possible.
    sea
        What is known of the ocean; None: what belongs to the data set.
    """

    def __init__(
        self, engine: Engine, store: Path | None = None, sea: OceanFields | None = None
    ) -> None:
        self.engine = engine
        self._sea = sea
        self.store = store
        self.quick = Pool(16, "frames")
        self.slow = Pool(4, "series")
        self.patient = Pool(32, "patient")
        self._lanes: dict[str, Pool] = {}
        self._flying: dict[tuple[str, int], Future[NDArray[np.float32]]] = {}
        self._limits: dict[tuple[str, int], tuple[float, float]] = {}
        self._masks: dict[str, NDArray[np.float64]] = {}
        self._means: dict[tuple[str, int], NDArray[np.float32]] = {}
        self._ahead: set[tuple[str, int]] = set()
        self._making: dict[str, None] = {}
        self.closed = False
        self._lock = threading.Lock()
        self._listeners: dict[str, list[Callable[[], None]]] = {"months": [], "models": []}

    @property
    def source(self) -> FieldSource:
        """The data set."""
        return self.engine.source

    @property
    def simulated(self) -> bool:
        """Whether the data set is a simulated world."""
        return bool(self.source.attrs.get("simulated", False))

    @property
    def working(self) -> int:
        """Pieces of work that run or wait, of all sessions."""
        return sum(pool.working for pool in self._pools())

    def _pools(self) -> list[Pool]:
        with self._lock:
            return [self.quick, self.slow, self.patient, *self._lanes.values()]

    def workers(self, layers: Collection[str]) -> Pool:
        """Threads for work with some layers.

        With a slow model, or one of which nothing is known yet, it has other threads than the
        rest, and holds up nobody.
        """
        names = {name for layer in layers for name in self._ingredients(layer)}
        return self.slow if all(map(self.engine.quick, names)) else self.patient

    @cached_property
    def jobs(self) -> JobsWatch:
        """The jobs of this machine; their models are offered beside the shipped ones."""
        return JobsWatch(self.engine, self.models_changed)

    @cached_property
    def ocean(self) -> Ocean:
        """Fields of the sea; made at the first call, which takes a second.

        Raises
        ------
        UserError
            When the data set has no wind, or nothing is known of its sea.
        """
        from co2net.ocean.engine import Ocean

        return Ocean(self.engine, self._sea)

    def close(self) -> None:
        """Drop work that waits; what runs is cut off with the process."""
        self.closed = True
        for pool in self._pools():
            pool.shutdown(wait=False, cancel_futures=True)
        log.disabled = True

    # -- fields -------------------------------------------------------------------------

    def frame(
        self,
        layers: Sequence[str],
        index: int,
        *,
        busy: Collection[str] = (),
        wind: bool = False,
        patience: float | None = PATIENCE,
    ) -> Frame:
        """Fields of layers at one frame; a layer that cannot be had is NaN and named.

        Parameters
        ----------
        busy
            Models that shall not be asked again, for they compute already for the same visitor.
        wind
            Whether the wind is wanted too.
        patience : s
            How long to wait for models; what takes longer is `Frame.waiting`, and `computed`
            says when it is there. None waits for all. The data set's own fields are quick.
        """
        names = {name for layer in layers for name in self._ingredients(layer)}
        asked = {name: self._field(name, index) for name in sorted(names - set(busy))}
        models = set(self.engine.names())
        wait([future for name, future in asked.items() if name not in models])
        wait(asked.values(), timeout=patience)
        fields: dict[str, NDArray[np.float32]] = {}
        errors: dict[str, str] = {}
        for name, future in asked.items():
            if future.done():
                try:
                    fields[name] = future.result()
                except UserError as error:
                    errors[name] = str(error)
        out = Frame(
            np.full((len(layers), *self.source.grid.shape), np.nan, dtype=np.float32),
            np.full((len(layers), len(self.source.stations)), np.nan, dtype=np.float32),
        )
        cells = self.source.stations.cells(self.source.grid)
        reports: NDArray[np.float32] | None = None
        for slot, sites, layer in zip(out.fields, out.sites, layers, strict=True):
            try:
                needed = ingredients(layer)
            except UserError as error:
                out.faults[layer] = str(error)
                continue
            wrong = next((errors[name] for name in needed if name in errors), "")
            absent = {name for name in needed if name not in fields}
            if wrong:
                out.faults[layer] = wrong
            elif absent:
                out.waiting[layer] = absent
            else:
                shown = display(layer)
                values = combine(layer, [fields[name] for name in needed])
                slot[:] = values * np.float32(shown.factor) + np.float32(shown.shift)
                if layer in VARIABLES or layer.startswith(SPREAD):
                    continue
                if reports is None:
                    reports = self.source.observations(np.array([index]))[0]
                if layer.startswith(DIFFERENCE):
                    sites[:] = fields[needed[0]][cells] - reports
                elif layer.startswith(ANOMALY):
                    sites[:] = reports - fields[BACKGROUND][cells]
                else:
                    sites[:] = reports
        if wind:
            parts = ("eastward_wind", "northward_wind")
            out.wind = np.stack([self.engine.field(n, self.source.time[index]) for n in parts])
        return out

    def _ingredients(self, layer: str) -> tuple[str, ...]:
        try:
            return ingredients(layer)
        except UserError:  # said where the layer is made
            return ()

    def _field(self, name: str, index: int) -> Future[NDArray[np.float32]]:
        """A field that is being computed, once for all who want it."""
        key = name, index
        with self._lock:
            future = self._flying.get(key)
            if future is None:
                # Every model has threads of its own: nobody waits behind a slow one of another.
                lane = name if name in self.engine.names() else "data"
                if lane not in self._lanes:
                    self._lanes[lane] = Pool(8 if lane == "data" else 4, lane)
                future = self._flying[key] = self._lanes[lane].submit(
                    self.engine.field, name, self.source.time[index]
                )
                future.add_done_callback(lambda _: self._flying.pop(key, None))
        return future

    def computed(self, names: Collection[str], index: int, then: Callable[[], None]) -> None:
        """Call back, in some thread, when the fields of a frame have been computed."""
        left = len(names)
        gate = threading.Lock()

        def one(_: Any) -> None:
            nonlocal left
            with gate:
                left -= 1
                last = left == 0
            if last:
                then()

        for name in names:
            self._field(name, index).add_done_callback(one)

    def limits(self, layer: str, index: int) -> tuple[float, float]:
        """Colour limits of a layer, the same for all frames of a year."""
        if derived(layer):
            return LIMITS[derived(layer)]
        kind = layer if layer in VARIABLES else "co2"
        key = (kind, int(self.source.time[index].astype("datetime64[Y]").astype(int)))
        if key not in self._limits:
            self._limits[key] = sample_limits(self.source, layer, index)
        return self._limits[key]

    def mask(self, key: str) -> NDArray[np.float64]:
        """(H, W): share of every cell in a region."""
        if key not in self._masks:
            if len(self._masks) > 64:
                self._masks.clear()
            self._masks[key] = region(key).mask(self.source.grid)
        return self._masks[key]

    def month_mean(self, index: int) -> NDArray[np.float32]:
        """(H, W) umol/mol: mean of the truth over the frames that there are of a month."""
        month = self.source.time[index].astype("datetime64[M]")
        mine = (self.source.time.astype("datetime64[M]") == month) & self.source.available
        key = str(month), int(mine.sum())
        if key not in self._means:
            frames = self.source.read(["co2"], np.flatnonzero(mine))[0]
            if len(self._means) > 24:
                self._means.clear()
            self._means[key] = frames.mean(axis=0, dtype=np.float64).astype(np.float32)
        return self._means[key]

    def look_ahead(self, layers: Sequence[str], index: int, frames: int = 16) -> None:
        """Have the frames that come next computed, so that a player finds them ready."""
        after = np.arange(index + 1, min(index + 1 + frames, self.source.time.size))
        after = after[self.source.available[after]]
        for layer in layers:
            name = layer.removeprefix(DIFFERENCE).removeprefix(ANOMALY)
            if name not in self.engine.names() or after.size == 0:
                continue
            key = (name, int(after[-1]) // 8)
            with self._lock:
                if key in self._ahead:
                    continue
                self._ahead.add(key)
                if len(self._ahead) > 4096:
                    self._ahead = {key}
            self.workers([name]).submit(self._compute_ahead, name, self.source.time[after])

    def _compute_ahead(self, name: str, times: Any) -> None:
        try:
            self.engine.fields(name, times)
        except UserError:
            log.debug("%s cannot be computed ahead", name)

    def warm(self, layers: Sequence[str], index: int) -> None:
        """Load what the first visitor needs."""
        self.frame(layers, index, patience=None)
        for layer in layers:
            self.limits(layer, index)

    # -- months -------------------------------------------------------------------------

    def runs(self) -> list[list[int]]:
        """[start, end) of every run of frames that hold data."""
        edges = np.flatnonzero(np.diff(np.concatenate([[0], self.source.available, [0]])))
        return edges.reshape(-1, 2).tolist()

    def months(self) -> list[dict[str, str]]:
        """Every month that the data set can hold, and whether it does."""
        months = self.source.time.astype("datetime64[M]")
        names, first = np.unique(months, return_index=True)
        filled = np.add.reduceat(self.source.available.astype(int), first) > 0
        return [
            {
                "key": str(name),
                "state": "available"
                if there
                else ("making" if str(name) in self._making else "absent"),
            }
            for name, there in zip(names, filled, strict=True)
        ]

    def listen(self, **listeners: Callable[[], None]) -> Callable[[], None]:
        """Call back, in some thread, when ``months`` or ``models`` change; returns how to stop."""
        for what, listener in listeners.items():
            self._listeners[what].append(listener)

        def stop() -> None:
            for what, listener in listeners.items():
                self._listeners[what].remove(listener)

        return stop

    def models_changed(self) -> None:
        """Look again which models there are, and have every session offer them."""
        self.engine.rescan()
        self._tell("models")

    @property
    def can_make_months(self) -> bool:
        """Whether months of the embedded world can be added."""
        return self.store is not None and "nature run" in str(self.source.attrs.get("source"))

    def make_month(self, month: str, failed: Callable[[str], None]) -> None:
        """Simulate a month into the store, in a process of its own."""
        with self._lock:
            if month in self._making:
                return
            self._making[month] = None
        self._tell("months")
        self.patient.submit(self._make_month, month, failed)

    def _make_month(self, month: str, failed: Callable[[str], None]) -> None:
        code = "import sys; from co2net.naturerun import add_month; add_month(*sys.argv[1:])"
        done = subprocess.run(
            [sys.executable, "-c", code, str(self.store), month],
            capture_output=True,
            text=True,
            check=False,
        )
        self._making.pop(month, None)
        if done.returncode:
            log.error("making %s failed: %s", month, done.stderr)
            lines = done.stderr.strip().splitlines()
            failed(lines[-1] if lines else f"exit status {done.returncode}")
        self._tell("months")

    def _tell(self, what: str) -> None:
        for listener in list(self._listeners[what]):
            listener()


class Latest(Generic[Result]):
    """Work of one kind for one session: one piece runs, and only the newest waits.

    Parameters
    ----------
    pool
        Where work runs, unless another place is named.
    deliver
        Called with a function of no arguments that must run in the session's own thread.
    """

    def __init__(
        self, pool: ThreadPoolExecutor, deliver: Callable[[Callable[[], None]], None]
    ) -> None:
        self._pool = pool
        self._deliver = deliver
        self._lock = threading.Lock()
        self._running = False
        self._number = self._handed = 0
        self._waiting: tuple[Any, ...] | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing runs or waits."""
        return not self._running

    def submit(
        self,
        work: Callable[[], Result],
        done: Callable[[Result], None],
        pool: ThreadPoolExecutor | None = None,
    ) -> None:
        """Do some work in the pool, then hand its result to the session."""
        pool = pool or self._pool
        with self._lock:
            if self._running:
                self._waiting = pool, work, done
                return
            self._running = True
        pool.submit(self._run, work, done)

    def _run(self, work: Callable[[], Result], done: Callable[[Result], None]) -> None:
        result: Result | None = None
        failed = False
        try:
            result = work()
        except Exception:
            failed = True
            log.exception("work for the page failed")
        with self._lock:
            self._number += 1
            number = self._number
            following, self._waiting = self._waiting, None
            self._running = following is not None

        def hand_over() -> None:
            # The session's loop need not keep the order; an older result must not win.
            if number > self._handed:
                self._handed = number
                if not failed:
                    done(cast("Result", result))

        self._deliver(hand_over)
        if following is not None:
            pool, *rest = following
            pool.submit(self._run, *rest)
