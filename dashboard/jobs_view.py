"""What every visitor sees of the jobs: their folder, read by one thread for all."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

from co2net import models
from co2net.errors import UserError
from co2net.jobs import Job, finished_runs, jobs, runs_root
from co2net.jobs.folder import read_json
from co2net.training.sample import SAMPLE_FILE, Sample, load_sample

if TYPE_CHECKING:
    from co2net.inference import Engine

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0  # while somebody has the page open
_REST_SECONDS = 4.0  # while nobody has
_POINTS = 400  # of a curve
_LOG_LINES = 200
_FILES = ("spec.json", "process.json", "started.json", "exit.json", "progress.jsonl", "cancel")

CURVES = {"loss": "co2", "rmse": "validation_rmse", "wind": "wind"}
"""Curves of a training, and what they are called in its metrics."""

Curve = tuple[list[float], list[float]]


@dataclass(frozen=True)
class Row:
    """One job.

    Parameters
    ----------
    about
        `co2net.jobs.Job.to_dict`.
    step : int
        Steps done.
    epoch : float or None
        Epochs done.
    loss, rmse : float or None
        Latest training loss (normalised) and best validation RMSE (umol/mol).
    curves
        Of `CURVES`: steps and values.
    """

    about: dict[str, Any]
    step: int = 0
    epoch: float | None = None
    loss: float | None = None
    rmse: float | None = None
    curves: dict[str, Curve] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Id of the job."""
        return str(self.about["id"])

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.about["state"] in ("queued", "running")

    @property
    def run(self) -> Path | None:
        """Folder of the run of a training."""
        found = self.about["outputs"].get("run")
        return None if found is None else Path(found)


@dataclass(frozen=True)
class Detail:
    """What is shown of a chosen job alone: the end of its log, its latest field, its scores."""

    log: tuple[str, ...] = ()
    sample: Sample | None = None
    scores: str = ""


class Seat:
    """One visitor at the watch, who may leave without a word.

    ``wanted`` are the jobs whose details are shown.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = WeakMethod(tell)
        self.wanted: tuple[str, ...] = ()

    def tell(self) -> bool:
        """Tell the visitor that there is news; False when nobody is there any more."""
        tell = self._tell()
        if tell is not None:
            tell()
        return tell is not None


class JobsWatch:
    """Reads the folder of the jobs, and tells the visitors when it says something new.

    Parameters
    ----------
    engine
        Learns of the runs that have ended.
    models_changed
        Called when there are others than before.
    root
        Folder of the jobs.
    """

    def __init__(
        self,
        engine: Engine,
        models_changed: Callable[[], None],
        root: str | Path | None = None,
    ) -> None:
        self.root = Path(root or runs_root()).absolute()
        self.rows: tuple[Row, ...] = ()
        self.details: dict[str, Detail] = {}
        self.fault = ""
        self.version = 0
        """Rises with every change of the three above."""
        self._grid = engine.grid
        self._models_changed = models_changed
        self._seen: dict[str, tuple[Any, Row]] = {}
        self._stamps: dict[str, Any] = {}
        self._seats: list[Seat] = []
        self._wake, self._over = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._runs = self._offered()
        self._thread: threading.Thread | None = None
        engine.more = self._offered
        if self._runs:
            engine.rescan()

    def _offered(self) -> list[Path]:
        """Runs that can be used as models here, under names that are free."""
        taken = set(models.available())
        return [run for run in finished_runs(self._grid, self.root) if run.name not in taken]

    # -- visitors -----------------------------------------------------------------------

    def sit(self, tell: Callable[[], None]) -> Seat:
        """Take a seat: the method is called, in the watch's thread, after every change."""
        seat = Seat(tell)
        self._seats.append(seat)
        self.start()
        self.look_now()
        return seat

    def want(self, seat: Seat, ids: tuple[str, ...]) -> None:
        """Have the details of jobs read as well."""
        if ids != seat.wanted:
            seat.wanted = ids
            self.look_now()

    def look_now(self) -> None:
        """Do not wait for the next turn."""
        self._wake.set()

    def row(self, id: str) -> Row | None:
        """The row of a job."""
        return next((row for row in self.rows if row.id == id), None)

    # -- the thread ---------------------------------------------------------------------

    def start(self) -> None:
        """Start to watch, once."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="jobs", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._over.set()
        self._wake.set()

    def _watch(self) -> None:
        while not self._over.is_set():
            try:
                self.look()
            except Exception:
                log.exception("the jobs could not be read")
            self._wake.wait(_LOOK_SECONDS if self._seats else _REST_SECONDS)
            self._wake.clear()

    def look(self) -> None:
        """Read what is new, and tell it."""
        fault = ""
        try:
            found = jobs(self.root)
        except UserError as error:
            found, fault = [], str(error)
        seen: dict[str, tuple[Any, Row]] = {}
        for job in found:
            stamp, row = self._seen.get(job.id, (None, None))
            if row is None or row.active or stamp != _stamp(job, row):
                row = _row(job)
                stamp = _stamp(job, row)
            seen[job.id] = (stamp, row)
        self._seen = seen
        rows = tuple(row for _, row in seen.values())
        details = self._details({row.id: row for row in rows})
        if (rows, details, fault) != (self.rows, self.details, self.fault):
            self.rows, self.details, self.fault = rows, details, fault
            self.version += 1
            for seat in list(self._seats):
                if not seat.tell():
                    self._seats.remove(seat)
        runs = self._offered() if self._ended_or_gone() else self._runs
        if runs != self._runs:
            self._runs = runs
            self._models_changed()

    def _ended_or_gone(self) -> bool:
        """Whether the trainings that have succeeded are others than at the last look."""
        now = {row.id for row in self.rows if row.about["state"] == "succeeded"}
        before, self._stamps["succeeded"] = self._stamps.get("succeeded"), now
        return now != before

    def _details(self, rows: dict[str, Row]) -> dict[str, Detail]:
        wanted = {id for seat in list(self._seats) for id in seat.wanted if id in rows}
        return {id: self._detail(rows[id]) for id in sorted(wanted)}

    def _detail(self, row: Row) -> Detail:
        before = self.details.get(row.id, Detail())
        sample = before.sample
        if row.run is not None:
            stamp = _when(row.run / SAMPLE_FILE)
            if self._stamps.get(row.id) != stamp:
                self._stamps[row.id] = stamp
                sample = None
            if sample is None and stamp is not None:
                sample = load_sample(row.run)
        scores = ""
        if row.about["kind"] == "evaluate" and row.about["state"] == "succeeded":
            try:
                path = Path(row.about["outputs"]["out"]) / "scores.md"
                scores = path.read_text(encoding="utf-8")[:20_000]
            except OSError:
                scores = ""
        log_lines = Job(self.root / row.id).log_tail(_LOG_LINES)
        return Detail(tuple(log_lines), sample, scores)


def _stamp(job: Job, row: Row) -> Any:
    """Changes when a file of a job does."""
    paths = [job.folder / name for name in _FILES]
    if row.run is not None:
        paths.append(row.run / "metrics.jsonl")
    return tuple(_when(path) for path in paths)


def _when(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _row(job: Job) -> Row:
    about = job.to_dict()
    if about["kind"] != "train":
        return Row(about)
    lines = job.metrics()
    curves: dict[str, Curve] = {}
    for name, key in CURVES.items():
        points = [
            (line["step"], line[key])
            for line in lines
            if isinstance(line.get("step"), int) and isinstance(line.get(key), int | float)
        ]
        thin = max(1, -(-len(points) // _POINTS))
        kept = [*points[:-1:thin], *points[-1:]]
        curves[name] = ([float(x) for x, _ in kept], [float(y) for _, y in kept])
    if not any(curves["wind"][1]):
        curves["wind"] = ([], [])
    losses, checks = curves["loss"][1], curves["rmse"][1]
    steps = [line["step"] for line in lines if isinstance(line.get("step"), int)]
    step = steps[-1] if steps else 0
    return Row(
        about,
        step=step,
        epoch=_epoch(about, step),
        loss=losses[-1] if losses else None,
        rmse=min(checks) if checks else None,
        curves=curves,
    )


def _epoch(about: dict[str, Any], step: int) -> float | None:
    """Epochs that steps make; None where the run does not tell its windows."""
    spec = about["spec"]
    told = read_json(Path(about["outputs"]["run"]) / "config.json") or {}
    try:
        together = spec["config"]["batch"] * spec["processes"] * spec["nodes"]
        return float(step * together / told["windows"])
    except (KeyError, TypeError, ZeroDivisionError):
        return None
