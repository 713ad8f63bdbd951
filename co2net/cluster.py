"""A Dask cluster that somebody runs: work is sent there, files are on a disk that all see.

``dask scheduler`` and ``dask worker`` start one; see ``docs/jobs.md``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from co2net.errors import UserError

if TYPE_CHECKING:
    from distributed import Client

Item = TypeVar("Item")

RETRIES = 3
"""How often a piece of work that failed is tried again; one whose worker died, by Dask besides."""


@contextmanager
def client(scheduler: str) -> Iterator[Client]:
    """A connection to a scheduler.

    Parameters
    ----------
    scheduler
        Its address, ``tcp://host:port``.

    Raises
    ------
    UserError
        When the extra is not installed, the address is none, or nobody answers there.
    """
    if not re.fullmatch(r"(tcp|tls)://\S+:\d+", scheduler):
        raise UserError(f"scheduler '{scheduler[:60]}': write it as tcp://host:8786")
    try:
        from distributed import Client
    except ImportError:
        raise UserError(
            "--scheduler needs the extra 'cluster'; install it with `pip install 'co2net[cluster]'`"
        ) from None
    try:
        found = Client(scheduler, timeout=10, set_as_default=False)
    except (OSError, ValueError):
        raise UserError(
            f"no Dask scheduler answers at {scheduler}; start one with `dask scheduler` and "
            "workers with `dask worker`"
        ) from None
    with found:
        yield found


def each(
    client: Client, work: Callable[..., Any], items: Iterable[Item], *shared: Any
) -> Iterator[Item]:
    """Do ``work(*shared, item)`` for every item on the workers; the items as they are done.

    What a worker had when it died is done by another one: the work must bear being done twice.

    Raises
    ------
    UserError
        When the work raised it, or workers keep dying.
    """
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    futures = {
        client.submit(work, *shared, item, pure=False, retries=RETRIES): item for item in items
    }
    try:
        for future in as_completed(list(futures), loop=client.loop):
            try:
                future.result()
            except KilledWorker:
                raise UserError(
                    "workers of the cluster die of this work; give them more memory and run it "
                    "again, what is done stays"
                ) from None
            yield futures[future]
    finally:
        client.cancel(list(futures))
