"""Projections and index maps: exact where they can be, whole at the date line and the poles."""

import numpy as np
import pytest

from co2net.errors import UserError
from co2net.grid import LatLonGrid
from dashboard.maps.projection import (
    Raster,
    cell_weights,
    coastline,
    cut_at_date_line,
    format_point,
    projections,
    raster,
)

BOTH = pytest.mark.parametrize("key", ["robinson", "platecarree"])


@BOTH
def test_inverse_undoes_forward(key):
    projection = projections()[key]
    lon, lat = np.meshgrid(np.linspace(-179.5, 179.5, 31), np.linspace(-89.5, 89.5, 29))
    back = projection.inverse(*projection.forward(lon, lat))
    np.testing.assert_allclose(back[0], lon, atol=1e-6)
    np.testing.assert_allclose(back[1], lat, atol=1e-6)


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


def _lon_field(grid):
    """Cosine and sine of longitude plus latitude: smooth across the date line and the poles."""
    lon = np.radians(grid.lon)[None, :]
    lat = np.radians(grid.lat)[:, None]
    return (np.cos(lat) * np.cos(lon) + np.sin(lat)).astype(np.float32)


@BOTH
@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize(
    "lon",
    [np.arange(-178.5, 180, 3), np.arange(1.5, 360, 3)],
    ids=["-180..180", "0..360"],
)
def test_pixels_show_the_cells_below_them(key, smooth, lon):
    lat = np.arange(-89, 90, 2.0)
    grid, rows, columns = LatLonGrid.from_coords(lat, lon)
    field = (
        np.cos(np.radians(lat))[:, None] * np.cos(np.radians(lon))
        + np.sin(np.radians(lat))[:, None]
    )
    field = field[rows][:, columns].astype(np.float32)
    image = raster(key, grid, 240, smooth).project(field[None])[0]
    made = Raster(projections()[key], grid, 240, smooth)
    height, width = made.shape
    x0, y0, x1, y1 = made.extent
    x = x0 + (np.arange(width) + 0.5) * (x1 - x0) / width
    y = y0 + (np.arange(height) + 0.5) * (y1 - y0) / height
    at_lon, at_lat = projections()[key].inverse(x[None, :], y[:, None])
    exact = np.cos(np.radians(at_lat)) * np.cos(np.radians(at_lon)) + np.sin(np.radians(at_lat))
    assert image.shape == (height, width)
    np.testing.assert_array_equal(np.isnan(image), np.isnan(exact))
    # Half a cell of 2 x 3 degrees at most, or the curvature of a cell when smooth.
    assert np.nanmax(np.abs(image - exact)) < (0.02 if smooth else 0.05)


@BOTH
def test_no_hole_at_the_date_line_or_the_poles(key):
    grid = LatLonGrid.ct()
    image = raster(key, grid, 480, True).project(np.ones((1, *grid.shape), np.float32))[0]
    middle = image[image.shape[0] // 2]
    assert np.isfinite(middle).all()
    assert np.isfinite(image[[0, -1]]).any(axis=1).all()
    np.testing.assert_allclose(image[np.isfinite(image)], 1, rtol=1e-6)


def test_smooth_pixels_blend_across_the_date_line():
    grid = LatLonGrid.regular(18, 36)
    cells, weights = cell_weights(grid, np.array([180.0, -180.0]), np.zeros(2), smooth=True)
    columns = {int(c) % 36 for c, w in zip(cells[0], weights[0], strict=True) if w > 0}
    assert columns == {0, 35}
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_array_equal(np.sort(cells[0]), np.sort(cells[1]))


def test_a_regional_grid_fills_its_part_only():
    grid = LatLonGrid(np.arange(10.5, 50), np.arange(60.5, 120))
    image = raster("platecarree", grid, 360, True).project(np.ones((1, *grid.shape), np.float32))[0]
    assert np.isfinite(image).sum() == 40 * 60


def test_a_field_of_another_grid_is_refused():
    with pytest.raises(UserError, match="not on"):
        raster("robinson", LatLonGrid.ct(), 100, True).project(np.zeros((1, 3, 3), np.float32))


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
