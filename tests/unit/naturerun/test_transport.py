"""The transport conserves, keeps constants and signs, and converges."""

from __future__ import annotations

import numpy as np
import pytest

from co2net.grid import EARTH_RADIUS_M, LatLonGrid
from co2net.naturerun.transport import LAYERS_PA, MOLAR_MASS_AIR, Geometry, advance
from co2net.naturerun.weather import STREAM_SHAPE, Weather, days
from co2net.naturerun.world import World, month_times


class Air:
    """One layer or the world's five, with a wind that stays the same."""

    def __init__(self, grid: LatLonGrid, layers: tuple[float, ...]) -> None:
        self.grid = grid
        self.geometry = Geometry.of(grid, layers)
        height, width = grid.shape
        count = len(layers)
        self.psi = np.zeros((1, height + 1, width))
        self.shape = np.ones((count, 1))
        self.zonal = np.zeros((count, height))
        self.meridional = np.zeros((count, height + 1))
        self.exchange = np.zeros((count - 1, height, width))
        self.diffusion = np.zeros(count)
        self.source = np.zeros(grid.shape)
        self.air = np.repeat(self.geometry.air[:, :, None], width, axis=2)

    def advance(self, q: np.ndarray, dt: float, steps: int) -> float:
        g = self.geometry
        return advance(
            q, self.air, self.psi, self.shape, self.zonal, self.meridional, self.exchange,
            self.diffusion, self.source, g.air, g.thickness, g.area, g.cos_edge, g.dphi, g.dlam,
            dt, steps, np.empty(self.grid.shape),
        )  # fmt: skip

    def mass(self, q: np.ndarray) -> float:
        return float((q * self.air).sum())


def stormy() -> Air:
    """The world's layers under waves, overturning, mixing and eddies."""
    air = Air(LatLonGrid.ct(), LAYERS_PA)
    weather = Weather(air.grid)
    t = days(np.array(["2010-01-17T13:30"], dtype="datetime64[s]"))
    air.psi = weather.streamfunctions(t)[0].astype(np.float64)
    air.shape = STREAM_SHAPE
    air.zonal = weather.zonal_wind(t)[0]
    air.meridional = weather.meridional_wind(t, air.grid.lat_edges)[0]
    rng = np.random.default_rng(1)
    air.exchange = rng.uniform(0, 0.1, air.exchange.shape)
    air.diffusion = np.full(5, 2e5)
    return air


def test_constant_field_stays_constant() -> None:
    air = stormy()
    q = np.full((5, 90, 120), 400.0)
    assert air.advance(q, 2700.0, 40) < 1.0
    assert np.abs(q - 400.0).max() < 1e-9


def test_air_returns_and_co2_follows_the_fluxes() -> None:
    air = stormy()
    rng = np.random.default_rng(2)
    q = rng.uniform(0, 500, (5, 90, 120))
    air.source = rng.normal(0, 3, air.grid.shape)
    for _ in range(25):
        before, weight = air.mass(q), air.air.sum()
        air.advance(q, 2700.0, 2)
        added = (air.source * air.grid.area).sum() * MOLAR_MASS_AIR * 5400.0
        assert abs(air.mass(q) - before - added) / before < 1e-12
        assert abs(air.air.sum() / weight - 1) < 1e-12
    assert np.abs(air.air / air.geometry.air[:, :, None] - 1).max() < 1e-12


def test_spikes_stay_positive_and_bounded() -> None:
    air = stormy()
    q = np.zeros((5, 90, 120))
    q[0, 45, 60] = q[3, 89, 7] = q[1, 0, 0] = 1000.0
    air.advance(q, 2700.0, 100)
    assert q.min() >= 0.0
    assert q.max() <= 1000.0


def test_any_exchange_keeps_the_column_bounded() -> None:
    air = Air(LatLonGrid.regular(6, 8), LAYERS_PA)
    air.exchange[:] = 1e3
    q = np.random.default_rng(3).uniform(300, 400, (5, 6, 8))
    mean = air.mass(q) / air.air.sum()
    air.advance(q, 2700.0, 200)
    share = (q * air.air).sum(axis=0) / air.air.sum(axis=0)
    np.testing.assert_allclose(q, np.broadcast_to(share, q.shape), rtol=1e-6)
    assert air.mass(q) / air.air.sum() == pytest.approx(mean, rel=1e-9)


def rotation_error(rows: int, tilt: float) -> float:
    """L2 error of a cosine bell after a twelfth of a turn of solid-body rotation."""
    air = Air(LatLonGrid.regular(rows, rows * 4 // 3), (98300.0,))
    grid = air.grid
    speed = 2 * np.pi * EARTH_RADIUS_M / (12 * 86400.0)
    lat, lon = np.radians(grid.lat_edges)[:, None], np.radians(grid.lon_edges[:-1])[None]
    air.psi[0] = (
        -EARTH_RADIUS_M
        * speed
        * (np.sin(lat) * np.cos(tilt) - np.cos(lon) * np.cos(lat) * np.sin(tilt))
    )
    axis = np.array([-np.sin(tilt), 0.0, np.cos(tilt)])

    def bell(turn: float) -> np.ndarray:
        phi, lam = np.radians(grid.lat)[:, None], np.radians(grid.lon)[None]
        start = np.array([np.cos(0.3), 0.0, np.sin(0.3)])  # on the meridian of Greenwich
        rotated = (
            start * np.cos(turn)
            + np.cross(axis, start) * np.sin(turn)
            + axis * (axis @ start) * (1 - np.cos(turn))
        )
        cosine = (
            np.cos(phi) * np.cos(lam) * rotated[0]
            + np.cos(phi) * np.sin(lam) * rotated[1]
            + np.sin(phi) * rotated[2]
        )
        return np.exp(-((np.arccos(np.clip(cosine, -1, 1)) / 0.35) ** 2))

    q = bell(0.0)[None].copy()
    steps = 2 * rows // 15 * 4
    air.advance(q, 86400.0 / steps, steps)
    exact = bell(2 * np.pi / 12)
    return float(np.sqrt(((q[0] - exact) ** 2 * grid.weights).mean() / (exact**2).mean()))


@pytest.mark.parametrize("tilt", [0.0, 0.8])
def test_solid_body_rotation_converges(tilt: float) -> None:
    coarse, middle, fine = (rotation_error(rows, tilt) for rows in (30, 60, 120))
    assert fine < 0.01
    assert np.log2(coarse / middle) > 1.3
    assert np.log2(middle / fine) > 1.3


def test_no_noise_at_the_poles() -> None:
    world = World()
    state = world.initial_state()
    world.run_month(state, 2000, 1)
    lower = state[1]
    for pole in (lower[:2], lower[-2:]):
        ripple = np.abs(np.diff(pole, n=2, axis=1))  # saw-teeth along longitude
        assert ripple.max() < 0.5
    assert month_times(2000, 1).size == 248
