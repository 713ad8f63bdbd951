"""Many frames at once: against xarray and against what can be said by hand."""

import numpy as np
import pytest
import xarray as xr

from co2net import diagnostics
from co2net.errors import UserError
from co2net.inference import Engine
from co2net.layers import combine, ingredients, nice_limits
from tests.browser.server import Waves
from tests.synthetic import SyntheticSource


@pytest.fixture(scope="module")
def engine():
    source = SyntheticSource(start="2002-01-01", end="2002-01-20")
    return Engine(source, models=[Waves("vit", 1.5, source.grid)])


def test_zonal_means_are_those_of_xarray(engine):
    grid, times = engine.grid, engine.source.time[4:90]
    mask = np.clip(np.linspace(-0.5, 1.5, grid.lon.size), 0, 1)[None, :] * (grid.lat > 0)[:, None]
    fields = xr.DataArray(
        engine.fields("truth", times),
        coords={"time": times, "lat": grid.lat, "lon": grid.lon},
        dims=("time", "lat", "lon"),
    )
    weights = xr.DataArray(mask, coords={"lat": grid.lat, "lon": grid.lon}, dims=("lat", "lon"))
    theirs = fields.weighted(weights).mean("lon").values
    ours = diagnostics.hovmoller(engine, "truth", times, mask)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert np.isnan(ours[:, grid.lat < 0]).all()


def test_what_cannot_be_had_is_left_open(engine):
    told = []
    means = diagnostics.hovmoller(
        engine, "diff:vit", engine.source.time[:20], progress=lambda *a: told.append(a)
    )
    assert np.isnan(means[:7]).all()
    np.testing.assert_allclose(means[7:], 0, atol=0.01)
    assert told[-1][0] == 1.0


def test_a_picture_averages_and_keeps_its_corners():
    values = np.arange(12.0).reshape(4, 3)
    same = diagnostics.image(values, 4, 3)
    np.testing.assert_allclose(same, values.T)
    small = diagnostics.image(np.repeat(np.repeat(values, 10, 0), 10, 1), 4, 3)
    np.testing.assert_allclose(small, values.T)


def test_every_point_is_counted_in_its_pixel():
    x, y = np.array([0.1, 0.1, 0.9, 5.0]), np.array([0.1, 0.1, 0.4, 0.5])
    counts = diagnostics.density(x, y, (0.0, 1.0), 2)
    np.testing.assert_array_equal(counts, [[2, 1], [0, 0]])
    with pytest.raises(UserError, match="limits"):
        diagnostics.density(x, y, (1.0, 1.0), 2)


def test_hexagons_are_alike_and_lose_no_point():
    cells = diagnostics.hexagons(240, 20)
    _, sizes = np.unique(cells[30:-30, 30:-30], return_counts=True)
    area = (240 / 20) ** 2 * np.sqrt(0.75)
    assert abs(np.median(sizes) - area) < 0.08 * area
    counts = np.random.default_rng(1).poisson(0.2, (240, 240))
    pooled = diagnostics.hexbin(counts, 20)
    _, first = np.unique(cells, return_index=True)
    assert pooled.ravel()[first].sum() == counts.sum()


def test_a_histogram_is_a_share_of_the_area():
    values, weights = np.array([[1.0, 1.0, 3.0]]), np.array([[1.0, 2.0, 1.0]])
    found = diagnostics.histogram(values, weights, np.array([0.0, 2.0, 4.0]))
    np.testing.assert_allclose(found, [0.75 / 2, 0.25 / 2])


def test_layers_say_what_they_are_made_of():
    assert ingredients("anom:vit") == ("vit", "climatology")
    assert ingredients("std:a,b,c") == ("a", "b", "c")
    with pytest.raises(UserError, match="two"):
        ingredients("std:a")
    np.testing.assert_allclose(combine("std:a,b", [np.array([1.0]), np.array([4.0])]), 1.5)
    assert nice_limits(361.3, 383.9) == (360.0, 385.0)
