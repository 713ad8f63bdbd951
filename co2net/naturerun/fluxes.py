"""Surface fluxes of CO2: the biosphere under the weather, fires, fossil emissions, the ocean.

The monthly totals of every 2-degree band are CarbonTracker CT2019B's (`fit`). Where in the band
and when in the month is the business of light, cloud, temperature, dryness, plants and cities.
The biosphere is closed every month: after the weather has had its say, photosynthesis and
respiration of every band are scaled to the month's totals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from co2net.naturerun.fit import COEFFICIENTS
from co2net.naturerun.weather import (
    YEAR_DAYS,
    Frames,
    Weather,
    _bump,
    days,
    enso,
)

Array = NDArray[np.float64]
CARBON_MOLAR_MASS = 0.012011
SECONDS_A_YEAR = YEAR_DAYS * 86400.0
UMOL_A_PG = 1e12 / CARBON_MOLAR_MASS * 1e6
"""umol of CO2 in a petagram of carbon."""
FIRST_YEAR, FITTED_YEARS = 2000, 19

# Places with little for plants to live on: latitude, longitude, radii (degrees), strength.
_DESERTS = np.array(
    [
        (23, 3, 8, 20, 1.0),
        (22, 25, 8, 12, 1.0),
        (23, 46, 9, 10, 1.0),
        (32, 56, 5, 7, 0.85),
        (41, 58, 5, 9, 0.8),
        (39, 84, 4, 9, 1.0),
        (42, 104, 4, 9, 0.85),
        (34, 86, 4, 10, 0.75),
        (27, 70, 3, 4, 0.7),
        (36, -115, 4, 5, 0.8),
        (29, -106, 4, 5, 0.6),
        (-25, 128, 6, 12, 0.85),
        (-23, 17, 6, 4, 0.9),
        (-24, -69, 6, 2.5, 0.9),
        (-44, -69, 6, 4, 0.6),
        (8, 46, 5, 5, 0.7),
        (72, -40, 9, 15, 1.0),
        (79, -80, 5, 25, 0.9),
    ]
)

# Gardens: latitude, longitude, radii (degrees), strength beyond one.
_GARDENS = np.array(
    [
        (-4, -62, 9, 10, 0.6),
        (0, 22, 6, 9, 0.6),
        (1, 112, 8, 14, 0.6),
        (42, -90, 5, 9, 0.9),
        (36, -84, 5, 7, 0.5),
        (49, 12, 6, 14, 0.4),
        (25, 112, 6, 8, 0.5),
        (45, 126, 5, 6, 0.4),
        (25, 82, 4, 8, 0.4),
        (57, 60, 6, 30, 0.2),
        (62, 105, 6, 22, 0.3),
        (-24, -52, 6, 6, 0.3),
        (12, 102, 6, 5, 0.3),
    ]
)

# Emissions: latitude, longitude, radius (degrees), weight against others of the same latitude.
_CITIES = np.array(
    [
        (39.9, 116.4, 1.6, 5.0), (36.5, 116.5, 2.2, 5.0), (34.8, 113.7, 2.0, 4.0),
        (31.2, 121.0, 1.6, 6.0), (30.6, 114.3, 1.5, 2.5), (23.1, 113.4, 1.3, 4.0),
        (29.6, 106.5, 1.6, 2.5), (34.2, 108.9, 1.5, 2.0), (38.0, 112.5, 2.0, 3.5),
        (41.8, 123.4, 1.8, 3.0), (45.8, 126.6, 1.8, 1.6), (40.5, 110.5, 2.0, 2.5),
        (25.0, 121.3, 0.8, 2.0), (35.7, 139.7, 1.0, 4.5), (34.7, 135.5, 0.9, 3.0),
        (37.5, 127.0, 1.0, 4.0), (35.2, 128.9, 0.8, 2.0), (28.6, 77.2, 1.8, 3.5),
        (26.4, 81.5, 2.2, 2.5), (22.6, 88.3, 1.5, 2.5), (23.5, 84.5, 2.0, 2.5),
        (19.1, 73.2, 1.2, 2.5), (22.5, 72.3, 1.5, 2.0), (17.4, 78.5, 1.6, 1.6),
        (13.0, 79.5, 1.6, 2.2), (23.8, 90.4, 1.2, 1.2), (31.0, 73.5, 2.0, 1.8),
        (25.0, 67.1, 1.0, 1.0), (35.7, 51.4, 1.5, 2.0), (32.0, 50.0, 2.0, 1.4),
        (29.4, 48.2, 1.4, 1.8), (26.3, 50.2, 1.2, 2.2), (24.7, 46.7, 1.6, 1.6),
        (24.6, 54.5, 1.2, 2.0), (33.3, 44.4, 1.4, 1.2), (30.1, 31.3, 1.0, 2.0),
        (32.0, 34.9, 0.8, 1.2), (41.0, 29.0, 1.2, 2.0), (39.5, 33.0, 1.5, 1.4),
        (55.7, 37.6, 2.0, 3.0), (56.8, 60.6, 2.2, 2.2), (55.0, 73.5, 2.5, 1.4),
        (54.5, 86.5, 2.0, 2.2), (56.0, 93.0, 1.8, 1.0), (52.3, 104.3, 1.8, 0.8),
        (59.9, 30.3, 1.5, 1.6), (50.4, 30.5, 1.5, 1.0), (48.2, 38.0, 1.8, 2.4),
        (51.5, 71.5, 2.5, 1.2), (43.2, 77.0, 1.6, 0.8), (41.3, 69.3, 1.6, 1.2),
        (51.5, 7.0, 1.2, 4.5), (50.5, 4.0, 1.2, 2.2), (52.4, 13.3, 1.5, 2.4),
        (51.5, -0.5, 1.2, 3.5), (53.5, -1.9, 1.2, 2.6), (48.8, 2.4, 1.4, 2.0),
        (45.4, 9.5, 1.2, 2.6), (41.9, 12.7, 1.2, 1.2), (50.2, 19.0, 1.4, 2.8),
        (50.1, 14.4, 1.2, 1.4), (48.2, 16.6, 1.3, 1.1), (44.5, 26.0, 1.4, 1.0),
        (38.0, 23.7, 1.0, 0.9), (40.4, -3.7, 1.4, 1.5), (41.4, 2.2, 0.9, 0.9),
        (38.7, -9.0, 0.9, 0.6), (59.3, 17.5, 1.2, 0.6), (60.2, 24.9, 1.2, 0.6),
        (59.9, 10.7, 1.0, 0.4), (55.8, 12.0, 1.0, 0.6), (53.3, -6.5, 0.9, 0.5),
        (40.7, -74.2, 1.2, 4.0), (39.5, -76.3, 1.2, 2.5), (42.3, -71.3, 1.0, 1.4),
        (40.5, -80.0, 1.5, 2.8), (41.5, -82.5, 1.5, 2.6), (41.9, -87.7, 1.5, 3.4),
        (39.0, -85.5, 1.8, 2.6), (33.7, -84.4, 1.6, 2.0), (35.5, -80.0, 1.6, 1.6),
        (28.0, -81.8, 1.2, 1.6), (29.8, -95.2, 1.5, 3.2), (32.7, -97.0, 1.6, 2.2),
        (30.3, -91.0, 1.4, 1.6), (38.7, -90.3, 1.8, 1.6), (44.9, -93.2, 1.6, 1.2),
        (39.7, -104.9, 1.6, 1.2), (33.5, -112.0, 1.3, 1.0), (34.0, -118.0, 1.2, 3.0),
        (37.7, -121.9, 1.2, 1.8), (47.5, -122.3, 1.2, 0.9), (40.7, -111.9, 1.3, 0.8),
        (43.7, -79.6, 1.3, 1.7), (45.5, -73.6, 1.2, 0.8), (53.0, -113.5, 1.8, 1.4),
        (49.2, -122.9, 0.9, 0.5), (19.4, -99.1, 1.3, 2.4), (25.7, -100.2, 1.3, 1.0),
        (20.7, -103.3, 1.2, 0.7), (23.1, -82.3, 1.0, 0.3), (10.3, -67.0, 1.2, 1.4),
        (4.7, -74.1, 1.2, 0.8), (-23.4, -46.7, 1.5, 2.4), (-22.8, -43.3, 1.1, 1.4),
        (-19.9, -44.0, 1.3, 0.8), (-34.6, -58.6, 1.4, 1.8), (-33.4, -70.7, 1.0, 1.0),
        (-12.1, -77.0, 1.0, 0.8), (-26.2, 28.6, 1.5, 4.0), (-33.9, 18.7, 0.9, 0.5),
        (-29.8, 30.9, 1.0, 0.7), (6.6, 3.5, 1.2, 1.2), (5.5, 6.5, 1.5, 1.2),
        (-1.3, 36.9, 1.0, 0.3), (9.0, 38.8, 1.0, 0.2), (36.7, 3.1, 1.0, 0.9),
        (33.6, -7.5, 1.0, 0.7), (32.5, 14.0, 1.2, 0.6), (-8.9, 13.4, 1.0, 0.3),
        (13.8, 100.6, 1.4, 4.2), (21.0, 105.9, 1.3, 2.2), (10.8, 106.8, 1.2, 2.6),
        (1.5, 103.7, 1.0, 2.8), (3.2, 101.6, 1.0, 2.8), (-6.4, 106.9, 1.3, 3.4),
        (-7.3, 112.7, 1.2, 2.2), (14.6, 121.0, 1.0, 2.4), (-33.6, 150.9, 1.4, 1.8),
        (-37.9, 145.5, 1.4, 1.8), (-27.3, 152.5, 1.2, 1.2), (-31.9, 116.0, 1.0, 0.7),
        (-36.9, 174.8, 0.9, 0.4), (61.2, -149.8, 1.2, 0.3), (69.3, 88.2, 1.2, 0.3),
        (61.5, 74.0, 3.0, 1.2), (66.5, 76.5, 3.0, 0.8), (62.0, 129.7, 1.5, 0.2),
    ]
)  # fmt: skip

# Fires: latitude, longitude, radii (degrees), peak (day of year), length (days),
# PgC a year, rise with El Nino.
_FIRES = np.array(
    [
        (9, 15, 4, 22, 350, 45, 0.40, 0.0),
        (-9, 23, 6, 12, 215, 55, 0.55, 0.0),
        (-10, -55, 6, 9, 250, 32, 0.30, 0.25),
        (17, 100, 5, 6, 80, 30, 0.12, 0.15),
        (-2, 111, 4, 10, 270, 32, 0.12, 0.9),
        (-15, 133, 4, 9, 285, 45, 0.12, 0.0),
        (62, 115, 5, 25, 200, 30, 0.13, 0.0),
        (60, -120, 5, 18, 200, 28, 0.08, 0.0),
        (39, -120, 4, 4, 250, 40, 0.02, 0.0),
    ]
)

# Extra fires of the documented cases: first and last day, latitude, longitude, radii, PgC.
_EVENTS = (
    ("2019-08-05", "2019-08-14", -8.0, -60.0, 7.0, 9.0, 0.065),
    ("2020-10-14", "2020-11-06", 38.0, -120.5, 3.0, 3.0, 0.008),
)


@dataclass(frozen=True)
class FluxConfig:
    """Strengths of the fluxes.

    Parameters
    ----------
    gross : PgC/yr
        Gross photosynthesis of the world.
    cloud : float
        Share of the light that full cloud takes from photosynthesis.
    q10 : float
        Rise of respiration for ten degrees.
    """

    gross: float = 125.0
    cloud: float = 0.65
    q10: float = 2.0


class Fluxes:
    """Surface fluxes of CO2 for any month, 2000-2020.

    Parameters
    ----------
    weather
        Whose light, cloud and temperature drive them.
    config
        Strengths.
    """

    def __init__(self, weather: Weather, config: FluxConfig | None = None) -> None:
        self.weather = weather
        self.config = config or FluxConfig()
        self.grid = weather.grid
        with np.load(COEFFICIENTS, allow_pickle=False) as file:
            self._fit = {name: file[name].astype(np.float64) for name in file.files}
        self._build()

    # -- targets -------------------------------------------------------------------------

    def target(self, component: str, year: int, month: int) -> Array:
        """(H,) PgC/yr: monthly flux of the bands; after 2018 the last years' mean anomaly.

        Parameters
        ----------
        component : {'ocean', 'land', 'fossil'}
        year, month
            2000-2020, 1-12.
        """
        cycle = self._fit[f"{component}_cycle"][month - 1]
        months = self._fit[f"{component}_months"].reshape(FITTED_YEARS, 12, -1)
        bands = self._fit[f"{component}_bands"]
        index = max(year - FIRST_YEAR, 0)
        if index < FITTED_YEARS:
            weights = months[index, month - 1]
        else:
            weights = months[-1 if component != "land" else slice(-5, None), month - 1]
            weights = weights.mean(axis=0) if component == "land" else weights
        flux = cycle + weights @ bands
        if component == "fossil" and index >= FITTED_YEARS:
            flux = flux * {2019: 1.004, 2020: 0.955}.get(year, 1.0)
        return flux

    # -- patterns ------------------------------------------------------------------------

    def _build(self) -> None:
        lat, lon = self.grid.lat[:, None], self.grid.lon[None, :]
        land = self.weather.land
        area = self.grid.area
        plants = np.ones(self.grid.shape)
        for row in _DESERTS:
            plants *= 1 - np.clip(row[4], 0, 0.97) * np.clip(1.2 * _bump(lat, lon, *row[:4]), 0, 1)
        for row in _GARDENS:
            plants *= 1 + row[4] * _bump(lat, lon, *row[:4])
        high = np.clip(1 - self.weather.altitude / 4500.0, 0.05, 1)
        self.plants = plants * land * high * (lat > -58)
        middle = (np.arange(12) + 0.5) * YEAR_DAYS / 12
        climate = self.weather.climate(middle).astype(np.float64)
        ground = climate - 0.0065 * self.weather.altitude
        day = np.stack(
            [self.weather.light(m // 1 + (np.arange(8) + 0.5) / 8).mean(axis=0) for m in middle]
        )
        warm = np.clip((ground - 272.0) / 20.0, 0.0, 1.0) ** 1.2
        gross = self.plants * warm * day
        total = (gross * area).sum(axis=(1, 2)).mean() / UMOL_A_PG * SECONDS_A_YEAR
        gross *= self.config.gross / total
        self._gross = gross  # umol m-2 s-1, monthly means
        self._gross_bands = self.bands(gross)
        breath = (self.plants + 1e-4 * land * (lat > -58)) * self.config.q10 ** (
            (ground - 288.0) / 10.0
        )
        share = gross.mean(axis=0) / np.maximum(breath.mean(axis=0), 1e-12)
        self._breath = breath * share
        self._day = day
        self._ground = ground

        cities = 0.004 * self.plants.clip(0, 1)
        for clat, clon, radius, weight in _CITIES:
            cities = cities + weight * _bump(
                lat, lon, clat, clon, radius, radius / np.cos(np.radians(clat))
            )
        self._cities = _share(cities * (0.05 + land), area)
        self._open = (1 - land) + 1e-6

    def bands(self, flux: Array) -> Array:
        """(..., H) PgC/yr of fluxes (..., H, W) in umol m-2 s-1."""
        return (flux * self.grid.area).sum(axis=-1) / UMOL_A_PG * SECONDS_A_YEAR

    def _spread(self, target: Array, pattern: Array) -> Array:
        """umol m-2 s-1: a band's flux (PgC/yr) shared out by a pattern (H, W)."""
        share = _share(pattern, self.grid.area)
        return target[:, None] * share * UMOL_A_PG / SECONDS_A_YEAR

    def _seasonal(self, monthly: Array, t: Array) -> NDArray[np.float32]:
        """(T, H, W): monthly values joined by straight lines between the months' middles."""
        position = (t % YEAR_DAYS) / YEAR_DAYS * 12 - 0.5
        before = np.floor(position).astype(int)
        part = (position - before).astype(np.float32)[:, None, None]
        values = monthly.astype(np.float32)
        return values[before % 12] * (1 - part) + values[(before + 1) % 12] * part

    # -- fluxes ----------------------------------------------------------------------------

    def ocean(self, year: int, month: int, climate: NDArray[np.float32]) -> Array:
        """(H, W) umol m-2 s-1 of the cell, land and sea: exchange with the ocean in a month.

        Parameters
        ----------
        climate : (T, H, W) K
            `Weather.climate` of the month's frames.
        """
        pattern = self._open * open_water(climate)
        return self._spread(self.target("ocean", year, month), pattern)

    def fires(self, frames: Frames) -> NDArray[np.float32]:
        """(T, H, W) umol m-2 s-1: burning in the dry season, on dry days, by day."""
        t = frames.time
        lat, lon = self.grid.lat[:, None], self.grid.lon[None, :]
        doy = t % YEAR_DAYS
        nino = enso(t)
        out = np.zeros((t.size, *self.grid.shape), dtype=np.float32)
        for clat, clon, rlat, rlon, peak, length, size, rise in _FIRES:
            away = (doy - peak + YEAR_DAYS / 2) % YEAR_DAYS - YEAR_DAYS / 2
            when = np.exp(-((away / length) ** 2)) * np.clip(1 + rise * nino, 0.2, None)
            if when.max() < 1e-3:
                continue
            pattern = _bump(lat, lon, clat, clon, rlat, rlon) * self.plants
            pattern *= (
                UMOL_A_PG / (pattern * self.grid.area).sum() / (length * np.sqrt(np.pi) * 86400.0)
            )
            out += (size * when).astype(np.float32)[:, None, None] * pattern.astype(np.float32)
        dry = 2.2 * (1 - frames.cloud) ** 1.5
        return out * dry * (0.55 + 1.6 * frames.light)

    def events(self, t: Array) -> NDArray[np.float32] | None:
        """(T, H, W) umol m-2 s-1: the documented fires, or None when there are none."""
        lat, lon = self.grid.lat[:, None], self.grid.lon[None, :]
        out = None
        for first, last, clat, clon, rlat, rlon, size in _EVENTS:
            begin, end = days(np.array([first, last], dtype="datetime64[s]"))
            if t[-1] < begin or t[0] > end:
                continue
            phase = np.clip((t - begin) / (end - begin), 0, 1)
            when = np.sin(np.pi * phase) ** 2 * 2 / (end - begin) / 86400.0
            pattern = _bump(lat, lon, clat, clon, rlat, rlon) * self.weather.land
            pattern /= (pattern * self.grid.area).sum()
            flux = size * UMOL_A_PG * when[:, None, None] * pattern
            out = flux.astype(np.float32) if out is None else out + flux.astype(np.float32)
        return out

    def month(self, frames: Frames, year: int, month: int) -> dict[str, NDArray[np.float32]]:
        """Fluxes of a whole month.

        Parameters
        ----------
        frames
            Weather of all frames of the month.
        year, month
            Which month it is.

        Returns
        -------
        dict
            'land' (with fires), 'ocean', 'fossil' -> (T, H, W) umol m-2 s-1. Their monthly band
            sums are `target`, save for the documented events.
        """
        t = frames.time
        c = self.config
        light = frames.light
        response = light / (light + np.float32(0.35))
        shade = 1 - np.float32(c.cloud) * frames.cloud
        ground = frames.climate - 0.0065 * self.weather.altitude.astype(np.float32)
        departure = frames.temperature - ground
        vigour = np.clip(1 + 0.03 * np.minimum(departure, 4.0), 0.4, 1.15)
        uptake = self._seasonal(self._gross / np.maximum(self._day, 0.02), t)
        uptake *= response * shade * vigour
        breath = self._seasonal(self._breath, t) * np.float32(c.q10) ** (departure / 10.0)
        fires = self.fires(frames)

        gross = self._gross_bands[month - 1]
        net = self.target("land", year, month)
        burnt = self.bands(fires.mean(axis=0))
        taken = self.bands(uptake.mean(axis=0))
        given = self.bands(breath.mean(axis=0))
        wanted = gross + net - burnt
        floor = 0.15 * gross
        extra = np.maximum(floor - wanted, 0.0)  # keep respiration positive: grow more instead
        lives = (taken > 1e-6) & (given > 1e-6)
        scale_up = np.where(lives, (gross + extra) / np.maximum(taken, 1e-12), 0.0)
        scale_down = np.where(lives, (wanted + extra) / np.maximum(given, 1e-12), 0.0)
        bare = np.where(lives, 0.0, net - burnt)
        land = (
            breath * scale_down.astype(np.float32)[:, None]
            - uptake * scale_up.astype(np.float32)[:, None]
            + fires
        )
        rest = self._spread(bare, self.plants + 1e-3 * self.weather.land + 1e-7)
        land += rest.astype(np.float32)
        event = self.events(t)
        if event is not None:
            land += event

        ocean = self.ocean(year, month, frames.climate)
        fossil = self._spread(self.target("fossil", year, month), self._cities)
        angle = 2 * np.pi * (t % 1.0)[:, None] + np.radians(self.grid.lon)[None]
        daily = 1 + 0.25 * np.cos(angle - 2 * np.pi * 15 / 24)
        return {
            "land": land.astype(np.float32),
            "ocean": np.broadcast_to(ocean.astype(np.float32), land.shape),
            "fossil": (fossil[None] * daily[:, None, :]).astype(np.float32),
        }


def open_water(climate: NDArray[np.float32]) -> Array:
    """(H, W) 0.05-1: what the cold leaves open of the sea in a month.

    Parameters
    ----------
    climate : (T, H, W) K
        `Weather.climate` of the month's frames.
    """
    mean = climate[:: max(1, len(climate) // 4)].mean(axis=0)
    return np.clip((mean - 268.0) / 6.0, 0.05, 1)


def _share(pattern: Array, area: Array) -> Array:
    """Pattern over its band's area sum, 1/m2; bands without any are spread evenly."""
    total = (pattern * area).sum(axis=1, keepdims=True)
    even = 1.0 / area.sum(axis=1, keepdims=True)
    return np.where(total > 1e-9, pattern / np.maximum(total, 1e-30), even)
