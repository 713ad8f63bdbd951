"""A small world by formula: every test that needs fields, but no physics, reads this one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from co2net.grid import LatLonGrid
from co2net.schema import AUXILIARY, VARIABLES, create_store, write_frames
from co2net.source import Index, StationNetwork


class SyntheticSource:
    """Smooth CO2 that drifts east with a visible wind, plus trend, season and a daily cycle.

    Implements `co2net.source.FieldSource`. The same seed gives the same fields, whatever the
    order of the calls.

    Parameters
    ----------
    grid
        Any grid; CarbonTracker's by default.
    start, end
        First and last day, inclusive.
    sites
        Number of stations, on distinct cells.
    variables
        Auxiliary variables that it has.
    """

    def __init__(
        self,
        grid: LatLonGrid | None = None,
        start: str = "2001-12-01",
        end: str = "2002-02-28",
        sites: int = 12,
        seed: int = 0,
        variables: tuple[str, ...] = AUXILIARY,
    ) -> None:
        self.grid = grid or LatLonGrid.ct()
        self.step = np.timedelta64(3 * 3600, "s")
        first = np.datetime64(start, "s") + np.timedelta64(5400, "s")
        self.time = np.arange(first, np.datetime64(end, "s") + np.timedelta64(1, "D"), self.step)
        self.available = np.ones(self.time.size, dtype=bool)
        self.variables = variables
        self.attrs: dict[str, Any] = {
            "title": "synthetic test world",
            "source": "tests/synthetic.py",
            "version": f"seed-{seed}",
            "licence": "BSD-3-Clause",
            "simulated": True,
        }
        rng = np.random.default_rng(seed)
        cells = rng.choice(self.grid.lat.size * self.grid.lon.size, sites, replace=False)
        row, column = np.unravel_index(cells, self.grid.shape)
        self.stations = StationNetwork(
            code=tuple(f"S{n:02d}" for n in range(sites)),
            name=tuple(f"Site {n}" for n in range(sites)),
            lat=self.grid.lat[row],
            lon=self.grid.lon[column],
            altitude=np.zeros(sites),
            network="synthetic",
        )
        self._phase = rng.uniform(0, 2 * np.pi, 4)

    def _field(self, name: str, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        lat = np.radians(self.grid.lat)[None, :, None]
        lon = np.radians(self.grid.lon)[None, None, :]
        days = seconds[:, None, None] / 86400
        wave = sum(
            np.cos(lat) ** 2 * np.cos(k * lon - 2 * np.pi * days / 8 * k + phase + 2 * lat)
            for k, phase in enumerate(self._phase, start=1)
        )
        if name == "co2":
            years = days / 365.25
            return (
                370
                + 2.0 * (years - 30)
                + 4 * np.sin(lat) * np.cos(2 * np.pi * years)
                + 2 * np.cos(lat) * np.cos(2 * np.pi * days + lon)
                + 3 * wave
            )
        variable = VARIABLES[name]
        middle, spread = (variable.low + variable.high) / 2, (variable.high - variable.low) / 20
        shift = {"eastward_wind": 0.0, "northward_wind": np.pi / 2}.get(name, np.pi / 4)
        return middle + spread * (wave * np.cos(shift) + np.sin(lat) * np.sin(shift)) + 0 * days

    def read(self, names: tuple[str, ...] | list[str], index: Index) -> NDArray[np.float32]:
        """See `co2net.source.FieldSource.read`."""
        seconds = self.time[np.asarray(index)].astype(np.float64)
        zero = np.zeros_like(seconds)
        return np.stack(
            [self._field(n, zero if VARIABLES[n].static else seconds) for n in names]
        ).astype(np.float32)

    def observations(self, index: Index) -> NDArray[np.float32]:
        """See `co2net.source.FieldSource.observations`."""
        row, column = self.stations.cells(self.grid)
        return self.read(["co2"], index)[0][:, row, column]


def write_store(path: Path, world: SyntheticSource) -> Path:
    """Write all of a world as a store, whose path is given back."""
    create_store(path, world.grid, world.time, world.stations, world.attrs, world.variables)
    index = np.arange(world.time.size)
    names = ["co2", *world.variables]
    fields = dict(zip(names, world.read(names, index), strict=True))
    if "surface_altitude" in fields:
        fields["surface_altitude"] = fields["surface_altitude"][0]
    write_frames(path, 0, fields, world.observations(index))
    return path
