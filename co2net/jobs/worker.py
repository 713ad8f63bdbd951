"""The process of a job: waits for its turn, does the work, and writes down how it ended."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import signal
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TextIO

from co2net.assets import provenance
from co2net.errors import UserError
from co2net.jobs.folder import (
    BEAT_SECONDS,
    CANCEL,
    EXIT,
    HEARTBEAT,
    PROGRESS,
    RESULT,
    STARTED,
    Job,
    State,
    jobs,
    now,
    write_json,
)
from co2net.jobs.process import Process
from co2net.jobs.spec import Stopped

_LINE_SECONDS = 0.5  # between two lines of progress
_LOG_SECONDS = 5.0  # between two of them in the log
_TURN_SECONDS = 0.5  # between two looks whether the device is free
_LOOK_SECONDS = 1.0  # between two looks whether the job was cancelled


def main(words: list[str]) -> int:
    """Do the job of a folder; the second word is the inherited descriptor of its lock."""
    signal.signal(signal.SIGTERM, stop)
    os.set_inheritable(int(words[1]), False)
    return run(Job(words[0]))


def stop(number: int, frame: FrameType | None) -> NoReturn:
    """End the work; asked again, do not break off what it does to end."""
    _deaf()
    raise Stopped


def _deaf() -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def run(job: Job) -> int:
    """Do a job in this process.

    Returns
    -------
    int
        Exit status: 0 done, 1 failed, 2 bad input, 130 stopped.
    """
    job.answer(Process.of(os.getpid()), "worker")
    ending = _Ending(job.folder)
    _log(f"-- {now()} {job.id}, process {os.getpid()}\n")
    over = threading.Event()
    threading.Thread(target=_beat, args=(job.folder, over), daemon=True).start()
    try:
        try:
            _work(job)
        finally:
            over.set()
            _deaf()  # from here on it ends anyway
        state, status, message = State.SUCCEEDED, 0, "done"
    except Stopped:
        status = 130
        if (job.folder / CANCEL).exists():
            state, message = State.CANCELLED, "cancelled; resume it to go on"
        else:
            state, message = State.INTERRUPTED, "asked to end by the system; resume it to go on"
    except UserError as error:
        state, status, message = State.FAILED, 2, str(error)
    except Exception as error:
        _log(traceback.format_exc())
        state, status, message = State.FAILED, 1, _explain(error)
    _log(f"-- {now()} {state}: {message}\n")
    ending.write(state, status, message)
    return status


def _log(text: str) -> None:
    with suppress(OSError):  # a full disk is told by the exit status
        print(text, end="", flush=True)


def _work(job: Job) -> None:
    spec = job.spec()
    if (job.folder / CANCEL).exists():
        raise Stopped
    os.setpriority(os.PRIO_PROCESS, 0, max(spec.nice, os.getpriority(os.PRIO_PROCESS, 0)))
    turns = _turn(job, spec.queue)
    progress = ProgressFile(job.folder / PROGRESS)
    try:
        write_json(job.folder / STARTED, {"time": now()})
        result = spec.work(job.folder, progress)
    finally:
        with suppress(OSError):  # the reason it stops for is told elsewhere
            progress.close()
        for turn in turns:
            turn.close()
    written: dict[str, Any] = {"result": result, "spec": spec.to_dict(), "made": now()}
    write_json(job.folder / RESULT, {**written, "provenance": provenance()})


def _turn(job: Job, devices: tuple[str, ...]) -> list[TextIO]:
    """Wait until no other job has the devices and none that was submitted before waits for one."""
    root = job.folder.parent
    names = [re.sub("[^a-z0-9]", "-", device) for device in devices]
    handles: list[TextIO] = [
        (root / f".device-{name}.lock").open("a", encoding="utf-8") for name in names
    ]
    while devices:
        try:
            for handle in handles:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            if not any(_waits(other, devices) for other in _before(job, root)):
                break
        for handle in handles:
            fcntl.flock(handle, fcntl.LOCK_UN)
        time.sleep(_TURN_SECONDS)
    return handles


def _before(job: Job, root: Path) -> list[Job]:
    known = jobs(root)
    return known[: [one.id for one in known].index(job.id)]


def _waits(job: Job, devices: tuple[str, ...]) -> bool:
    look = job.look()
    if isinstance(look.spec, UserError):  # damaged or just removed
        return False
    return look.state == State.QUEUED and bool(set(look.spec.queue) & set(devices))


def _explain(error: Exception) -> str:
    """One line of what failed and how to mend it."""
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"the disk is full{where}; free some space and resume"
        return f"{error.strerror or error}{where}; mend that and resume"
    text = (str(error).splitlines() or [""])[0]
    if isinstance(error, MemoryError) or "out of memory" in text:
        return "not enough memory; choose a smaller batch or preset"
    return f"{type(error).__name__}: {text[:300]}; the log tells more"


def _beat(folder: Path, over: threading.Event) -> None:
    """Give signs of life; hear that the job was cancelled, be it by another machine."""
    since = -BEAT_SECONDS
    while not over.is_set():
        with suppress(OSError):  # the work itself will meet and tell what is wrong
            if time.monotonic() - since >= BEAT_SECONDS:
                since = time.monotonic()
                (folder / HEARTBEAT).touch()
            if (folder / CANCEL).exists():
                Process.of(os.getpid()).send(signal.SIGTERM)
                return
        over.wait(_LOOK_SECONDS)


class ProgressFile:
    """Appends what the work tells, not more often than is of use; prints some of it."""

    def __init__(self, path: Path) -> None:
        self._handle = path.open("a", encoding="utf-8", errors="replace", buffering=1)
        if self._handle.tell() > 0:
            self._handle.write("\n")  # the last line may have been cut short
        self._began = time.monotonic()
        self._last, self._logged = -_LINE_SECONDS, -_LOG_SECONDS
        self._held: dict[str, Any] | None = None

    def __call__(self, share: float, text: str) -> None:
        """Note the share done, 0..1, and a line."""
        seconds = round(time.monotonic() - self._began, 3)
        self._held = {"time": now(), "seconds": seconds, "share": round(float(share), 6)}
        self._held["text"] = text[:300]
        if seconds - self._last >= _LINE_SECONDS:
            self._last = seconds
            self._write()

    def _write(self, last: bool = False) -> None:
        if self._held is None:
            return
        self._handle.write(json.dumps(self._held, ensure_ascii=False) + "\n")
        if last or self._held["seconds"] - self._logged >= _LOG_SECONDS:
            self._logged = self._held["seconds"]
            _log(f"{self._held['share']:6.1%}  {self._held['text']}\n")
        self._held = None

    def close(self) -> None:
        """Write what was held back."""
        try:
            self._write(last=True)
        finally:
            self._handle.close()


class _Ending:
    """Room for the exit status, taken at the start: it can be written on a full disk."""

    _SIZE = 4096

    def __init__(self, folder: Path) -> None:
        self._path = folder / EXIT
        self._draft = folder / f".{EXIT}"
        self._draft.write_bytes(b" " * self._SIZE)

    def write(self, state: State, status: int, message: str) -> None:
        """Write in place, flush to the disk, and give the file its name."""
        content = {"state": str(state), "status": status, "message": message[:800], "time": now()}
        text = json.dumps(content, ensure_ascii=False).encode(errors="replace")
        with self._draft.open("r+b") as handle:
            handle.write(text[: self._SIZE])
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(self._draft, self._path)
