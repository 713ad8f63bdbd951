"""The fixed stations of the simulated world, and what they report."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from co2net.assets import data_path
from co2net.source import Index, StationNetwork

NETWORK = "96 surface sites of ObsPack GLOBALVIEWplus (positions only; values are simulated)"


def load_stations() -> StationNetwork:
    """The sites of ``data/stations.csv``."""
    return StationNetwork.from_csv(data_path("stations.csv"), NETWORK)


@dataclass(frozen=True)
class ObservationConfig:
    """How stations report.

    Parameters
    ----------
    noise : umol/mol
        Standard deviation of the error of one value.
    gaps : 0..1
        Share of the time in which a station is silent, in outages of about a week.
    seed : int
        Draws noise and gaps.
    """

    noise: float = 0.2
    gaps: float = 0.0
    seed: int = 96


_OUTAGE_FRAMES = 56


def observe(
    truth: NDArray[np.float32], index: Index, config: ObservationConfig
) -> NDArray[np.float32]:
    """Add noise and gaps that depend on frame and station alone, not on the order of reading.

    Parameters
    ----------
    truth : (n, S) umol/mol
        Simulated values at the stations.
    index : (n,)
        Positions of the frames on the world's time axis.

    Returns
    -------
    (n, S) float32
        NaN where a station is silent.
    """
    stations = np.arange(truth.shape[1], dtype=np.uint64)
    frames = np.asarray(index).astype(np.uint64)[:, None]
    out = truth.astype(np.float32)
    if config.noise > 0:
        first = _uniform(frames, stations, config.seed, 1)
        second = _uniform(frames, stations, config.seed, 2)
        normal = np.sqrt(-2 * np.log(first)) * np.cos(2 * np.pi * second)  # Box and Muller
        out = out + (config.noise * normal).astype(np.float32)
    if config.gaps > 0:
        silent = _uniform(frames // _OUTAGE_FRAMES, stations, config.seed, 3) < config.gaps
        out = np.where(silent, np.float32(np.nan), out)
    return out


def _uniform(
    frames: NDArray[np.uint64], stations: NDArray[np.uint64], seed: int, stream: int
) -> NDArray[np.float64]:
    """Uniform numbers in (0, 1] from a hash (splitmix64) of frame, station, seed and stream."""
    with np.errstate(over="ignore"):
        x = frames * np.uint64(1_000_003) + stations
        x = x + np.uint64((seed * 4 + stream) * 0x9E3779B97F4A7C15 % 2**64)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
        x = x ^ (x >> np.uint64(31))
    return ((x >> np.uint64(11)).astype(np.float64) + 1.0) / 2.0**53
