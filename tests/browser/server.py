"""The server of the browser tests: the real one, over a small store and quick models.

``python -m tests.browser.server STORE PORT CACHE``
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from co2net.grid import LatLonGrid
from co2net.schema import create_store, open_store, write_frames
from co2net.source import FieldSource, Index
from tests.synthetic import SyntheticSource


@dataclass(frozen=True)
class Info:
    """As much of a model's information as the engine reads."""

    name: str
    digest: str


class Waves:
    """A model that is wrong by a known wave, and takes its time."""

    frames = 8

    def __init__(self, name: str, size: float, grid: LatLonGrid, seconds: float = 0.0) -> None:
        self.info = Info(name, f"test-{name}")
        self.grid = grid
        self._size, self._seconds = size, seconds

    def reconstruct(self, source: FieldSource, index: Index) -> NDArray[np.float32]:
        """Truth plus a wave."""
        time.sleep(self._seconds)
        wave = self._size * np.sin(3 * np.radians(self.grid.lon))
        return source.read(["co2"], index)[0] + wave.astype(np.float32)


def make_store(path: str) -> None:
    """Two months on the time axis, of which the first is filled."""
    source = SyntheticSource(start="2002-01-01", end="2002-02-28", sites=24)
    create_store(path, source.grid, source.time, source.stations, source.attrs, source.variables)
    index = np.arange(31 * 8)
    fields = {name: source.read([name], index)[0] for name in ("co2", *source.variables)}
    static = {"surface_altitude": fields.pop("surface_altitude")[0]}
    write_frames(path, 0, fields | static, source.observations(index))


def main() -> None:
    """Serve."""
    from dashboard.app import serve

    store, port, cache = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    grid = open_store(store).grid
    models = [
        Waves("co2net", 0.5, grid),
        Waves("vit", 1.5, grid),
        Waves("interpolation", 1.0, grid),
        Waves("sloth", 2.0, grid, seconds=8.0),
    ]
    serve(store, port=port, models=models, cache_dir=cache)


if __name__ == "__main__":
    main()
