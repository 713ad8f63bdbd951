"""Statistics of monthly series and of samples in time that resemble their neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
NORMAL_95 = 1.96


def deseasonalised(months: NDArray[np.datetime64], values: Array) -> Array:
    """(n,) a series less the mean of its calendar months, plus its mean.

    The trend between the years is taken out before those means are formed, so that months which
    are there in other years than their neighbours bring no step.
    """
    number = months.astype(int)
    line = np.polyval(np.polyfit(number, values, 1), number) if np.unique(number).size > 1 else 0.0
    rest = values - line
    out = values.astype(np.float64)
    for calendar in range(12):
        rows = number % 12 == calendar
        if rows.any():
            out[rows] -= rest[rows].mean()
    return out


def lag_one(values: Array) -> float:
    """Autocorrelation between neighbours, within 0 and 0.95; zero where there are fewer than 4."""
    rest = values - values.mean()
    power = float((rest**2).sum())
    if values.size < 4 or power == 0:
        return 0.0
    return float(np.clip((rest[1:] * rest[:-1]).sum() / power, 0.0, 0.95))


def effective_size(values: Array) -> float:
    """Number of independent values in a series that resembles its neighbours (first order)."""
    r = lag_one(values)
    return max(1.0, values.size * (1 - r) / (1 + r))


def standard_error(values: Array) -> float:
    """Standard error of the mean of a series in time; infinite for fewer than two values."""
    if values.size < 2:
        return float("inf")
    return float(values.std(ddof=1) / np.sqrt(effective_size(values)))


def slope_with_interval(x: Array, y: Array) -> tuple[float, float, float]:
    """Least-squares slope and its 95 % interval, its residuals' memory counted (Santer et al. 2000,
    doi:10.1029/1999JD901105)."""
    centred = x - x.mean()
    spread = float((centred**2).sum())
    slope = float((centred * (y - y.mean())).sum() / spread)
    rest = y - y.mean() - slope * centred
    degrees = max(effective_size(rest) - 2, 1.0)
    error = float(np.sqrt((rest**2).sum() / degrees / spread))
    return slope, slope - NORMAL_95 * error, slope + NORMAL_95 * error
