"""How fast air is exchanged between the layers: boundary layer, convection, fronts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from co2net.naturerun.weather import Frames, Weather, year_phase

Array = NDArray[np.float32]


@dataclass(frozen=True)
class MixingConfig:
    """Exchange of air between layers (kg m-2 s-1) and along latitude (m2/s).

    Parameters
    ----------
    night, night_2 : kg m-2 s-1
        Through the top of the surface layer and of the second layer over land on a night of
        moderate wind.
    day, day_2, day_3 : kg m-2 s-1
        Through the tops of the first, second and third layers over land under a high sun.
    land_3 : kg m-2 s-1
        Third top over land without sun.
    ocean, ocean_2, ocean_3 : kg m-2 s-1
        Over the ocean in moderate wind.
    top, top_tropics : kg m-2 s-1
        Through the top of the fourth layer: everywhere, and in the rain belt besides.
    cyclone : float
        Rise of the exchange through the third and fourth tops in a moderate low.
    lid : float
        How fast a high closes the upper tops.
    north : float
        Factor on the ocean's third top poleward of 52 N in summer.
    north_land : float
        Share of that which holds over land.
    trade : float
        How far the trade-wind inversion closes the ocean's third top about 17 degrees.
    diffusion : m2/s
        Eddy diffusivity along latitude a layer.
    """

    night: float = 1.5e-3
    night_2: float = 1.2e-3
    day: float = 0.12
    day_2: float = 0.12
    day_3: float = 0.04
    land_3: float = 2.0e-3
    ocean: float = 0.06
    ocean_2: float = 0.02
    ocean_3: float = 6.0e-3
    top: float = 4.0e-4
    top_tropics: float = 4.0e-3
    cyclone: float = 1.6
    lid: float = 1.1
    north: float = 0.6
    north_land: float = 0.5
    trade: float = 0.8
    diffusion: tuple[float, ...] = (1e5, 1e5, 2e5, 3e5, 3e5)


def exchange(frames: Frames, weather: Weather, config: MixingConfig) -> Array:
    """Exchange of air through the tops of the lower layers.

    Over land the sun drives it by day, wind and cloud by night: clear calm nights pen the
    breath of the plants and the cities in the lowest layer. Over sea the wind drives it. A low
    lifts air out of the boundary layer, a high holds it down.

    Returns
    -------
    (T, L-1, H, W) float32
        kg m-2 s-1
    """
    c = config
    land = weather.land.astype(np.float32)
    wind = np.sqrt(frames.u**2 + frames.v**2 + 0.5)
    cloud = frames.cloud
    low = np.float32(1.0) + np.float32(c.cyclone) * np.clip(2 * cloud - 1, 0, 1)
    lid = np.exp(-np.float32(c.lid) * frames.subsidence)
    warm = np.clip((frames.climate - 262.0) / 30.0, 0.05, 1.1)
    sun = frames.light * (1.0 - 0.6 * cloud) * warm * 1.4
    # stability of the night: clear and calm is quiet, cloud and wind stir
    stir = (0.2 + 0.3 * cloud) + (wind / 6.5) ** 2
    lat = weather.grid.lat[:, None]
    sea_warm = np.clip((frames.climate - 250.0) / 40.0, 0.1, 1.0)
    out = np.empty((frames.time.size, 4, *land.shape), dtype=np.float32)
    blow = 0.4 + wind / 8.0
    out[:, 0] = land * (c.night * stir + c.day * sun) + (1 - land) * c.ocean * blow
    out[:, 1] = (
        land * (c.night_2 * stir * lid + c.day_2 * sun * (0.4 + 0.6 * lid))
        + (1 - land) * c.ocean_2 * blow * sea_warm
    )
    season = np.cos(year_phase(frames.time) - np.radians(25.0))[:, None, None]
    north = 1 + (c.north - 1) * (0.5 - 0.5 * season) / (1 + np.exp(-(lat - 52.0) / 4.0))
    trade = 1 - c.trade * np.exp(-(((np.abs(lat) - 17.0) / 9.0) ** 2))
    out[:, 2] = (
        (
            land * (c.land_3 + c.day_3 * sun) * (1 + (north - 1) * c.north_land)
            + (1 - land) * c.ocean_3 * sea_warm * north * trade
        )
        * low
        * lid
    )
    belt = np.exp(-(((lat + 7.0 * season - 2.0) / 14.0) ** 2))
    out[:, 3] = (c.top + c.top_tropics * belt * (0.4 + cloud)) * low
    return out
