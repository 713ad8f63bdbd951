"""Readers of published data sets: each brings original files into the canonical store.

One module a source; `download` fetches files over HTTP, `netcdf` opens them, `guard` reads them
where a damaged one does no harm. Nothing here knows the simulated world or a model.
"""

from collections.abc import Callable
from typing import Any

from co2net.datasets import carbontracker, cmip6, obspack

SOURCES: dict[str, Callable[..., Any]] = {
    "carbontracker": carbontracker.prepare,
    "cmip6": cmip6.prepare,
    "obspack": obspack.prepare,
}
"""Name of a source -> its ``prepare(files, out, progress=..., **options)``."""
