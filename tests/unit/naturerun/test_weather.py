"""The weather is consistent with itself and a pure function of time."""

from __future__ import annotations

import numpy as np
import pytest

from co2net.grid import EARTH_RADIUS_M, LatLonGrid
from co2net.naturerun.transport import LAYERS_PA
from co2net.naturerun.weather import OMEGA, Weather, WeatherConfig, days, enso
from co2net.naturerun.world import month_times


@pytest.fixture(scope="module")
def weather() -> Weather:
    return Weather(LatLonGrid.ct())


@pytest.fixture(scope="module")
def times() -> np.ndarray:
    return days(month_times(2012, 1)[:40])


def test_wind_is_the_gradient_of_the_streamfunction(weather: Weather, times: np.ndarray) -> None:
    t = times[:4]
    frames = weather.frames(t)
    psi = weather.streamfunctions(t)
    surface = psi[:, 0] + psi[:, 2]  # (T, H+1, W) on corners
    east = np.roll(surface, -1, axis=2)
    mean = 0.5 * (surface + east)
    u = -np.diff(mean, axis=1) / (EARTH_RADIUS_M * np.pi / 90)
    u += weather.zonal_wind(t)[:, 0][:, :, None]
    inner = np.abs(weather.grid.lat) < 75
    error = np.sqrt(np.mean((u - frames.u)[:, inner] ** 2))
    assert error < 0.1 * np.std(frames.u[:, inner])


def test_pressure_is_geostrophic(weather: Weather, times: np.ndarray) -> None:
    """Pressure anomalies at sea are density times Coriolis parameter times streamfunction."""
    frames = weather.frames(times)
    row = int(np.argmin(np.abs(weather.grid.lat - 51)))
    sea = weather.altitude[row] == 0
    f = 2 * OMEGA * np.sin(np.radians(weather.grid.lat[row]))
    expected = 1.2 * f * (frames.wave + frames.stationary)[:, row][:, sea]
    found = frames.pressure[:, row][:, sea]
    assert np.corrcoef(expected.ravel(), found.ravel())[0, 1] > 0.99


def test_warm_air_comes_from_the_equator(weather: Weather, times: np.ndarray) -> None:
    frames = weather.frames(times)
    sea = (weather.land == 0) & (weather.grid.lat[:, None] > 40) & (weather.grid.lat[:, None] < 60)
    departure = (frames.temperature - frames.climate)[:, sea]
    assert np.corrcoef(departure.ravel(), frames.v[:, sea].ravel())[0, 1] > 0.7


def test_overturning_carries_no_air(weather: Weather, times: np.ndarray) -> None:
    wind = weather.meridional_wind(times, weather.grid.lat_edges)
    net = np.einsum("tlh,l->th", wind, np.array(LAYERS_PA))
    assert np.abs(net).max() < 1e-8 * np.abs(wind).max() * sum(LAYERS_PA)


def test_values_are_those_of_the_earth(weather: Weather) -> None:
    t = days(np.concatenate([month_times(2005, 1)[::9], month_times(2005, 7)[::9]]))
    frames = weather.frames(t)
    assert frames.temperature.min() > 185
    assert frames.temperature.max() < 325
    assert 45000 < frames.pressure.min() < frames.pressure.max() < 107000
    assert frames.humidity.min() >= 0
    assert frames.humidity.max() < 0.035
    assert np.hypot(frames.u, frames.v).max() < 50
    assert frames.cloud.min() >= 0
    assert frames.cloud.max() <= 1
    assert np.all(frames.height > weather.altitude.astype(np.float32))


def test_the_sun_rises_in_the_east(weather: Weather) -> None:
    t = days(np.array(["2010-03-21T01:30", "2010-03-21T10:30"], dtype="datetime64[s]"))
    light = weather.light(t)[:, 45]
    west_of_date_line = np.argmin(np.abs(weather.grid.lon - 150))
    greenwich = np.argmin(np.abs(weather.grid.lon))
    assert light[0, west_of_date_line] > 0.8
    assert light[0, greenwich] == 0
    assert light[1, greenwich] > 0.8
    mean = (weather.light(t) * weather.grid.weights).mean()
    assert mean == pytest.approx(0.25, abs=0.01)


def test_a_frame_does_not_depend_on_its_batch(weather: Weather, times: np.ndarray) -> None:
    many, one = weather.frames(times), weather.frames(times[7:8])
    for name in ("u", "v", "pressure", "temperature", "humidity", "cloud"):
        np.testing.assert_allclose(
            getattr(many, name)[7:8], getattr(one, name), rtol=2e-5, atol=1e-4
        )


def test_seed_makes_another_weather(times: np.ndarray) -> None:
    grid = LatLonGrid.ct()
    same, other = (Weather(grid, WeatherConfig(seed=seed)) for seed in (7, 8))
    reference = Weather(grid)
    assert np.array_equal(same.frames(times[:2]).u, reference.frames(times[:2]).u)
    assert not np.allclose(other.frames(times[:2]).u, reference.frames(times[:2]).u)


def test_el_nino_of_2015_stands_out() -> None:
    index = enso(days(np.array(["2015-12-01", "2010-12-01"], dtype="datetime64[s]")))
    assert index[0] > 2
    assert index[1] < -1
