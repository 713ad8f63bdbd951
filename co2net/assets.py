"""Where the program's own data lie, how files are written, and what made a result."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from uuid import uuid4

import numpy as np

import co2net

_REPOSITORY = Path(__file__).resolve().parents[1]


def data_path(*parts: str) -> Path:
    """Path below the program's data folder.

    ``$CO2NET_DATA`` names another folder, for an installation whose ``data/`` is read-only.
    """
    root = Path(os.environ.get("CO2NET_DATA", _REPOSITORY / "data"))
    return root.joinpath(*parts)


def peak_memory() -> int:
    """Bytes of memory that this process has held at most.

    Where the system tells it for the program itself, that is asked: what ``getrusage`` says of a
    child begins with what its parent held.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return held if sys.platform == "darwin" else 1024 * held
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


def reference_path() -> Path | None:
    """Folder of real reference data for calibration checks, or None where there is none.

    It is never shipped: ``$CO2NET_REFERENCE``, else ``../shared/reference-data`` beside the
    repository.
    """
    path = Path(
        os.environ.get("CO2NET_REFERENCE", _REPOSITORY.parent / "shared" / "reference-data")
    )
    return path if path.is_dir() else None


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path that takes the final name only when the block succeeds.

    A file is flushed to disk before the rename; a folder is renamed as a whole (the final
    name must then not exist). When the block raises, nothing is left behind.

    Parameters
    ----------
    path
        Final name. Missing parent folders are made.

    Yields
    ------
    Path
        A name in the same folder, not yet in existence.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    draft = final.with_name(f".{final.name}.{os.getpid()}-{uuid4().hex[:8]}")
    try:
        yield draft
        if draft.is_file():
            with draft.open("rb") as handle:
                os.fsync(handle.fileno())
        os.replace(draft, final)
    finally:
        if draft.is_dir():
            shutil.rmtree(draft)
        else:
            draft.unlink(missing_ok=True)


@cache
def _commit() -> str:
    """Short hash of the checked-out commit, with ``+`` when files differ; '' outside git."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(_REPOSITORY), *words], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        head = git("rev-parse", "--short=12", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no")
    except OSError:  # git is not installed
        return ""
    return head + ("+" if head and changed else "")


def provenance() -> dict[str, str]:
    """What made a result: version, commit, Python and NumPy versions, machine type."""
    return {
        "co2net": co2net.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
    }
