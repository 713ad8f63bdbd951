"""What a process and the machine spend, where the system tells it."""

from __future__ import annotations

import os
import time
from pathlib import Path


def processor_seconds(process: int) -> float:
    """Processor time of a process until now; NaN where the system does not tell."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return float("nan")
    user, system = text.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def memory(process: int) -> float:
    """MiB that a process holds; NaN where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return float("nan")
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def busy_share(seconds: float = 2.0) -> float:
    """Share of the processors that somebody uses; NaN where the system does not tell."""

    def read() -> tuple[int, int]:
        with open("/proc/stat", encoding="ascii") as file:
            times = [int(value) for value in file.readline().split()[1:9]]
        return sum(times), times[3] + times[4]

    try:
        first = read()
        time.sleep(seconds)
        second = read()
    except OSError:
        return float("nan")
    return 1.0 - (second[1] - first[1]) / max(1, second[0] - first[0])
