"""Exports: ``/export/WHAT.FORMAT?ADDRESS`` gives what a page shows as a file.

The address is that of the page, so a file can be had again, or by a script. Work is done by
`co2net.export` in a thread; the event loop only hands out the result.
"""

from __future__ import annotations

import asyncio
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tornado.web import RequestHandler

from co2net.errors import UserError
from dashboard.export.view import Exports, Offers
from dashboard.pages import registry, words
from dashboard.service import Service
from dashboard.state import ViewState, World, in_order, parse

TYPES = {
    "png": "image/png",
    "pdf": "application/pdf",
    "gif": "image/gif",
    "nc": "application/x-netcdf",
    "csv": "text/csv; charset=utf-8",
}


@cache
def exports() -> dict[str, type[Exports]]:
    """What makes the files of each page that has some."""
    from dashboard.export.maps import CompareExports, ExploreExports
    from dashboard.export.oceans import OceanExports
    from dashboard.export.results import BenchmarkExports, CaseExports, StationExports

    return {
        "explore": ExploreExports,
        "compare": CompareExports,
        "cases": CaseExports,
        "oceans": OceanExports,
        "stations": StationExports,
        "benchmarks": BenchmarkExports,
    }


def offers(page: str) -> Offers:
    """What can be had of a page, and in which formats."""
    return exports()[page].offers if page in exports() else {}


class Handler(RequestHandler):
    """Answers a request for an export."""

    def initialize(self, service: Service) -> None:
        """Take what all sessions share."""
        self._service = service

    async def get(self, what: str, suffix: str) -> None:
        """Make the file and send it."""
        work = partial(make, self._service, what, suffix, self.request.query)
        loop = asyncio.get_running_loop()
        try:
            name, content = await loop.run_in_executor(self._service.patient, work)
        except UserError as error:
            self.set_status(400)
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(str(error))
            return
        self.set_header("Content-Type", TYPES[suffix])
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        self.set_header("X-Content-Type-Options", "nosniff")
        self.finish(content)


def make(service: Service, what: str, suffix: str, query: str) -> tuple[str, bytes]:
    """Name and content of a file; safe in any thread.

    Raises
    ------
    UserError
        When the address cannot be used or a field cannot be had.
    """
    world = World(service.source, tuple(registry()), in_order(service.engine.names()), words())
    values, faults = parse(query, world)
    if faults:
        raise UserError(f"the address has values that cannot be used: {faults[0].name}")
    state = ViewState(world, **values)
    offered = offers(state.page)
    if suffix not in offered.get(what, ()):
        known = ", ".join(f"{name}.{kind}" for name, kinds in offered.items() for kind in kinds)
        raise UserError(
            f"there is no export {what[:20]}.{suffix[:10]} of {state.page}; "
            f"there are {known or 'none'}"
        )
    view = exports()[state.page](service, state)
    with TemporaryDirectory(prefix="co2net-") as folder:
        path = Path(folder) / f"export.{suffix}"
        name = getattr(view, what)(path)
        return name, path.read_bytes()
