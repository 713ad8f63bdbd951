"""Locks on files: what two servers would do at the same time, one does before the other."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from co2net.errors import UserError

Check = Callable[[], None]
_SECONDS = 60.0  # longest wait for another process


def claim(lock: int, path: Path, check: Check | None = None) -> None:
    """Lock a file for this process, which waits a while for another one.

    Parameters
    ----------
    lock
        Descriptor of the file.
    path
        The file, for messages.
    check
        Asked while it waits, and once it has the lock; raises what makes the lock pointless.

    Raises
    ------
    UserError
        When the other one does not end, or the disk knows no locks; what ``check`` raises.
    """
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise UserError(f"{path} is locked by a process that does not end") from None
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.ENOTSUP):
                raise UserError(
                    f"{path.parent} lies on a file system without locks; "
                    "name another folder by CO2NET_RUNS"
                ) from None
            raise
        if check is not None:
            check()
        time.sleep(0.1)
    if check is not None:
        check()


@contextmanager
def locked(path: Path, check: Check | None = None) -> Iterator[int]:
    """Hold the lock of a file; see `claim`."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        claim(lock, path, check)
        yield lock
    finally:
        os.close(lock)
