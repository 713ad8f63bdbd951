"""Where scores are taken: named regions, bands of latitude, and distance from the stations."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from co2net.grid import LatLonGrid, great_circle_km
from co2net.regions import Region, regions
from co2net.source import StationNetwork

Mask = NDArray[np.float64]

LATITUDES = (-90, -60, -30, 0, 30, 60, 90)
"""Edges of the bands (degrees)."""
DISTANCES_KM = {
    "dist_0_500": (0.0, 500.0),
    "dist_500_1500": (500.0, 1500.0),
    "dist_1500_up": (1500.0, np.inf),
    "dist_500_up": (500.0, np.inf),
}
"""Bands of distance from a cell's centre to the nearest station; the last joins two."""


def places(grid: LatLonGrid, stations: StationNetwork) -> dict[str, Mask]:
    """Name -> (H, W) 0..1: the share of every cell; a place without any cell is left out.

    All of `co2net.regions.regions`; ``lat_60N_90N`` and its like; ``station_cells`` and
    ``no_station``, the cells that hold a station and the others; `DISTANCES_KM`.
    """
    found = {key: region.mask(grid) for key, region in regions().items()}
    for south, north in pairwise(LATITUDES):
        ring = np.array([[-180.0, south], [180.0, south], [180.0, north], [-180.0, north]])
        key = f"lat_{_named(south)}_{_named(north)}"
        found[key] = Region(key, key, key, (ring,)).mask(grid)
    if len(stations):
        held = np.zeros(grid.shape)
        held[stations.cells(grid)] = 1.0
        found |= {"station_cells": held, "no_station": 1.0 - held}
        distance = station_distance(grid, stations)
        for key, (near, far) in DISTANCES_KM.items():
            found[key] = ((distance >= near) & (distance < far)).astype(np.float64)
    return {key: mask for key, mask in found.items() if mask.any()}


def station_distance(grid: LatLonGrid, stations: StationNetwork) -> Mask:
    """(H, W) km: great circle from every cell's centre to the nearest station."""
    nearest = np.full(grid.shape, np.inf)
    for lat, lon in zip(stations.lat, stations.lon, strict=True):
        away = great_circle_km(grid.lat[:, None], grid.lon[None, :], lat, lon)
        nearest = np.minimum(nearest, away)
    return nearest


def _named(lat: int) -> str:
    return "0" if lat == 0 else f"{abs(lat)}{'N' if lat > 0 else 'S'}"
