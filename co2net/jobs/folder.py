"""A job's folder: how it is made, what state it tells, and how the job is ended or gone on with.

Everything is read from files each time it is asked for, so any number of servers and command
lines see the same; nothing is kept in the memory of the one that started a job.
"""

from __future__ import annotations

import errno
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
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import uuid4

import co2net
from co2net.assets import atomic_path, data_path
from co2net.errors import UserError
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
_TAIL_BYTES = 65536


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
    known = jobs(root)
    number = max((_order(one.id)[0] for one in known), default=0) + 1
    folder = root / f"{number:04d}-{spec.kind}-{uuid4().hex[:4]}"
    places = set(spec.outputs(folder).values())
    for one in known:
        if places & set(one.outputs().values()) and one.state().active:
            raise UserError(f"job {one.id} writes to {places.pop()} already; name another folder")
    created = {"format": 1, "created": now(), **spec.to_dict()}
    try:
        with atomic_path(folder) as draft:
            draft.mkdir()
            write_json(draft / SPEC, created)
            write_json(draft / PROCESS, {**asdict(Process.of(os.getpid())), "role": "launcher"})
        job = Job(folder)
        job._start(spec)
    except OSError as error:
        raise UserError(
            f"cannot write jobs to {root} ({error.strerror}); name another folder by CO2NET_RUNS"
        ) from None
    return job


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

    def spec(self) -> Spec:
        """What it does.

        Raises
        ------
        UserError
            When the file is damaged.
        """
        try:
            values = json.loads((self.folder / SPEC).read_text(encoding="utf-8"))
            if not isinstance(values, dict):
                raise UserError("it is no object")
            return Spec.from_dict(
                {k: v for k, v in values.items() if k not in ("format", "created")}
            )
        except (OSError, ValueError, UserError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(
                f"{SPEC} of job {self.id} is damaged ({reason}); remove the job"
            ) from None

    def state(self) -> State:
        """What it does now, or how it ended."""
        ended = self._ended()
        if ended is None and self._alive():
            return State.RUNNING if (self.folder / STARTED).exists() else State.QUEUED
        ended = ended or self._ended()  # it may have ended between the two looks
        if ended is not None:
            known = ended.get("state") in list(State)
            return State(ended["state"]) if known else State.FAILED
        if (self.folder / CANCEL).exists():
            return State.CANCELLED
        try:
            self.spec()
        except UserError:
            return State.FAILED
        return State.INTERRUPTED

    def history(self) -> list[dict[str, Any]]:
        """The latest lines of progress: ``time``, ``seconds``, ``share``, ``text``.

        ``seconds`` count from the start of the sitting, whatever the clock does.
        """
        return [
            one
            for one in _json_lines(_tail(self.folder / PROGRESS))
            if isinstance(one.get("share"), int | float) and isinstance(one.get("seconds"), float)
        ]

    def progress(self) -> float:
        """Share done, 0..1."""
        if self.state() == State.SUCCEEDED:
            return 1.0
        lines = self.history()
        return min(max(float(lines[-1]["share"]), 0.0), 1.0) if lines else 0.0

    def eta(self) -> float | None:
        """Seconds that it still needs at its recent speed; None where that is not known."""
        lines = self.history()
        if self.state() != State.RUNNING or not lines:
            return None
        sitting = [lines[-1]]
        for line in reversed(lines[:-1]):
            if line["seconds"] > sitting[-1]["seconds"]:
                break
            sitting.append(line)
        last, first = sitting[0], sitting[-1]
        first = next(line for line in sitting if line["share"] <= first["share"])
        gained = last["share"] - first["share"]
        if gained <= 0:
            return None
        pace = (last["seconds"] - first["seconds"]) / gained
        return round(pace * max(0.0, 1.0 - last["share"]), 1)

    def message(self) -> str:
        """One line for people."""
        state = self.state()
        if state == State.QUEUED:
            return "waits for its turn"
        if state == State.RUNNING:
            lines = self.history()
            return str(lines[-1].get("text", "")) if lines else "starts"
        ended = self._ended()
        if ended is not None:
            return str(ended.get("message", ""))
        if state == State.CANCELLED:
            return "ended by force; resume it to go on from the last checkpoint"
        if state == State.FAILED:
            try:
                self.spec()
            except UserError as error:
                return str(error)
        return (
            "its process is gone without a word: killed, out of memory, or the machine stopped; "
            "resume it to go on from the last checkpoint"
        )

    def metrics(self) -> list[dict[str, Any]]:
        """Lines that a training has logged: losses and validation by step; empty for others."""
        run = self.outputs().get("run")
        if run is None:
            return []
        try:
            return _json_lines((Path(run) / "metrics.jsonl").read_bytes())
        except OSError:
            return []

    def outputs(self) -> dict[str, str]:
        """Where its results lie or will lie."""
        try:
            return self.spec().outputs(self.folder)
        except UserError:
            return {}

    def result(self) -> dict[str, Any] | None:
        """What it came to, with what made it; None before."""
        return _read_json(self.folder / RESULT)

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
        state = self.state()
        try:
            spec: dict[str, Any] = self.spec().to_dict()
        except UserError:
            spec = {}
        written = _read_json(self.folder / SPEC) or {}
        ended = self._ended() or {}
        return {
            "id": self.id,
            "kind": spec.get("kind", "unknown"),
            "name": spec.get("name", ""),
            "state": str(state),
            "progress": self.progress(),
            "message": self.message(),
            "created": written.get("created"),
            "started": (_read_json(self.folder / STARTED) or {}).get("time"),
            "ended": ended.get("time"),
            "eta": self.eta(),
            "exit_status": ended.get("status"),
            "outputs": self.outputs(),
            "spec": spec,
        }

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
            `State.CANCELLED`, or how it had ended before.

        Raises
        ------
        UserError
            When it runs on another machine, belongs to another user, or cannot be killed.
        """
        asked: set[signal.Signals] = set()
        deadline = time.monotonic() + grace
        while (state := self.state()).active:
            process, role = self._process()
            if process is not None and not process.here:
                raise UserError(f"job {self.id} runs on another machine; cancel it there")
            try:
                (self.folder / CANCEL).touch()
                wanted = signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL
                # the launcher is the server or the command line, which stay
                if role == "worker" and process and process.alive and wanted not in asked:
                    os.killpg(process.pid, wanted)
                    asked.add(wanted)
            except ProcessLookupError:
                pass  # it has just ended
            except OSError as error:
                raise UserError(f"cannot cancel job {self.id}: {error.strerror}") from None
            if time.monotonic() > deadline + 30:
                raise UserError(f"job {self.id} cannot be killed (its process hangs in a device)")
            time.sleep(0.05)
        return state

    def resume(self) -> None:
        """Start it again, to go on where it stopped.

        Raises
        ------
        UserError
            When it is running or has succeeded, or cannot be started.
        """
        state = self.state()
        if state.active or state == State.SUCCEEDED:
            raise UserError(f"job {self.id} is {state}; only one that stopped can be resumed")
        try:
            self._start(self.spec())
        except OSError as error:
            raise UserError(f"cannot start job {self.id}: {error.strerror}") from None

    def remove(self) -> None:
        """Delete its folder with all that it holds; results written elsewhere stay.

        Raises
        ------
        UserError
            When it is running, or the folder cannot be removed.
        """
        state = self.state()
        if state.active:
            raise UserError(f"job {self.id} is {state}; cancel it first")
        try:
            away = self.folder.with_name(f".removed-{self.id}-{uuid4().hex[:8]}")
            self.folder.rename(away)  # gone from all lists at once
            shutil.rmtree(away)
        except OSError as error:
            raise UserError(f"cannot remove {error.filename}: {error.strerror}") from None

    # -- its process ---------------------------------------------------------------------

    def _start(self, spec: Spec) -> None:
        """Start the worker, which inherits the lock that says that the job has one."""
        lock = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._claim(lock)
            self.answer(Process.of(os.getpid()), "launcher")
            for name in (EXIT, STARTED, CANCEL, RESULT):
                (self.folder / name).unlink(missing_ok=True)
            with (self.folder / LOG).open("ab") as log:
                worker = subprocess.Popen(
                    [sys.executable, "-P", "-m", "co2net.jobs", str(self.folder), str(lock)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self.folder,
                    env=_environment(spec),
                    pass_fds=(lock,),
                    start_new_session=True,
                )
            self.answer(Process.of(worker.pid), "worker")
            # who started it may live long: let it not keep the dead
            threading.Thread(target=worker.wait, daemon=True).start()
        finally:
            os.close(lock)

    def _claim(self, lock: int) -> None:
        for _ in range(50):  # a worker that has just ended, another's look
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(0.1)
            except OSError as error:
                if error.errno in (errno.ENOLCK, errno.ENOTSUP):
                    raise UserError(
                        f"{self.folder} lies on a file system without locks; "
                        "name another folder by CO2NET_RUNS"
                    ) from None
                raise
        raise UserError(f"job {self.id} has been started already")

    def answer(self, process: Process, role: str) -> None:
        """Note the process that answers for the job: its launcher first, then its worker."""
        write_json(self.folder / PROCESS, {**asdict(process), "role": role})

    def _process(self) -> tuple[Process | None, str]:
        noted = _read_json(self.folder / PROCESS) or {}
        try:
            process = Process(int(noted["pid"]), str(noted["start"]), str(noted["machine"]))
        except (KeyError, TypeError, ValueError):
            return None, ""
        return process, str(noted.get("role"))

    def _alive(self) -> bool:
        process, _ = self._process()
        if process is None:
            return False
        if process.here:
            return process.alive
        try:
            beat = (self.folder / HEARTBEAT).stat().st_mtime
        except OSError:
            return False
        return abs(time.time() - beat) < _SILENT_SECONDS

    def _ended(self) -> dict[str, Any] | None:
        return _read_json(self.folder / EXIT)


def now() -> str:
    """Time of day, ISO, UTC."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file in one stroke."""
    with atomic_path(path) as draft:
        draft.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _order(name: str) -> tuple[int, str]:
    return int(name.partition("-")[0]), name


def _environment(spec: Spec) -> dict[str, str]:
    """This process's, with the package to be found and the threads limited."""
    package = str(Path(co2net.__file__).parents[1])
    found = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(found), "PYTHONUNBUFFERED": "1"}
    for name in ("OMP", "MKL", "OPENBLAS", "NUMBA", "NUMEXPR", "VECLIB"):
        environment[f"{name}_{'MAXIMUM' if name == 'VECLIB' else 'NUM'}_THREADS"] = str(
            spec.threads or 1
        )
    return environment


def _read_json(path: Path) -> dict[str, Any] | None:
    """An object; an empty one where the file is damaged, None where it is absent."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        return None
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _tail(path: Path) -> bytes:
    """Whole last lines of a file."""
    try:
        with path.open("rb") as handle:
            size = handle.seek(0, os.SEEK_END)
            handle.seek(max(0, size - _TAIL_BYTES))
            text = handle.read(_TAIL_BYTES)
    except OSError:
        return b""
    return text.partition(b"\n")[2] if size > _TAIL_BYTES else text


def _json_lines(text: bytes) -> list[dict[str, Any]]:
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
