"""Projections: exact where they can be, whole at the date line and the poles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from co2net.grid import LatLonGrid
from dashboard.maps.projection import (
    PROJECTIONS,
    Azimuthal,
    cell_weights,
    coastline,
    cut_at_date_line,
    format_point,
    projection,
    projections,
)
from dashboard.maps.wind import streaks

BOTH = pytest.mark.parametrize("key", ["robinson", "platecarree"])
ALL = pytest.mark.parametrize("key", PROJECTIONS)


@ALL
@settings(max_examples=60, deadline=None)
@given(
    lon=st.floats(-180, 180, exclude_max=True),
    lat=st.floats(-89.9, 89.9),
    centre=st.tuples(st.floats(-90, 90), st.floats(-180, 180)),
)
def test_inverse_undoes_forward(key, lon, lat, centre):
    chosen = projection(key, centre)
    x, y = chosen.forward(lon, lat)
    near = _cosine(lon, lat, chosen.lon0, chosen.lat0) if isinstance(chosen, Azimuthal) else 1.0
    assert np.isfinite(x) == (near >= -1e-9)
    if near < 1e-3:
        return  # hidden, or so near the edge that the plane has no digits left
    back_lon, back_lat = chosen.inverse(x, y)
    assert back_lat == pytest.approx(lat, abs=1e-5)
    east = (back_lon - lon + 180) % 360 - 180
    assert east * np.cos(np.radians(lat)) == pytest.approx(0, abs=1e-5)


def _cosine(lon, lat, lon0, lat0):
    a, b, turn = np.radians(lat), np.radians(lat0), np.radians(lon - lon0)
    return np.sin(a) * np.sin(b) + np.cos(a) * np.cos(b) * np.cos(turn)


@pytest.mark.parametrize("key", ["mollweide", "north", "south", "orthographic"])
def test_the_other_projections_agree_with_cartopy(key):
    crs = pytest.importorskip("cartopy.crs")
    radius = 1e6
    ball = crs.Globe(semimajor_axis=radius, semiminor_axis=radius, ellipse=None)
    theirs, scale = {
        "mollweide": (crs.Mollweide(globe=ball), 180 / (2 * 2**0.5 * radius)),
        "north": (crs.Stereographic(90, 0, globe=ball), 90 / radius),
        "south": (crs.Stereographic(-90, 0, globe=ball), 90 / radius),
        "orthographic": (crs.Orthographic(100, 40, globe=ball), 180 / radius),
    }[key]
    lon, lat = np.meshgrid(np.linspace(-179, 179, 25), np.linspace(-89, 89, 25))
    x, y = projection(key, (40.0, 100.0)).forward(lon, lat)
    seen = np.isfinite(x)
    assert seen.mean() > 0.4
    points = theirs.transform_points(crs.Geodetic(globe=ball), lon[seen], lat[seen]) * scale
    np.testing.assert_allclose(points[:, 0], x[seen], atol=1e-3)
    np.testing.assert_allclose(points[:, 1], y[seen], atol=1e-3)


@pytest.mark.parametrize("key", ["north", "south", "orthographic"])
def test_lines_end_at_the_edge_of_the_hemisphere(key):
    xs, ys = projections()[key].lines(coastline())
    assert len(xs) > 50
    assert max(np.hypot(x, y).max() for x, y in zip(xs, ys, strict=True)) <= 180 + 1e-6
    # A line that leaves is drawn to the very edge.
    meridian = np.column_stack([np.full(19, 20.0), np.linspace(-90, 90, 19)])
    x, y = projections()[key].lines([meridian])
    ends = np.hypot([x[0][0], x[0][-1]], [y[0][0], y[0][-1]])
    assert ends.max() == pytest.approx(180, abs=1e-6)


@pytest.mark.parametrize("key", ["north", "south"])
def test_a_box_about_a_pole_goes_all_around(key):
    west, south, east, north = projections()[key].box(np.array([-30.0, 40]), np.array([-20.0, 50]))
    assert (west, east) == (-180, 180)
    assert (north if key == "north" else -south) == 90
    # 40, 50 is the corner that is farthest from the pole.
    far = 90 - 2 * np.degrees(np.arctan(np.hypot(40, 50) / 180))
    assert (south if key == "north" else -north) == pytest.approx(far, abs=1e-6)


def test_a_box_across_the_date_line_goes_the_short_way():
    west, _, east, _ = projection("orthographic", (0.0, 180.0)).box(
        np.array([-20.0, 20]), np.array([-20.0, 20])
    )
    assert west == pytest.approx(-east, abs=1e-6)
    assert 170 < west < 180


@ALL
def test_a_step_along_the_ground_is_as_long_as_the_projection_says(key):
    lon, lat = np.array([-100.0, 10, 20, 140]), np.array([-50.0, 20, 60, 75])
    east, north = projections()[key].directions(lon, lat)
    seen = np.isfinite(projections()[key].forward(lon, lat)[0])
    np.testing.assert_array_equal(np.isfinite(east).all(axis=0), seen)
    if key in ("north", "south"):  # keeps angles: both steps as long, at a right angle
        a, b = east[:, seen], north[:, seen]
        np.testing.assert_allclose(np.hypot(*a), np.hypot(*b), rtol=1e-5)
        np.testing.assert_allclose((a * b).sum(axis=0), 0, atol=1e-5)


@pytest.mark.parametrize("key", ["north", "orthographic"])
def test_a_wind_across_the_pole_does_not_turn_on_the_map(key):
    """A flow along one great circle over the pole is one straight line on a map about it."""
    lat = np.array([80.0, 85, 89, 89, 85, 80])
    lon = np.array([30.0, 30, 30, -150, -150, -150])
    northward = np.array([1.0, 1, 1, -1, -1, -1])  # up to the pole, then down from it
    _, north = projection(key, (90.0, 0.0)).directions(lon, lat)
    flow = north * northward
    angle = np.degrees(np.arctan2(flow[1], flow[0]))
    np.testing.assert_allclose(angle, angle[0], atol=1e-3)


def test_streaks_of_wind_go_with_it_and_stay_on_the_map():
    grid = LatLonGrid.ct()
    wind = np.full(grid.shape, 10.0, np.float32)
    for key in ("platecarree", "north", "orthographic"):
        chosen = projections()[key]
        x, y = streaks(chosen, grid, wind, 0 * wind, chosen.bounds, across=12)
        lon, _ = chosen.inverse(x, y)
        x, lon = (values.reshape(-1, 11)[:, :7] for values in (x, lon))  # without the heads
        assert not np.isnan(lon[np.isfinite(x)]).any()
        assert np.isfinite(x).sum() > 300
    # Along the equator of a plate carree: level, and eastward by a streak's length.
    chosen = projections()["platecarree"]
    x, y = streaks(chosen, grid, wind, 0 * wind, (-30, -2, 30, 2), across=10)
    first = np.stack([x, y])[:, :7]
    assert first[0, -1] - first[0, 0] == pytest.approx(6 * 10 / 12, rel=1e-3)
    assert np.ptp(first[1]) < 1e-9


def test_robinson_agrees_with_cartopy():
    crs = pytest.importorskip("cartopy.crs")
    lon, lat = np.meshgrid(np.linspace(-180, 180, 13), np.linspace(-90, 90, 37))
    theirs = crs.Robinson().transform_points(crs.PlateCarree(), lon, lat)
    scale = 180 / crs.Robinson().transform_point(180, 0, crs.PlateCarree())[0]
    x, y = projections()["robinson"].forward(lon, lat)
    # Degrees of the equator; a map 2000 pixels wide has pixels of 0.18.
    np.testing.assert_allclose(x, theirs[..., 0] * scale, atol=0.15)
    np.testing.assert_allclose(y, theirs[..., 1] * scale, atol=0.15)


def test_outside_the_map_there_is_nothing():
    lon, _ = projections()["robinson"].inverse([179.0, 0.0, 0.0], [85.0, 95.0, 0.0])
    assert np.isnan(lon[:2]).all()
    assert lon[2] == 0


def test_weights_blend_across_the_date_line():
    grid = LatLonGrid.regular(18, 36)
    cells, weights = cell_weights(grid, np.array([180.0, -180.0]), np.zeros(2))
    columns = {int(c) % 36 for c, w in zip(cells[0], weights[0], strict=True) if w > 0}
    assert columns == {0, 35}
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_array_equal(np.sort(cells[0]), np.sort(cells[1]))


@pytest.mark.parametrize(
    ("lon", "pieces"),
    [
        ([170, 175, 185, 190], 2),
        ([170, 175, -175, -170], 2),
        ([350, 355, 365, 370], 1),
        ([170, 190, 170, 190], 4),
        ([-180, -180, -180], 1),
        ([180, 178, 176], 1),
        ([-180, -178, -176], 1),
    ],
)
def test_lines_are_cut_at_the_date_line(lon, pieces):
    line = np.column_stack([lon, np.linspace(0, 10, len(lon))])
    cut = cut_at_date_line(line)
    assert len(cut) == pieces
    for piece in cut:
        assert np.abs(piece[:, 0]).max() <= 180
        assert np.abs(np.diff(piece[:, 0])).max(initial=0) < 180


@BOTH
def test_no_coastline_crosses_the_map(key):
    xs, _ = projections()[key].lines(coastline())
    assert len(xs) > 100
    assert max(np.abs(np.diff(x)).max() for x in xs) < 20


def test_the_coastline_lies_where_the_land_is():
    grid = LatLonGrid.regular(180, 360)
    land = grid.land_fraction
    points = np.concatenate(coastline())
    points = points[np.abs(points[:, 1]) < 80]
    row, column = grid.cell(points[:, 1], np.clip(points[:, 0], -180, 179.999))
    near = np.stack(
        [land[np.clip(row + i, 0, 179), (column + j) % 360] for i in (-1, 0, 1) for j in (-1, 0, 1)]
    )
    mixed = (near.max(axis=0) > 0) & (near.min(axis=0) < 1)
    assert mixed.mean() > 0.98


def test_points_are_written_for_people():
    assert format_point(-12.34, 190.0) == "12.3°S 170.0°W"
