"""Models whose errors are known."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from co2net.grid import LatLonGrid
from co2net.models.base import ModelInfo

GRID = LatLonGrid.regular(18, 36)


class Fake:
    """Truth plus a constant."""

    def __init__(self, name: str, shift: float, frames: int = 1) -> None:
        self.grid, self.frames, self.shift = GRID, frames, shift
        self.calls = 0
        self.info = ModelInfo(
            name, "Fake", "network", "", 7, "", "", "", {"years": "2001-2002"}, f"{name}{shift}"
        )

    def reconstruct(self, source: Any, index: NDArray[np.int64]) -> NDArray[np.float32]:
        self.calls += 1
        return source.read(["co2"], index)[0] + np.float32(self.shift)
