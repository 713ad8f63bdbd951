"""A job's folder: how it is made, what state it tells, and how the job is ended or gone on with.

Everything is read from files each time it is asked for, so any number of servers and command
lines see the same; nothing is kept in the memory of the one that started a job.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import co2net
from co2net.assets import atomic_path, data_path
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.jobs import slurm
from co2net.jobs.locks import Check, locked
from co2net.jobs.process import Process
from co2net.jobs.spec import Spec

SPEC, PROCESS, STARTED, EXIT, RESULT = (
    "spec.json",
    "process.json",
    "started.json",
    "exit.json",
    "result.json",
)
PROGRESS, LOG, HEARTBEAT, CANCEL, LOCK = "progress.jsonl", "log.txt", "heartbeat", "cancel", "lock"

BEAT_SECONDS = 10.0
"""Time between heartbeats."""
_SILENT_SECONDS = 90.0  # a job of another machine that gave no heartbeat so long is gone
_ID = re.compile(r"[0-9]{4,}-[a-z]+-[0-9a-f]{4}")
_TAIL_BYTES = 65536  # of a log
_RECENT_BYTES = 16384  # of the progress: some minutes
_SUBMISSION = ".submission.lock"


class State(StrEnum):
    """What a job does, or how it ended."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def active(self) -> bool:
        """Whether its process is there."""
        return self in (State.QUEUED, State.RUNNING)


def runs_root() -> Path:
    """Folder of the jobs: ``$CO2NET_RUNS``, else ``runs`` beside the program's data."""
    return Path(os.environ.get("CO2NET_RUNS") or data_path().parent / "runs")


def submit(spec: Spec, root: str | Path | None = None) -> Job:
    """Start a job in a process of its own, which outlives the one that calls.

    Parameters
    ----------
    spec
        What to do; see `co2net.jobs.KINDS`.
    root
        Folder of the jobs. None: `runs_root`.

    Raises
    ------
    UserError
        When the specification is not sound, or the folder cannot be written.
    """
    spec = spec.settled()
    root = Path(root or runs_root()).absolute()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with locked(root / _SUBMISSION):  # a number each, and a place each
            job = _folder_for(spec, root)
        try:
            job._start(spec)
        except UserError:  # a launcher that does not take it
            shutil.rmtree(job.folder, ignore_errors=True)
            raise
    except OSError as error:
        raise UserError(
            f"cannot write jobs to {root} ({error.strerror}); name another folder by CO2NET_RUNS"
        ) from None
    return job


def _folder_for(spec: Spec, root: Path) -> Job:
    """Make the folder of a job, which this process answers for."""
    known = jobs(root)
    number = max((_order(one.id)[0] for one in known), default=0) + 1
    folder = root / f"{number:04d}-{spec.kind}-{uuid4().hex[:4]}"
    places = set(spec.outputs(folder).values())
    for one in known:
        look = one.look()
        taken = places & set(look.outputs.values())
        if taken and look.state.active:
            raise UserError(f"job {one.id} writes to {taken.pop()} already; name another folder")
    created = {"format": 1, "created": now(), **spec.to_dict()}
    with atomic_path(folder) as draft:
        draft.mkdir()
        write_json(draft / SPEC, created)
        write_json(draft / PROCESS, {**asdict(Process.of(os.getpid())), "role": "launcher"})
    return Job(folder)


def jobs(root: str | Path | None = None) -> list[Job]:
    """All jobs, whoever started them, in the order of their submission.

    Raises
    ------
    UserError
        When the folder cannot be read. One that does not exist holds none.
    """
    root = Path(root or runs_root()).absolute()
    try:
        names = [one.name for one in os.scandir(root) if _ID.fullmatch(one.name) and one.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"cannot read the jobs in {root}: {error.strerror}") from None
    return [Job(root / name) for name in sorted(names, key=_order)]


def job(id: str, root: str | Path | None = None) -> Job:
    """The job of an id, or of its number alone.

    Raises
    ------
    UserError
        When there is none, or several have the number.
    """
    root = Path(root or runs_root()).absolute()
    if _ID.fullmatch(id) and (root / id).is_dir():
        return Job(root / id)
    if re.fullmatch("[0-9]{1,9}", id):
        found = [one for one in jobs(root) if _order(one.id)[0] == int(id)]
        if len(found) == 1:
            return found[0]
        if found:
            raise UserError(f"job {id}: choose one of {', '.join(one.id for one in found)}")
    raise UserError(f"no job {id[:60]!r} in {root}; `co2net jobs list` shows what there is")


class Job:
    """A job by its folder; see ``docs/jobs.md`` for the files.

    Parameters
    ----------
    folder
        Its folder, which exists.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def __repr__(self) -> str:
        return f"Job({str(self.folder)!r})"

    @property
    def id(self) -> str:
        """Name of the folder: number, kind, and four digits that no other job has."""
        return self.folder.name

    # -- what it is ----------------------------------------------------------------------

    def look(self) -> Look:
        """All that its folder tells at this moment, each file read once at most."""
        return Look(self.folder)

    def spec(self) -> Spec:
        """What it does.

        Raises
        ------
        UserError
            When the file is damaged.
        """
        found = self.look().spec
        if isinstance(found, UserError):
            raise found
        return found

    def state(self) -> State:
        """What it does now, or how it ended."""
        return self.look().state

    def history(self) -> list[dict[str, Any]]:
        """The latest lines of progress: ``time``, ``seconds``, ``share``, ``text``.

        ``seconds`` count from the start of the sitting, whatever the clock does.
        """
        return self.look().history

    def progress(self) -> float:
        """Share done, 0..1."""
        return self.look().progress

    def eta(self) -> float | None:
        """Seconds that it still needs at its recent speed; None where that is not known."""
        return self.look().eta

    def message(self) -> str:
        """One line for people."""
        return self.look().message

    def metrics(self) -> list[dict[str, Any]]:
        """Lines that a training has logged: losses and validation by step; empty for others."""
        run = self.outputs().get("run")
        if run is None:
            return []
        try:
            return json_lines((Path(run) / "metrics.jsonl").read_bytes())
        except OSError:
            return []

    def outputs(self) -> dict[str, str]:
        """Where its results lie or will lie."""
        return self.look().outputs

    def result(self) -> dict[str, Any] | None:
        """What it came to, with what made it; None before."""
        return read_json(self.folder / RESULT)

    def log_tail(self, n: int = 50) -> list[str]:
        """Last lines that it printed."""
        text = _tail(self.folder / LOG).decode("utf-8", "replace")
        return text.splitlines()[-n:] if n > 0 else []

    def follow(self, every: float = 0.5) -> Iterator[str]:
        """All that it prints, from the beginning until it ends."""
        try:
            handle = (self.folder / LOG).open(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return
        with handle:
            while True:
                active = self.state().active
                while new := handle.read(_TAIL_BYTES):
                    yield new
                if not active:
                    return
                time.sleep(every)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: all that a list or a page shows."""
        return self.look().to_dict()

    # -- what can be done with it --------------------------------------------------------

    def cancel(self, grace: float = 60.0) -> State:
        """Ask it to end, and make it end when it has not within a time; waits until it has.

        A training writes a checkpoint first. A page calls this in a thread.

        Parameters
        ----------
        grace
            Seconds between SIGTERM and SIGKILL, both to its process group.

        Returns
        -------
        State
            `State.CANCELLED`, or how it had ended before; an active one where somebody has
            resumed it as soon as it had ended.

        Raises
        ------
        UserError
            When it belongs to another user or cannot be killed, such as on another machine.
        """
        asked: set[signal.Signals] = set()
        deadline = time.monotonic() + grace
        worker: Process | None = None
        while (look := self.look()).state.active:
            process, role = look.process
            if role == "worker":
                worker = worker or process
                if process != worker:
                    break
            late = time.monotonic() >= deadline
            wanted = signal.SIGKILL if late else signal.SIGTERM
            try:
                (self.folder / CANCEL).touch()  # a worker on another machine looks for it
                if wanted not in asked and (look.spec_is("slurm") and (late or role != "worker")):
                    slurm.cancel(self.folder)
                    asked.add(wanted)
                # the launcher is the server or the command line, which stay
                if role == "worker" and process and process.here and wanted not in asked:
                    process.send(wanted)
                    asked.add(wanted)
            except ProcessLookupError:
                pass  # it has just ended
            except OSError as error:
                raise UserError(f"cannot cancel job {self.id}: {error.strerror}") from None
            if time.monotonic() > deadline + 30:
                here = process is None or process.here
                raise UserError(
                    f"job {self.id} cannot be killed (its process hangs in a device)"
                    if here
                    else f"job {self.id} runs on another machine and does not end; kill it there"
                )
            time.sleep(0.05)
        return look.state

    def resume(self) -> None:
        """Start it again, to go on where it stopped.

        Raises
        ------
        UserError
            When it is running or has succeeded, or cannot be started.
        """
        self._stopped()
        try:
            self._start(self.spec(), self._stopped)
        except OSError as error:
            raise UserError(f"cannot start job {self.id}: {error.strerror}") from None

    def _stopped(self) -> None:
        """Raise a `UserError` where it cannot be resumed."""
        self.spec()  # which is gone where it has been removed meanwhile
        state = self.state()
        if state.active or state == State.SUCCEEDED:
            raise UserError(f"job {self.id} is {state}; only one that stopped can be resumed")

    def remove(self) -> None:
        """Delete its folder with all that it holds; results written elsewhere stay.

        Raises
        ------
        UserError
            When it is running, or the folder cannot be removed.
        """
        self._idle()
        try:
            with locked(self.folder / LOCK, self._idle):  # nobody starts it meanwhile
                away = self.folder.with_name(f".removed-{self.id}-{uuid4().hex[:8]}")
                self.folder.rename(away)  # gone from all lists at once
            shutil.rmtree(away)
        except OSError as error:
            raise UserError(f"cannot remove {error.filename}: {error.strerror}") from None

    def _idle(self) -> None:
        """Raise a `UserError` where it has not ended."""
        state = self.state()
        if state.active:
            raise UserError(f"job {self.id} is {state}; cancel it first")

    # -- its process ---------------------------------------------------------------------

    def _start(self, spec: Spec, check: Check | None = None) -> None:
        """Start the worker, which inherits the lock that says that the job has one."""
        with locked(self.folder / LOCK, check) as lock:
            self.answer(Process.of(os.getpid()), "launcher")
            for name in (EXIT, STARTED, CANCEL, RESULT, slurm.FILE):
                (self.folder / name).unlink(missing_ok=True)
            try:
                if spec.launcher == "slurm":
                    fcntl.flock(lock, fcntl.LOCK_UN)  # the worker takes it where it starts
                    slurm.start(self.folder, spec)
                else:
                    self._launch(spec, lock)
            except (UserError, OSError) as error:
                ended = {"state": str(State.FAILED), "status": 2, "message": str(error)}
                with suppress(OSError):
                    write_json(self.folder / EXIT, {**ended, "time": now()})
                raise

    def _launch(self, spec: Spec, lock: int) -> None:
        with (self.folder / LOG).open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-P", "-m", "co2net.jobs", str(self.folder), str(lock)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={**os.environ, **environment(spec.threads or 1)},
                pass_fds=(lock,),
                start_new_session=True,
            )
        self.answer(Process.of(worker.pid), "worker")
        # who started it may live long: let it not keep the dead
        threading.Thread(target=worker.wait, daemon=True).start()

    def answer(self, process: Process, role: str) -> None:
        """Note the process that answers for the job: its launcher first, then its worker."""
        write_json(self.folder / PROCESS, {**asdict(process), "role": role})


class Look:
    """What a job's folder tells at one moment; every file is read once, when it is needed.

    Parameters
    ----------
    folder
        The job's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def _written(self) -> dict[str, Any] | OSError | ValueError:
        try:
            found = json.loads((self.folder / SPEC).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            return error
        return found if isinstance(found, dict) else ValueError("it is no object")

    @cached_property
    def spec(self) -> Spec | UserError:
        """What the job does, or why that cannot be known."""
        reason: Exception
        if isinstance(self._written, dict):
            values = {k: v for k, v in self._written.items() if k not in ("format", "created")}
            try:
                return Spec.from_dict(values)
            except UserError as error:
                reason = error
        else:
            reason = self._written
        why = getattr(reason, "strerror", None) or reason
        return UserError(f"{SPEC} of job {self.folder.name} is damaged ({why}); remove the job")

    def spec_is(self, launcher: str) -> bool:
        """Whether the job has this launcher."""
        return isinstance(self.spec, Spec) and self.spec.launcher == launcher

    @cached_property
    def outputs(self) -> dict[str, str]:
        """See `Job.outputs`."""
        return {} if isinstance(self.spec, UserError) else self.spec.outputs(self.folder)

    @cached_property
    def process(self) -> tuple[Process | None, str]:
        """The process that answers for the job, and what it is: ``launcher`` or ``worker``."""
        noted = read_json(self.folder / PROCESS) or {}
        try:
            process = Process(int(noted["pid"]), str(noted["start"]), str(noted["machine"]))
        except (KeyError, TypeError, ValueError):
            return None, ""
        return process, str(noted.get("role"))

    @cached_property
    def _alive(self) -> bool:
        process, role = self.process
        if process is None:
            return False
        if role == "launcher" and self.spec_is("slurm") and slurm.took(self.folder):
            return slurm.waits(self.folder)
        if process.here:
            return process.alive
        if role == "launcher":
            return False
        try:
            beat = (self.folder / HEARTBEAT).stat().st_mtime
        except OSError:
            return False
        return abs(time.time() - beat) < _SILENT_SECONDS

    @cached_property
    def _started(self) -> dict[str, Any] | None:
        return read_json(self.folder / STARTED)

    @cached_property
    def ended(self) -> dict[str, Any] | None:
        """Its exit status; None while there is none."""
        found = read_json(self.folder / EXIT)
        if found is None and not self._alive:
            found = read_json(self.folder / EXIT)  # it may have ended between the two looks
        return found

    @cached_property
    def state(self) -> State:
        """See `Job.state`."""
        if self.ended is not None:
            known = self.ended.get("state") in list(State)
            return State(self.ended["state"]) if known else State.FAILED
        if self._alive:
            return State.QUEUED if self._started is None else State.RUNNING
        if (self.folder / CANCEL).exists():
            return State.CANCELLED
        return State.FAILED if isinstance(self.spec, UserError) else State.INTERRUPTED

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        """See `Job.history`."""
        return [
            one
            for one in json_lines(_tail(self.folder / PROGRESS, _RECENT_BYTES))
            if isinstance(one.get("share"), int | float) and isinstance(one.get("seconds"), float)
        ]

    @cached_property
    def progress(self) -> float:
        """See `Job.progress`."""
        if self.state == State.SUCCEEDED:
            return 1.0
        return min(max(float(self.history[-1]["share"]), 0.0), 1.0) if self.history else 0.0

    @cached_property
    def eta(self) -> float | None:
        """See `Job.eta`."""
        if self.state != State.RUNNING or not self.history:
            return None
        sitting = [self.history[-1]]
        for line in reversed(self.history[:-1]):
            if line["seconds"] > sitting[-1]["seconds"]:
                break
            sitting.append(line)
        last, first = sitting[0], sitting[-1]
        first = next(line for line in sitting if line["share"] <= first["share"])
        gained = last["share"] - first["share"]
        if gained <= 0:
            return None
        pace = (last["seconds"] - first["seconds"]) / gained
        return float(round(pace * max(0.0, 1.0 - last["share"]), 1))

    @cached_property
    def message(self) -> str:
        """See `Job.message`."""
        if self.state == State.QUEUED:
            return "waits for its turn"
        if self.state == State.RUNNING:
            return str(self.history[-1].get("text", "")) if self.history else "starts"
        if self.ended is not None:
            return str(self.ended.get("message", ""))
        if self.state == State.CANCELLED:
            return "ended by force; resume it to go on from the last checkpoint"
        if isinstance(self.spec, UserError):
            return str(self.spec)
        return (
            "its process is gone without a word: killed, out of memory, or the machine stopped; "
            "resume it to go on from the last checkpoint"
        )

    def to_dict(self) -> dict[str, Any]:
        """See `Job.to_dict`."""
        spec = {} if isinstance(self.spec, UserError) else self.spec.to_dict()
        ended = self.ended or {}
        return {
            "id": self.folder.name,
            "kind": spec.get("kind", "unknown"),
            "name": spec.get("name", ""),
            "state": str(self.state),
            "progress": self.progress,
            "message": self.message,
            "created": self._written.get("created") if isinstance(self._written, dict) else None,
            "started": (self._started or {}).get("time"),
            "ended": ended.get("time"),
            "eta": self.eta,
            "exit_status": ended.get("status"),
            "outputs": self.outputs,
            "spec": spec,
        }


def finished_runs(grid: LatLonGrid | None = None, root: str | Path | None = None) -> list[Path]:
    """Runs of trainings that have succeeded, which can be used as models; oldest first.

    Parameters
    ----------
    grid
        Only those of this grid.
    root
        As for `jobs`. A folder that cannot be read has none.
    """
    try:
        known = jobs(root)
    except UserError:
        return []
    found = []
    for one in known:
        if one.id.split("-")[1] != "train" or not (one.folder / EXIT).exists():
            continue
        look = one.look()
        run = Path(look.outputs.get("run", ""))
        if look.state != State.SUCCEEDED or not (run / "model.safetensors").is_file():
            continue
        layout = (read_json(run / "config.json") or {}).get("layout", {})
        if grid is None or layout.get("grid") == grid.to_dict():
            found.append(run)
    return found


def now() -> str:
    """Time of day, ISO, UTC."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file in one stroke."""
    with atomic_path(path) as draft:
        draft.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _order(name: str) -> tuple[int, str]:
    return int(name.partition("-")[0]), name


def environment(threads: int) -> dict[str, str]:
    """What a worker needs beside this process's environment: the package, and limited threads."""
    package = str(Path(co2net.__file__).parents[1])
    found = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    limits = {
        f"{name}_{'MAXIMUM' if name == 'VECLIB' else 'NUM'}_THREADS": str(threads)
        for name in ("OMP", "MKL", "OPENBLAS", "NUMBA", "NUMEXPR", "VECLIB")
    }
    return {**limits, "PYTHONPATH": os.pathsep.join(found), "PYTHONUNBUFFERED": "1"}


def read_json(path: Path) -> dict[str, Any] | None:
    """An object; an empty one where the file is damaged, None where it is absent."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        return None
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _tail(path: Path, most: int = _TAIL_BYTES) -> bytes:
    """Whole last lines of a file, ``most`` bytes."""
    try:
        with path.open("rb") as handle:
            size = handle.seek(0, os.SEEK_END)
            handle.seek(max(0, size - most))
            text = handle.read(most)
    except OSError:
        return b""
    return text.partition(b"\n")[2] if size > most else text


def json_lines(text: bytes) -> list[dict[str, Any]]:
    """Objects of a JSONL file; lines that are cut short or damaged are left out."""
    found = []
    for line in text.splitlines():
        try:
            one = json.loads(line)
        except ValueError:
            continue
        if isinstance(one, dict):
            found.append(one)
    return found
