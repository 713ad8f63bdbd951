"""The ocean of the simulated world: temperature, salinity, and the flux its transport was given.

The world prescribes the flux through the sea's surface, CarbonTracker's monthly totals of every
band (`fluxes`), and has no sea below it. What is needed to see that flux as an exchange between
air and water is added here and changes nothing in the world: the surface temperature is the mean
air temperature over open sea, with El Nino's warmth, and not below freezing; the salinity is about
the zonal mean of the World Ocean Atlas. Both know latitude and season, no currents and no basins.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from co2net.naturerun.fluxes import open_water
from co2net.naturerun.weather import days, enso
from co2net.naturerun.world import World, month_times

Array = NDArray[np.float64]

FREEZING = -1.8
"""degC: sea water is not colder."""
LEAST_SEA = 0.01
"""A cell with a smaller share of sea counts as land."""

# About the annual zonal means of the surface in the World Ocean Atlas 2018 (NOAA, public domain),
# every ten degrees, to a tenth; typed here and not computed from its files.
_SALINITY_LATITUDES = np.arange(-80.0, 91.0, 10.0)
_SALINITY = np.array([
    34.2, 34.0, 33.9, 34.1, 34.8, 35.6, 35.7, 35.2, 34.8,  # 80S to the equator
    34.5, 35.3, 35.5, 33.9, 32.9, 32.8, 31.6, 30.4, 30.8,  # 10N to the pole
])  # fmt: skip


def zonal_salinity(lat: NDArray[np.float64]) -> Array:
    """Zonal mean practical salinity of the surface at latitudes (degrees)."""
    return np.interp(lat, _SALINITY_LATITUDES, _SALINITY)


class Sea:
    """The sea's surface in a month of the simulated world; arrays (H, W), NaN on land.

    Parameters
    ----------
    world
        Whose weather and fluxes.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.grid = world.grid
        share = 1.0 - self.grid.land_fraction
        self.share: Array = np.where(share >= LEAST_SEA, share, 0.0)
        """Share of sea in every cell, zero where there is next to none."""

    def _masked(self, values: NDArray[Any]) -> Array:
        return np.where(self.share > 0, values, np.nan)

    @property
    def salinity(self) -> Array:
        """Practical salinity; the same in every month."""
        return self._masked(
            np.broadcast_to(zonal_salinity(self.grid.lat)[:, None], self.grid.shape)
        )

    def sst(self, year: int, month: int) -> Array:
        """Surface temperature, degC."""
        t = days(month_times(year, month))
        column = np.zeros((self.grid.shape[0], 1))  # open sea knows no longitude
        air = self.world.weather.climate(t, column).mean(axis=0)
        # what the weather adds to the air of the tropics, see `Weather.frames`
        warm = np.exp(-((self.grid.lat[:, None] / 15.0) ** 2)) * 0.5 * enso(t).mean()
        sst = np.maximum(air - 273.15 + warm, FREEZING)
        return self._masked(np.broadcast_to(sst, self.grid.shape))

    def open_water(self, year: int, month: int) -> Array:
        """0.05-1: what the cold leaves open, the pattern of the flux within a band."""
        climate = self.world.weather.climate(days(month_times(year, month)))
        return self._masked(open_water(climate))

    def flux(self, year: int, month: int) -> Array:
        """Flux that the transport is given, umol s-1 per m2 of sea, into the atmosphere."""
        climate = self.world.weather.climate(days(month_times(year, month)))
        of_cell = self.world.fluxes.ocean(year, month, climate)
        return self._masked(of_cell / np.maximum(self.share, LEAST_SEA))
