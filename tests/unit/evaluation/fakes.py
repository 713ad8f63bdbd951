"""Models whose errors are known, on a small grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from co2net.evaluation.entrants import Entrant
from co2net.grid import LatLonGrid
from co2net.models.base import ModelInfo

GRID = LatLonGrid.regular(18, 36)


class Fake:
    """Truth plus a constant.

    Parameters
    ----------
    frames
        Length of the window that it claims to read.
    breaks
        Frames after which it is interrupted, as by a key.
    """

    def __init__(
        self, name: str, shift: float, frames: int = 1, breaks: float = np.inf, digest: str = ""
    ) -> None:
        self.grid, self.frames, self.shift, self.breaks = GRID, frames, shift, breaks
        self.seen: list[int] = []
        digest = digest or f"{name}{shift}"
        self.info = ModelInfo(
            name, "Fake", "network", "", 7, "", "", "", {"years": "2001-2002"}, digest
        )

    def reconstruct(self, source: Any, index: NDArray[np.int64]) -> NDArray[np.float32]:
        if len(self.seen) >= self.breaks:
            raise KeyboardInterrupt
        self.seen += [int(i) for i in index]
        return source.read(["co2"], index)[0] + np.float32(self.shift)


def named(models: Sequence[Any], seed: str = "") -> list[Entrant]:
    """Take part under their own names."""
    return [Entrant(model.info.name, seed, lambda model=model: model) for model in models]
