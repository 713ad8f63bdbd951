"""Intervals: weeks are drawn with replacement, since neighbouring frames are alike.

Frames within a week share their weather; weeks are nearly independent once the season is the
same for all models compared. A draw counts whole weeks, so every score follows from sums by
week (`co2net.evaluation.metrics.Sums`) and a thousand draws cost one matrix product. Two models
are compared over the same draws, which takes out what weeks have in common.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Double = NDArray[np.float64]

DRAWS = 1000
"""Draws behind an interval."""
LEVEL = 0.95
"""Share of draws inside an interval."""
FEWEST_BLOCKS = 8
"""With fewer weeks there is no interval: draws from so few say too little."""


def weeks(time: NDArray[np.datetime64]) -> tuple[NDArray[np.int64], int]:
    """(n,) week of every time since the first, those without a time left out, and their number."""
    days = time.astype("datetime64[D]").astype(np.int64)
    found, week = np.unique((days - days.min()) // 7, return_inverse=True)
    return week.astype(np.int64), int(found.size)


def draws(blocks: int, count: int = DRAWS, seed: int = 0) -> Double:
    """(count, blocks): how often each draw takes each block; every row adds up to ``blocks``."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=count).astype(np.float64)


def interval(values: NDArray[np.floating[Any]], level: float = LEVEL) -> tuple[Double, Double]:
    """Lower and upper bound, (...,) each: percentiles over the first axis, (draws, ...)."""
    tail = 50 * (1 - level)
    with np.errstate(invalid="ignore"):
        low, high = np.percentile(values, [tail, 100 - tail], axis=0)
    return low, high
