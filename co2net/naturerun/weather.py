"""The weather of the simulated world: an explicit function of time.

A few hundred travelling waves, the mean circulation and its seasons, monsoons, stationary highs
and lows, blocks, and the day's heating of the land give the wind, the pressure, the temperature,
the humidity, the cloud and the mixing of the boundary layer. All derive from the same waves: the
wind is the gradient of a streamfunction, pressure is in geostrophic balance with it, warm air
comes with wind from the equator, cloud and moisture with low pressure and poleward wind. A frame
is never stored: a batch of frames is a few matrix products.

What a network sees of it are the variables of the store; what drives the CO2 are the same fields.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from co2net.grid import EARTH_RADIUS_M, LatLonGrid
from co2net.naturerun.transport import GRAVITY, LAYERS_PA

Array = NDArray[np.float32]
EPOCH = np.datetime64("2000-01-01T00:00:00", "s")
YEAR_DAYS = 365.25
OMEGA = 7.2921e-5
DRY_AIR_GAS_CONSTANT = 287.05
AIR_DENSITY = 1.2
LAYERS = len(LAYERS_PA)

STREAM_SHAPE = np.array(
    # wave in phase, wave in quadrature (westward tilt with height), stationary patterns
    [
        [1.00, 0.00, 1.00],
        [1.00, -0.05, 1.00],
        [0.90, -0.12, 0.80],
        [0.55, -0.25, 0.30],
        [0.40, -0.40, -0.30],
    ]
)
"""(L, 3): share of the three streamfunctions in each layer."""

_SURFACE_SHARE = np.array([1.0, 1.1, 1.0, 0.6, 0.2])
_JET_SHARE = np.array([0.0, 0.05, 0.2, 0.55, 1.0])
_HADLEY_SHARE = np.array([1.0, 1.0, 0.8, 0.0, 0.0])
_HADLEY_SHARE[4] = -float(np.dot(_HADLEY_SHARE, LAYERS_PA)) / LAYERS_PA[4]

# Stationary highs and lows: latitude, longitude, radii in latitude and longitude (degrees),
# streamfunction in winter (January) and summer (July) of the calendar (1e6 m2/s).
# Positive turns clockwise: a high in the north, a low in the south.
_PATTERNS = np.array(
    [
        (50, 95, 16, 34, 9.0, -4.5),  # Siberian high, continental low in summer
        (50, 180, 13, 30, -9.0, 1.0),  # Aleutian low
        (61, -30, 11, 26, -8.0, -1.5),  # Icelandic low
        (36, -150, 12, 28, 2.0, 8.0),  # North Pacific high
        (34, -38, 11, 27, 3.0, 7.5),  # Azores high
        (42, -103, 12, 18, 3.0, -3.0),  # North America: cold high, warm low
        (25, 78, 12, 26, 1.5, -8.0),  # south Asian monsoon
        (30, 112, 10, 16, 3.0, -3.0),  # east Asian monsoon
        (12, 5, 9, 22, 1.0, -3.0),  # west African monsoon
        (-30, -95, 12, 28, -7.0, -6.0),  # south-eastern Pacific high
        (-29, -10, 11, 24, -6.0, -6.0),  # South Atlantic high
        (-31, 80, 12, 30, -6.0, -7.0),  # South Indian high
        (-23, 130, 10, 18, 4.5, -3.5),  # Australia
        (-20, -58, 10, 14, 4.0, -1.5),  # South America
        (-18, 24, 9, 13, 3.5, -2.5),  # southern Africa
        (34, 90, 10, 24, -3.0, 3.0),  # wake of Tibet
        (55, -85, 10, 22, -5.0, -1.5),  # wake of the Rockies
        (-62, -110, 10, 45, 2.5, 3.0),  # Amundsen Sea low
    ],
    dtype=np.float64,
)

# Episodes: first and last day, latitude, longitude, radii (degrees), streamfunction (1e6 m2/s).
_EPISODES = (
    ("2019-08-05", "2019-08-14", -8.0, -60.0, 10.0, 13.0, -4.0),
    ("2020-10-14", "2020-10-17", 38.0, -119.0, 8.0, 10.0, 5.0),
    ("2020-10-20", "2020-10-23", 38.0, -119.0, 8.0, 10.0, 5.0),
    ("2020-10-26", "2020-10-31", 37.0, -119.0, 8.0, 10.0, 6.0),
    ("2020-06-05", "2020-06-30", 61.0, 100.0, 13.0, 30.0, -13.0),
)

# El Nino index by the middle of its events (years), after NOAA's Oceanic Nino Index.
_ENSO = (
    (2000.0, 0.55, -1.4),
    (2001.0, 0.35, -0.6),
    (2002.9, 0.40, 1.2),
    (2004.9, 0.35, 0.7),
    (2006.9, 0.30, 0.9),
    (2008.0, 0.40, -1.5),
    (2009.95, 0.35, 1.5),
    (2010.9, 0.45, -1.6),
    (2011.95, 0.35, -1.0),
    (2015.9, 0.55, 2.5),
    (2016.95, 0.25, -0.6),
    (2017.95, 0.30, -0.9),
    (2019.0, 0.40, 0.8),
    (2020.95, 0.40, -1.2),
)

# Mountains: latitude, longitude, radii (degrees), height (m).
_MOUNTAINS = np.array(
    [
        (33, 88, 5, 12, 4800),
        (36, 72, 3, 5, 2800),
        (48, 92, 4, 10, 1500),
        (55, 105, 6, 14, 700),
        (65, 130, 6, 12, 700),
        (40, -110, 7, 7, 1900),
        (53, -120, 6, 5, 1100),
        (63, -145, 4, 9, 900),
        (20, -101, 5, 4, 1700),
        (-15, -70, 7, 3, 3300),
        (-30, -69, 8, 2.5, 2400),
        (3, -75, 5, 2.5, 1500),
        (-18, -48, 8, 6, 600),
        (72, -40, 8, 14, 2700),
        (9, 39, 4, 4, 1900),
        (-3, 33, 8, 6, 1100),
        (-27, 26, 6, 6, 1200),
        (34, 53, 4, 8, 1200),
        (39, 36, 3, 6, 1100),
        (46, 10, 2, 5, 1000),
        (62, 10, 4, 4, 500),
        (-82, 75, 14, 70, 2900),
        (-80, -100, 8, 35, 1300),
        (-25, 125, 8, 14, 350),
        (23, 45, 7, 8, 700),
        (22, 8, 5, 9, 600),
    ],
    dtype=np.float64,
)


@dataclass(frozen=True)
class WeatherConfig:
    """Strengths of the weather.

    Parameters
    ----------
    seed : int
        Draws the phases, speeds and places of the waves.
    synoptic, tropical, slow : m/s
        Root-mean-square meridional surface wind of mid-latitude, easterly and slow waves.
    subtropical, polar : m/s
        The same of waves about 28 degrees and of flow across the poles.
    zonal : float
        Factor on the mean surface wind.
    jet : m/s
        Wind of the upper jets.
    hadley : m/s
        Low-level wind of the mean overturning.
    """

    seed: int = 7
    synoptic: float = 6.3
    tropical: float = 1.2
    slow: float = 2.5
    subtropical: float = 8.5
    polar: float = 5.0
    zonal: float = 1.0
    jet: float = 30.0
    hadley: float = 3.5


@dataclass
class Frames:
    """Weather of a batch of T frames; arrays (T, H, W) float32 on cell centres.

    Parameters
    ----------
    u, v : m/s
        Surface wind.
    wave, stationary : m2/s
        Streamfunctions of travelling waves and of patterns at the surface.
    pressure : Pa
        At the ground.
    sea_level_anomaly : Pa
        Pressure anomaly of waves and patterns.
    temperature, climate : K
        Air at the ground with waves and the day; its mean for the season.
    humidity : kg/kg
    cloud : 0..1
    light : 0..1
        Cosine of the sun's zenith angle, averaged over the frame.
    """

    time: NDArray[np.float64]
    u: Array
    v: Array
    wave: Array
    stationary: Array
    pressure: Array
    temperature: Array
    climate: Array
    humidity: Array
    cloud: Array
    light: Array
    subsidence: Array
    height: Array = field(repr=False)


def days(time: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """Days since 2000-01-01 of datetime64 values."""
    return (np.asarray(time).astype("datetime64[s]") - EPOCH).astype(np.float64) / 86400.0


def year_phase(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angle of the season: zero at the start of January, full turns a year."""
    return 2 * np.pi * t / YEAR_DAYS


def enso(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Index of El Nino (positive) and La Nina, about -1.6 to 2.5."""
    year = 2000.0 + np.asarray(t) / YEAR_DAYS
    index = np.zeros_like(year)
    for middle, width, size in _ENSO:
        index = index + size * np.exp(-(((year - middle) / width) ** 2))
    return index


class Weather:
    """The weather as a function of time.

    Parameters
    ----------
    grid
        Cells on which fields are wanted.
    config
        Strengths.
    """

    def __init__(self, grid: LatLonGrid, config: WeatherConfig | None = None) -> None:
        self.grid = grid
        self.config = config or WeatherConfig()
        self.land = grid.land_fraction
        self._build_waves()
        self._build_patterns()

    # -- what does not change with time -------------------------------------------------

    @cached_property
    def altitude(self) -> NDArray[np.float64]:
        """(H, W) m: smooth analytic mountains over land."""
        lat, lon = self.grid.lat[:, None], self.grid.lon[None, :]
        z = np.full(self.grid.shape, 150.0)
        for row in _MOUNTAINS:
            z = z + row[4] * _bump(lat, lon, *row[:4])
        return z * self.land

    @cached_property
    def continentality(self) -> NDArray[np.float64]:
        """(H, W) 0..1: land, smoothed over some hundred km."""
        smooth = self.land.copy()
        for _ in range(3):
            smooth = (np.roll(smooth, 1, 1) + smooth + np.roll(smooth, -1, 1)) / 3
            padded = np.pad(smooth, ((1, 1), (0, 0)), mode="edge")
            smooth = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
        return self.land * (0.35 + 0.65 * smooth)

    def _build_waves(self) -> None:
        c = self.config
        rng = np.random.default_rng(c.seed)
        number, speed, phase, centre, width, wind, kind = ([] for _ in range(7))

        def add(k: int, rate: float, lat: float, w: float, rms: float, family: int) -> None:
            number.append(k)
            speed.append(rate)  # degrees of longitude a day
            phase.append(rng.uniform(0, 2 * np.pi))
            centre.append(lat)
            width.append(w)
            wind.append(rms)
            kind.append(family)

        spectrum = np.array([np.exp(-(((k - 6) / 4.0) ** 2)) + 0.12 for k in range(1, 16)])
        spectrum[:3] *= 0.7
        share = c.synoptic * np.sqrt(spectrum / spectrum.sum() / 8)
        for side in (1, -1):
            for k in range(1, 16):
                for _ in range(8):
                    if k <= 3:
                        rate = rng.uniform(4, 9) * rng.choice((-1, 1))
                    else:
                        rate = np.clip(rng.normal(9.5 if k < 10 else 11.0, 2.5), 4.0, 16.0)
                    lat = 52 + rng.normal(0, 8) if side > 0 else -50 + rng.normal(0, 7)
                    w = rng.uniform(11, 16) if k < 9 else rng.uniform(7, 10)
                    add(k, rate, lat, w, share[k - 1] * np.sqrt(2), side)
            for k in range(1, 5):  # slow: dry and wet spells of weeks
                for _ in range(5):
                    rate = 360.0 / k / rng.uniform(20, 60) * rng.choice((-1, 1))
                    lat = side * rng.uniform(35, 65)
                    rms = c.slow * np.sqrt(2 / 20)
                    add(k, rate, lat, rng.uniform(10, 16), rms, side)
            for k in range(3, 9):
                for _ in range(4):
                    rms = c.subtropical * np.sqrt(2 / 24) * (1.0 if side > 0 else 0.5)
                    lat = side * rng.uniform(18, 32)
                    add(k, rng.uniform(3, 8), lat, rng.uniform(8, 12), rms, 0)
            for k in (1, 1, 1, 2, 2, 3):  # centred on the pole, the air crosses it
                rate = rng.uniform(12, 30) / k * rng.choice((-1, 1))
                add(k, rate, side * 90.0, 25.0, c.polar * np.sqrt(2 / 6), 0)
        for k in range(2, 11):
            for _ in range(6):
                lat = rng.uniform(-12, 20)
                rms = c.tropical * np.sqrt(2 / 54)
                add(k, rng.normal(-5, 1.5), lat, rng.uniform(7, 11), rms, 0)
        self._k = np.array(number)
        order = np.argsort(self._k, kind="stable")
        self._k = self._k[order]
        pick = [np.array(x)[order] for x in (speed, phase, centre, width, wind, kind)]
        rate, self._phase, centre_, width_, wind_, self._kind = pick
        self._rate = np.radians(rate) * self._k  # radians a day
        at_pole = np.abs(centre_) == 90.0
        height = np.where(at_pole, 1.0, np.cos(np.radians(centre_)))
        amplitude = 1.3 * wind_ * EARTH_RADIUS_M * height / self._k
        power = np.where(at_pole, self._k, 2.0)

        def envelope(lat: NDArray[np.float64]) -> NDArray[np.float64]:
            shape = np.exp(-(((lat[None] - centre_[:, None]) / width_[:, None]) ** 2))
            cosine = np.cos(np.radians(np.clip(lat, -90.0, 90.0)))[None]
            return amplitude[:, None] * shape * (cosine / height[:, None]) ** power[:, None]

        mid = self.grid.lat
        edge = self.grid.lat_edges
        h = 0.05
        slope = (envelope(mid + h) - envelope(mid - h)) / np.radians(2 * h)
        bands = np.concatenate([envelope(edge), envelope(mid), slope], axis=1)
        bands[:, [0, edge.size - 1]] = 0.0  # nothing moves at the poles
        self._bands = bands
        order_k = np.arange(self._k.max() + 1)
        corner = np.radians(self.grid.lon_edges[:-1])[None] * order_k[:, None]
        centre_lon = np.radians(self.grid.lon)[None] * order_k[:, None]

        def basis(angle: NDArray[np.float64]) -> tuple[Array, Array]:
            real = np.concatenate([np.cos(angle), -np.sin(angle)]).astype(np.float32)
            imag = np.concatenate([np.sin(angle), np.cos(angle)]).astype(np.float32)
            return real, imag

        self._corner, self._middle = basis(corner), basis(centre_lon)
        # d/dlambda of Re(F e^{ik l}) = Re(ik F e^{ik l}) = -Im(F e^{ikl}) k
        twice = np.concatenate([order_k, order_k])[:, None]
        self._middle_dlam = (-twice * self._middle[1]).astype(np.float32)

    def _build_patterns(self) -> None:
        rows = [*_PATTERNS[:, :4], *(np.array(e[2:6]) for e in _EPISODES)]
        mid, lon = self.grid.lat[:, None], self.grid.lon[None, :]
        edge, corner = self.grid.lat_edges[:, None], self.grid.lon_edges[None, :-1]
        h = 0.05

        def taper(lat: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.clip(np.cos(np.radians(lat)) * 3.0, 0.0, 1.0)

        def field_of(row: NDArray[np.float64], lat: NDArray[np.float64], lon_: NDArray) -> NDArray:
            return 1e6 * _bump(lat, lon_, *row) * taper(lat)

        def stack(function: object) -> Array:
            return np.stack([function(row).astype(np.float32).ravel() for row in rows])  # type: ignore[operator]

        self._pattern_corner = stack(lambda r: field_of(r, edge, corner))
        self._pattern = stack(lambda r: field_of(r, mid, lon))
        a, cos = EARTH_RADIUS_M, np.cos(np.radians(mid))
        self._pattern_u = stack(
            lambda r: (
                -(field_of(r, mid + h, lon) - field_of(r, mid - h, lon)) / (a * np.radians(2 * h))
            )
        )
        self._pattern_v = stack(
            lambda r: (
                (field_of(r, mid, lon + h) - field_of(r, mid, lon - h))
                / (a * cos * np.radians(2 * h))
            )
        )

    # -- mean circulation -----------------------------------------------------------------

    def zonal_wind(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """(T, L, H) m/s: mean zonal wind of the layers."""
        season = np.cos(year_phase(t) - np.radians(20.0))[:, None]  # 1 in northern winter
        lat = self.grid.lat[None]
        shift = -5.0 * season
        surface = self.config.zonal * (
            -6.0 * np.exp(-(((lat - 14 - shift) / 10.0) ** 2))
            - 6.5 * np.exp(-(((lat + 15 - shift) / 10.5) ** 2))
            + 4.5 * (1 + 0.3 * season) * np.exp(-(((lat - 47 - shift / 2) / 12.0) ** 2))
            + 8.5 * np.exp(-(((lat + 50 - shift / 2) / 13.0) ** 2))
            - 1.5 * np.exp(-(((np.abs(lat) - 76) / 8.0) ** 2))
        )
        jet = self.config.jet * (
            (1 + 0.35 * season) * np.exp(-(((lat - 38 - shift) / 14.0) ** 2))
            + (1 - 0.15 * season) * np.exp(-(((lat + 42 - shift) / 15.0) ** 2))
        ) - 4.0 * np.exp(-((lat / 12.0) ** 2))
        taper = np.cos(np.radians(lat)) ** 0.5
        return (
            _SURFACE_SHARE[None, :, None] * (surface * taper)[:, None]
            + _JET_SHARE[None, :, None] * (jet * taper)[:, None]
        )

    def meridional_wind(
        self, t: NDArray[np.float64], lat: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """(T, L, n) m/s: mean overturning at latitudes (degrees); no net flux of air."""
        season = np.cos(year_phase(t) - np.radians(25.0))[:, None]
        lat = lat[None]
        north = np.exp(-(((lat - 15) / 9.0) ** 2)) * (0.9 + 0.4 * season)
        south = np.exp(-(((lat + 15) / 9.0) ** 2)) * (0.8 - 0.6 * season)
        cross = np.exp(-((lat / 8.0) ** 2)) * season
        ferrel = 0.25 * (np.exp(-(((lat - 47) / 9.0) ** 2)) - np.exp(-(((lat + 47) / 9.0) ** 2)))
        low = self.config.hadley * (-north + south - 0.8 * cross + ferrel)
        return _HADLEY_SHARE[None, :, None] * low[:, None]

    def climate(
        self, t: NDArray[np.float64], continentality: NDArray[np.float64] | None = None
    ) -> NDArray[np.float32]:
        """(T, H, W) K: mean air temperature at sea level for the season.

        ``continentality`` (H, W) is that of the cells by default; zeros give the open sea's.
        """
        lat = self.grid.lat[:, None]
        sine = np.sin(np.radians(lat))
        mean = 300.0 - 37.0 * sine**2 - 12.0 * sine**6 - 14.0 * np.clip(-sine, 0, 1) ** 8
        size = np.abs(sine) ** 1.2
        land = self.continentality if continentality is None else continentality
        amplitude = np.sign(sine) * size * (4.0 + 17.0 * land)
        late = np.radians(205.0 + 20.0 * (1 - land)) * 360.0 / YEAR_DAYS  # hottest, day of year
        phase = year_phase(t)
        cosine = np.cos(phase).astype(np.float32)[:, None, None]
        sinus = np.sin(phase).astype(np.float32)[:, None, None]
        return (
            mean.astype(np.float32)
            + (amplitude * np.cos(late)).astype(np.float32) * cosine
            + (amplitude * np.sin(late)).astype(np.float32) * sinus
        )

    # -- waves and patterns -----------------------------------------------------------------

    def _spectrum(self, t: NDArray[np.float64]) -> Array:
        """(2K, T, bands): Fourier coefficients along longitude, real parts then imaginary."""
        season = np.cos(year_phase(t) - np.radians(15.0))
        strength = np.where(
            self._kind[None] == 0,
            1.0,
            1.0 + np.where(self._kind == 1, 0.4, -0.12)[None] * season[:, None],
        )
        angle = self._phase[None] - self._rate[None] * t[:, None]
        real, imag = strength * np.cos(angle), strength * np.sin(angle)
        out = np.zeros((2, self._k.max() + 1, t.size, self._bands.shape[1]), dtype=np.float32)
        for k in np.unique(self._k):
            member = self._k == k
            out[0, k] = real[:, member] @ self._bands[member]
            out[1, k] = imag[:, member] @ self._bands[member]
        return out.reshape(-1, *out.shape[2:])

    def _pattern_weights(self, t: NDArray[np.float64]) -> Array:
        """(T, patterns): strength of the stationary patterns and episodes."""
        season = np.cos(year_phase(t) - np.radians(15.0))[:, None]
        winter, summer = _PATTERNS[:, 4][None], _PATTERNS[:, 5][None]
        weights = [(winter + summer) / 2 + (winter - summer) / 2 * season]
        for first, last, *_, size in _EPISODES:
            begin, end = days(np.array([first, last], dtype="datetime64[s]"))
            rise = 0.5 * (np.tanh((t - begin) / 1.0) - np.tanh((t - end) / 1.0))
            weights.append((size * rise)[:, None])
        return np.concatenate(weights, axis=1).astype(np.float32)

    def streamfunctions(self, t: NDArray[np.float64]) -> Array:
        """(T, 3, H+1, W) m2/s on south-western corners: waves, quadrature, patterns."""
        rows, columns = self.grid.shape
        spectrum = self._spectrum(t)[:, :, : rows + 1]
        out = np.empty((t.size, 3, rows + 1, columns), dtype=np.float32)
        for part in (0, 1):
            out[:, part] = np.einsum("kth,kw->thw", spectrum, self._corner[part], optimize=True)
        out[:, 2] = (self._pattern_weights(t) @ self._pattern_corner).reshape(-1, rows + 1, columns)
        return out

    def light(self, t: NDArray[np.float64]) -> Array:
        """(T, H, W): cosine of the zenith angle, zero at night, averaged over three hours."""
        lat = np.radians(self.grid.lat)[None, :, None]
        declination = np.radians(-23.44) * np.cos(2 * np.pi * (t + 10.0) / YEAR_DAYS)
        total = np.zeros((t.size, *self.grid.shape))
        for offset in (-1.0, 0.0, 1.0):
            hour = 2 * np.pi * ((t + offset / 24.0)[:, None] % 1.0 - 0.5)
            hour = hour + np.radians(self.grid.lon)[None]
            cosine = (
                np.sin(lat) * np.sin(declination)[:, None, None]
                + (np.cos(lat) * np.cos(declination)[:, None, None]) * np.cos(hour)[:, None, :]
            )
            total = total + np.clip(cosine, 0.0, None)
        return (total / 3.0).astype(np.float32)

    def frames(self, t: NDArray[np.float64]) -> Frames:
        """Weather at times.

        Parameters
        ----------
        t : (T,)
            Days since 2000-01-01 00:00 UTC.
        """
        t = np.atleast_1d(np.asarray(t, dtype=np.float64))
        rows, columns = self.grid.shape
        spectrum = self._spectrum(t)
        middle = spectrum[:, :, rows + 1 : 2 * rows + 1]
        slope = spectrum[:, :, 2 * rows + 1 :]
        a = EARTH_RADIUS_M
        lat = np.radians(self.grid.lat)[:, None]
        cos = np.cos(lat).astype(np.float32)

        def synthesize(part: Array, basis: Array) -> Array:
            return np.einsum("kth,kw->thw", part, basis, optimize=True)

        wave = synthesize(middle, self._middle[0])
        wave_u = synthesize(slope, self._middle[0]) / np.float32(-a)
        wave_v = synthesize(middle, self._middle_dlam) / (np.float32(a) * cos)
        weights = self._pattern_weights(t)
        shape = (t.size, rows, columns)
        stationary = (weights @ self._pattern).reshape(shape)
        zonal = self.zonal_wind(t)[:, 0].astype(np.float32)
        overturning = self.meridional_wind(t, self.grid.lat)[:, 0].astype(np.float32)
        u = wave_u + (weights @ self._pattern_u).reshape(shape) + zonal[:, :, None]
        v = wave_v + (weights @ self._pattern_v).reshape(shape) + overturning[:, :, None]

        coriolis = (2 * OMEGA * np.sin(lat)).astype(np.float32)
        anomaly = AIR_DENSITY * coriolis * (wave + stationary)
        side = np.tanh(lat / np.radians(10.0)).astype(np.float32)
        # pressure tendency in units of a moderate low; works in the tropics, where f vanishes
        low = -side * (wave + np.float32(0.5) * stationary) / np.float32(4.5e6)
        poleward = side * wave_v / np.float32(8.0)
        cloud = _sigmoid(1.1 * low + 0.8 * poleward + self._cloudiness(t))
        subsidence = np.clip(-low, 0.0, 2.0)

        climate = self.climate(t)
        z = self.altitude.astype(np.float32)
        light = self.light(t)
        land = self.land.astype(np.float32)
        gradient = self._temperature_gradient(t)[:, :, None]
        reach = np.float32(7.0)  # degrees of latitude that air comes from
        origin = reach * np.tanh(1.4 * wave_v * np.float32(0.55) / reach)
        local = self._local_angle(t)
        heat = _daily_heating(light, land, cloud, local)
        nino = enso(t).astype(np.float32)[:, None, None]
        warm = np.exp(-((self.grid.lat[:, None] / 15.0) ** 2)).astype(np.float32) * 0.5 * nino
        temperature = climate - np.float32(0.0065) * z - gradient * origin + heat + warm
        belt = self._belt(t).astype(np.float32)[:, :, None]
        sea_level = 101100.0 + belt + anomaly
        mean_t = np.maximum(temperature + np.float32(0.00325) * z, 210.0)
        pressure = sea_level * np.exp(-np.float32(GRAVITY / DRY_AIR_GAS_CONSTANT) * z / mean_t)
        relative = (0.72 - 0.27 * land) + (0.22 + 0.23 * land) * cloud
        saturation = 610.94 * np.exp(
            17.625 * (temperature - 273.15) / np.maximum(temperature - 30.11, 20.0)
        )
        humidity = relative * 0.622 * saturation / pressure
        height = z + DRY_AIR_GAS_CONSTANT / GRAVITY * temperature * np.log(
            pressure / (pressure - LAYERS_PA[0])
        )
        return Frames(
            t, u, v, wave, stationary, pressure, temperature, climate, humidity, cloud, light,
            subsidence, height,
        )  # fmt: skip

    def _local_angle(self, t: NDArray[np.float64]) -> Array:
        """(T, 1, W): local solar time as an angle, zero at midnight."""
        angle = 2 * np.pi * (t % 1.0)[:, None] + np.radians(self.grid.lon)[None]
        return angle.astype(np.float32)[:, None, :]

    def _cloudiness(self, t: NDArray[np.float64]) -> Array:
        """(T, H, 1): mean state of the cloud: rain belt, dry subtropics, storm tracks."""
        season = np.cos(year_phase(t) - np.radians(25.0))[:, None]
        lat = self.grid.lat[None]
        mean = (
            0.9 * np.exp(-(((lat + 7.0 * season - 2) / 9.0) ** 2))
            - 0.9 * np.exp(-(((np.abs(lat) - 25) / 9.0) ** 2))
            + 0.2 * np.exp(-(((np.abs(lat) - 55) / 12.0) ** 2))
        )
        return mean.astype(np.float32)[:, :, None]

    def _temperature_gradient(self, t: NDArray[np.float64]) -> Array:
        """(T, H) K/degree northward: zonal-mean gradient, larger in winter."""
        season = np.cos(year_phase(t) - np.radians(20.0))[:, None]
        lat = self.grid.lat[None]
        size = 0.85 * np.sin(np.radians(2 * lat)) * (1 + 0.3 * season * np.sign(lat))
        return -size.astype(np.float32)

    def _belt(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """(T, H) Pa: mean pressure belts, in geostrophic balance poleward of the tropics."""
        season = np.cos(year_phase(t) - np.radians(20.0))[:, None]
        lat = self.grid.lat[None] + 5.0 * season / 2
        return (
            700.0 * np.exp(-(((np.abs(lat) - 31) / 13.0) ** 2))
            - 1300.0 * np.exp(-(((lat - 62) / 14.0) ** 2)) * 0.4
            - 2700.0 * np.exp(-(((lat + 66) / 13.0) ** 2))
        )


def _bump(
    lat: NDArray[np.float64],
    lon: NDArray[np.float64],
    centre_lat: float,
    centre_lon: float,
    radius_lat: float,
    radius_lon: float,
) -> NDArray[np.float64]:
    """A Gaussian hill of height one, cyclic in longitude (degrees)."""
    dlon = (lon - centre_lon + 180.0) % 360.0 - 180.0
    return np.exp(-(((lat - centre_lat) / radius_lat) ** 2) - (dlon / radius_lon) ** 2)


def _sigmoid(x: Array) -> Array:
    return (1.0 / (1.0 + np.exp(-x))).astype(np.float32)


def _daily_heating(light: Array, land: Array, cloud: Array, angle: Array) -> Array:
    """Temperature swing of the day (K): largest over clear land, peak at 14:30 local time."""
    swing = np.cos(angle - np.float32(2 * np.pi * 14.5 / 24))
    return land * (8.0 - 5.5 * cloud) * swing * np.float32(0.75) + land * 2.0 * (light - 0.25)
