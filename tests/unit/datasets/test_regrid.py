"""From models' grids to a store's: exact where it can be, smooth elsewhere, right at the seam."""

import numpy as np
import pytest

from co2net.datasets.regrid import regridder
from co2net.errors import UserError
from co2net.grid import LatLonGrid

TARGET = LatLonGrid.regular(45, 60)


def smooth(lat, lon):
    """A field without a seam."""
    phi, lam = np.radians(lat), np.radians(lon)
    return 400 + 20 * np.cos(phi) * np.cos(lam - 1) + 10 * np.sin(phi) + 8 * np.cos(phi) ** 2


def wanted():
    return smooth(TARGET.lat[:, None], TARGET.lon[None, :])


def gaussian(count):
    return np.degrees(np.arcsin(np.polynomial.legendre.leggauss(count)[0]))


def rotated(rows, columns):
    """Cell centres of a grid whose pole lies at 40 N 170 E."""
    lat, lon = np.meshgrid(
        -90 + 180 * (np.arange(rows) + 0.5) / rows,
        np.arange(columns) * 360 / columns,
        indexing="ij",
    )
    phi, lam, tilt = np.radians(lat), np.radians(lon), np.radians(50)
    x, y, z = np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)
    x, z = x * np.cos(tilt) + z * np.sin(tilt), z * np.cos(tilt) - x * np.sin(tilt)
    return np.degrees(np.arcsin(z)), np.degrees(np.arctan2(y, x)) % 360


def test_the_same_cells_in_another_order_come_back_exactly():
    lat, lon = TARGET.lat[::-1], TARGET.lon % 360
    field = smooth(lat[:, None], lon[None, :]).astype(np.float32)
    np.testing.assert_allclose(
        regridder(lat, np.sort(lon), TARGET)(field[:, np.argsort(lon)]), wanted(), atol=1e-4
    )


def test_a_gaussian_grid_from_zero_to_360():
    lat, lon = gaussian(64), np.arange(128) * 2.8125
    got = regridder(lat, lon, TARGET)(smooth(lat[:, None], lon[None, :]))
    np.testing.assert_allclose(got, wanted(), atol=0.06)
    # across the seam at 0/360 by hand: 2.8125 west and 0 east of the meridian
    seam = regridder(lat, lon, LatLonGrid(TARGET.lat, np.array([-1.40625, 3.0])))
    field = np.zeros((64, 128))
    field[:, 0], field[:, 127] = 4.0, 8.0
    np.testing.assert_allclose(seam(field)[:, 0], 6.0)


@pytest.mark.parametrize("shape", [(64, 128), (96, 144)])
def test_a_curvilinear_grid_without_a_pole_in_place(shape):
    lat, lon = rotated(*shape)
    regrid = regridder(lat, lon, TARGET)
    error = regrid(smooth(lat, lon)) - wanted()
    assert np.sqrt(np.mean(error**2)) < 0.03
    assert np.abs(error).max() < 0.4
    np.testing.assert_allclose(regrid(np.full((2, 3, *shape), 7.0)), 7.0, rtol=1e-6)


def test_regular_coordinates_written_as_two_dimensions():
    lat, lon = np.meshgrid(gaussian(48), np.arange(96) * 3.75, indexing="ij")
    got = regridder(lat, lon, TARGET)(smooth(lat, lon))
    straight = regridder(lat[:, 0], lon[0], TARGET)(smooth(lat, lon))
    np.testing.assert_allclose(got[2:-2], straight[2:-2], atol=0.02)


@pytest.mark.parametrize(
    ("lat", "lon", "match"),
    [
        (np.linspace(0, 60, 20), np.arange(36) * 10.0, "whole globe"),
        (gaussian(32), np.linspace(0, 180, 30), "whole globe"),
        (gaussian(32) * 3, np.arange(36) * 10.0, "no degrees"),
        (np.full(4, np.nan), np.arange(36) * 10.0, "missing"),
        (np.zeros(100), np.zeros((10, 10)), "shapes"),
        (*np.meshgrid(np.linspace(10, 50, 20), np.linspace(0, 60, 20), indexing="ij"), "without"),
    ],
)
def test_grids_that_cannot_be_used(lat, lon, match):
    with pytest.raises(UserError, match=match):
        regridder(lat, lon, TARGET)
