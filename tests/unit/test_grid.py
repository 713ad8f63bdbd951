"""Grids: areas against the sphere, cells, conventions, interpolation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from co2net.errors import UserError
from co2net.grid import EARTH_RADIUS_M, LatLonGrid, bilinear, great_circle_km, wrap_longitude

SPHERE = 4 * np.pi * EARTH_RADIUS_M**2


def test_carbontracker_grid_has_the_described_centres():
    grid = LatLonGrid.ct()
    assert grid.shape == (90, 120)
    assert (grid.lat[0], grid.lat[-1]) == (-89, 89)
    assert (grid.lon[0], grid.lon[-1]) == (-178.5, 178.5)
    assert grid.cyclic


@given(st.integers(2, 60), st.integers(2, 90))
def test_areas_of_any_regular_grid_fill_the_sphere(nlat, nlon):
    assert LatLonGrid.regular(nlat, nlon).area.sum() == pytest.approx(SPHERE, rel=1e-12)


def test_area_of_one_polar_cell_by_hand():
    cap = 2 * np.pi * EARTH_RADIUS_M**2 * (1 - np.sin(np.radians(88)))
    assert LatLonGrid.ct().area[-1].sum() == pytest.approx(cap, rel=1e-12)


def test_irregular_grid_with_points_on_the_poles_fills_the_sphere():
    lat = np.concatenate([[-90.0], np.arange(-88, 89, 2.0), [90.0]])
    grid = LatLonGrid(lat, LatLonGrid.ct().lon)
    assert grid.area.sum() == pytest.approx(SPHERE, rel=1e-12)


@pytest.mark.parametrize("lon", [np.arange(0, 360, 3.0), np.arange(-180, 180, 3.0)])
@pytest.mark.parametrize("lat", [np.linspace(-89, 89, 90), np.linspace(89, -89, 90)])
def test_any_order_of_coordinates_comes_to_the_same_field(lat, lon):
    field = lat[:, None] + wrap_longitude(lon)[None, :] / 1000
    grid, rows, columns = LatLonGrid.from_coords(lat, lon)
    sorted_field = field[rows][:, columns]
    assert grid.lon[0] == -180
    np.testing.assert_allclose(sorted_field, grid.lat[:, None] + grid.lon[None, :] / 1000)


@pytest.mark.parametrize(
    ("lat", "lon", "cell"),
    [
        (-90, -180, (0, 0)),
        (90, 179.999, (89, 119)),
        (90, 180, (89, 0)),
        (0.5, 0.5, (45, 60)),
        (0.5, 360.5, (45, 60)),
        (19.54, 204.42, (54, 8)),
        (19.54, -155.58, (54, 8)),
    ],
)
def test_cells_of_known_points(lat, lon, cell):
    assert tuple(int(v) for v in LatLonGrid.ct().cell(lat, lon)) == cell


@given(st.floats(-90, 90), st.floats(-720, 720))
def test_a_cell_holds_its_point(lat, lon):
    grid = LatLonGrid.ct()
    row, column = grid.cell(lat, lon)
    assert grid.lat_edges[row] <= lat <= grid.lat_edges[row + 1]
    away = (lon - grid.lon[column] + 180) % 360 - 180
    assert abs(away) <= 1.5 + 1e-9


def test_points_outside_are_refused():
    part = LatLonGrid(np.arange(10, 20.0), np.arange(10, 20.0))
    for lat, lon in ((91, 0), (np.nan, 0), (0, 15)):
        with pytest.raises(UserError, match="outside the grid"):
            part.cell(lat, lon)


def test_descending_latitudes_are_refused_with_the_mend():
    with pytest.raises(UserError, match="from_coords"):
        LatLonGrid(np.array([1.0, 0.0]), np.array([0.0, 1.0]))


def test_land_fraction_of_known_places():
    grid = LatLonGrid.ct()
    land = grid.land_fraction
    places = {"Sahara": (23, 10), "Siberia": (60, 100), "Amazon": (-5, -60), "pole": (-89, 0)}
    assert all(land[grid.cell(*place)] > 0.99 for place in places.values())
    seas = {"Pacific": (0, -150), "Atlantic": (30, -40), "date line": (0, 179.9)}
    assert all(land[grid.cell(*sea)] < 0.01 for sea in seas.values())
    assert (land * grid.weights).mean() == pytest.approx(0.29, abs=0.01)


def test_land_fraction_is_the_same_on_both_halves_of_a_shifted_grid():
    shifted = LatLonGrid(LatLonGrid.ct().lat, np.arange(-180, 180, 3.0))
    share = (shifted.land_fraction * shifted.weights).mean()
    assert share == pytest.approx((LatLonGrid.ct().land_fraction * LatLonGrid.ct().weights).mean())


def test_great_circle_by_hand():
    quarter = np.pi / 2 * EARTH_RADIUS_M / 1000
    assert great_circle_km(0, 0, 0, 90) == pytest.approx(quarter)
    assert great_circle_km(90, 17, 0, -80) == pytest.approx(quarter)
    assert great_circle_km(10, 179, 10, -181) == pytest.approx(0, abs=1e-6)


def test_bilinear_is_exact_for_linear_fields_and_wraps():
    coarse, fine = LatLonGrid.ct(), LatLonGrid.regular(180, 360)
    linear = np.broadcast_to(coarse.lat[:, None], coarse.shape)
    inner = np.abs(fine.lat) < 89
    np.testing.assert_allclose(
        bilinear(linear, coarse, fine)[inner], np.repeat(fine.lat[inner, None], 360, axis=1)
    )
    wave = np.cos(np.radians(coarse.lon))[None, :] * np.ones((90, 1))
    error = bilinear(wave, coarse, fine) - np.cos(np.radians(fine.lon))
    assert np.abs(error).max() < 1e-3  # at the date line as everywhere


def test_bilinear_between_equal_grids_is_the_identity():
    field = np.random.default_rng(0).normal(size=(2, 90, 120))
    grid = LatLonGrid.ct()
    np.testing.assert_allclose(bilinear(field, grid, grid), field)


def test_grids_survive_json_and_compare_by_value():
    grid = LatLonGrid.regular(7, 13)
    again = LatLonGrid.from_dict(grid.to_dict())
    assert again == grid
    assert again.digest == grid.digest
    assert grid != LatLonGrid.regular(7, 14)
