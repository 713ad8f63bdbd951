"""Who a process is: its number alone does not say, for numbers are used again."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A process for good.

    Parameters
    ----------
    pid : int
    start : str
        When it began. On Linux in clock ticks since boot (field 22 of ``/proc/PID/stat``, proc(5)),
        which setting the clock does not change; elsewhere as POSIX ``ps`` prints it.
    machine : str
        `machine` it runs on.
    """

    pid: int
    start: str
    machine: str

    @classmethod
    def of(cls, pid: int) -> Process:
        """The process that has the number now; one that is gone where none has."""
        return cls(pid, _start(pid) or "gone", machine())

    @property
    def here(self) -> bool:
        """Whether it belongs to this machine, so that `alive` can tell."""
        return self.machine == machine()

    @property
    def alive(self) -> bool:
        """Whether it is there and is no zombie, and no other process has got its number."""
        return _start(self.pid) == self.start

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it, and to its process group where it leads one.

        Raises
        ------
        ProcessLookupError
            When it is gone.
        """
        if not self.alive:
            raise ProcessLookupError
        if os.getpgid(self.pid) == self.pid:
            os.killpg(self.pid, number)
        else:
            os.kill(self.pid, number)


@cache
def machine() -> str:
    """This machine since it was last started, and the container within it."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.stat(_PROC / 'self/ns/pid').st_ino}"
    except OSError:  # not Linux
        return platform.node()


def _start(pid: int) -> str | None:
    """When a live process began; None when it is gone or a zombie."""
    if not (_PROC / "self/stat").exists():
        return _start_by_ps(pid)
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    words = text.rpartition(")")[2].split()  # the name before may hold anything
    return None if words[0] in "ZXx" else words[19]


def _start_by_ps(pid: int) -> str | None:
    done = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, *start = done.stdout.split() or [""]
    return " ".join(start) if state and state[0] not in "ZX" else None
