"""What is kept of a simulated year beside its fields, for the checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from co2net.grid import LatLonGrid
from co2net.naturerun.world import FRAMES_A_DAY, Month, World


def marine_mask(grid: LatLonGrid) -> NDArray[np.bool_]:
    """(H, W): cells two or more cells away from land; a whole row where there are none."""
    near = grid.land_fraction > 0.02
    for _ in range(2):
        near = near | np.roll(near, 1, axis=1) | np.roll(near, -1, axis=1)
        padded = np.pad(near, ((1, 1), (0, 0)), mode="edge")
        near = padded[:-2] | padded[1:-1] | padded[2:]
    land = grid.land_fraction > 0.02
    open_sea = ~near
    for row in range(grid.shape[0]):
        if open_sea[row].sum() < 3:
            open_sea[row] = ~land[row] if (~land[row]).sum() >= 3 else True
    return open_sea


def year_statistics(world: World, months: Sequence[Month]) -> dict[str, Any]:
    """Statistics of one year.

    Returns
    -------
    dict
        ``marine`` (days, H): daily zonal mean over the open sea; ``global_mean`` (days,);
        ``hourly`` (12, 8, H, W): means by month and hour;
        ``percentiles`` (12, 5): 0.5, 5, 50, 95, 99.5 % by area;
        ``south_pole`` (days,); ``flux_*`` (12, H) PgC/yr; ``mass`` (12, 3): CO2 (kg umol/mol)
        before and after each month and the surface flux between; ``courant`` (12,).
    """
    grid = world.grid
    sea = marine_mask(grid).astype(np.float64)
    sea /= sea.sum(axis=1, keepdims=True)
    weights = grid.weights / grid.weights.size
    marine, mean, hourly, shares, pole = [], [], [], [], []
    for month in months:
        x = month.surface
        day = x.reshape(-1, FRAMES_A_DAY, *grid.shape)
        daily = day.mean(axis=1, dtype=np.float64)
        marine.append((daily * sea).sum(axis=2))
        mean.append((daily * weights).sum(axis=(1, 2)))
        hourly.append(day.mean(axis=0))
        shares.append(_percentiles(x[::5], grid.weights))
        pole.append(daily[:, 0].mean(axis=1))
    out = {
        "marine": np.concatenate(marine),
        "global_mean": np.concatenate(mean),
        "hourly": np.stack(hourly),
        "percentiles": np.stack(shares),
        "south_pole": np.concatenate(pole),
        "mass": np.array([month.mass for month in months]),
        "courant": np.array([month.courant for month in months]),
    }
    for name in months[0].flux:
        out[f"flux_{name}"] = np.stack([world.fluxes.bands(m.flux[name]) for m in months])
    return out


def _percentiles(x: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """0.5, 5, 50, 95 and 99.5 % of values by area."""
    order = np.argsort(x, axis=None)
    share = np.cumsum(np.broadcast_to(weights, x.shape).ravel()[order])
    at = np.searchsorted(share, np.array([0.005, 0.05, 0.5, 0.95, 0.995]) * share[-1])
    return x.ravel()[order[at]].astype(np.float64)
