"""The pixels that the browser paints are those of the cells below them."""

from __future__ import annotations

import numpy as np
import pytest

from co2net.grid import LatLonGrid
from dashboard.maps.figures import PAINT
from dashboard.maps.projection import PROJECTIONS, cell_weights, projection

WIDTH, HEIGHT = 60, 40
VIEWS = {"whole": (-183.0, 183.0, -122.0, 122.0), "close": (101.0, 178.0, 11.0, 62.0)}
"""Of the plane: x from and to, y from and to."""
_PAINTED = """async ([source, {how, grid, smooth, view, field, w, h}]) => {
  const url = URL.createObjectURL(new Blob([source], {type: "text/javascript"}))
  const {between, grid_of, padded, table} = await import(url)
  const made = grid_of(grid), {row} = made
  const room = new Float32Array(row * grid.lat.length)
  const values = Float32Array.from(field, (value) => value ?? NaN)
  const cells = padded(values, made, room), {cell, u, v} = table(how, made, smooth, w, h, view)
  return Array.from(cell, (k, p) => {
    const value = k < 0 ? NaN : smooth ? between(cells, k, row, u[p], v[p]) : cells[k]
    return Number.isFinite(value) ? value : null
  })
}"""
GRIDS = {
    "globe": LatLonGrid.regular(45, 60),
    "region": LatLonGrid(np.arange(10.5, 50), np.arange(60.5, 120)),
}


def expected(key, grid, field, view, smooth):
    """(HEIGHT, WIDTH), from the north: what each pixel shows; NaN: nothing."""
    x0, x1, y0, y1 = view
    x = x0 + (np.arange(WIDTH) + 0.5) * (x1 - x0) / WIDTH
    y = y1 + (np.arange(HEIGHT) + 0.5) * (y0 - y1) / HEIGHT
    lon, lat = projection(key).inverse(x[None, :], y[:, None])
    out = np.full(lon.shape, np.nan)
    inside = np.isfinite(lon)
    inside[inside] &= (lat[inside] >= grid.lat_edges[0]) & (lat[inside] <= grid.lat_edges[-1])
    turned = (lon[inside] - grid.lon_edges[0]) % 360 + grid.lon_edges[0]
    inside[inside] &= turned < grid.lon_edges[-1]
    if smooth:
        cells, weights = cell_weights(grid, lon[inside], lat[inside])
        values = field.ravel()[cells]
        share = np.where(np.isfinite(values), weights, 0)
        total = (share * np.nan_to_num(values)).sum(1)
        share = share.sum(1)
        out[inside] = np.where(share >= 0.5, total / np.maximum(share, 0.5), np.nan)
    else:
        out[inside] = field[grid.cell(lat[inside], lon[inside])]
    return out


_LETTERS = """() => {
  const plot = Bokeh.documents[0].get_model_by_name("series")
  const view = plot && Bokeh.index.find_one(plot)
  if (!view) { return [] }
  const axes = [...view.renderer_views.values()].filter(({model}) => model.type.endsWith("Axis"))
  return axes.flatMap(({visuals, bbox}) => [
    visuals.major_label_text.get_text_font_size(), visuals.axis_label_text.get_text_font_size(),
    bbox.left >= 0 && bbox.right <= view.bbox.width
      && bbox.bottom <= view.bbox.height ? "in" : "out",
  ])
}"""
"""Of the chart in the inspector: what its axes' letters measure, and whether they are on it."""


def test_letters_of_a_chart_grow_with_those_of_the_page(visit):
    page = visit(3840, 2160).open("present=1&span=2").page
    has = f"(wanted) => ({_LETTERS})().join() === wanted"
    page.wait_for_function(has, arg=",".join(["28.9px", "29.92px", "in"] * 2))
    page.set_viewport_size({"width": 1280, "height": 720})
    page.keyboard.press("Escape")
    page.wait_for_function(has, arg=",".join(["11.05px", "11.44px", "in"] * 2))


@pytest.fixture(scope="module")
def blank(browser):
    page = browser.new_page()
    yield page
    page.close()


@pytest.mark.parametrize("where", list(GRIDS))
@pytest.mark.parametrize("key", PROJECTIONS)
def test_pixels_show_the_cells_below_them(blank, key, where):
    grid = GRIDS[where]
    rng = np.random.default_rng(7)
    field = rng.normal(400, 10, grid.shape).astype(np.float32)
    field[rng.random(grid.shape) < 0.1] = np.nan  # gaps, as the sea has
    for smooth in (True, False):
        for view in VIEWS.values():
            what = {
                "how": {name: np.asarray(v).tolist() for name, v in projection(key).how.items()},
                "grid": {
                    "rows": grid.lat_edges.tolist(),
                    "columns": grid.lon_edges.tolist(),
                    "lat": grid.lat.tolist(),
                    "lon": grid.lon.tolist(),
                },
                "smooth": smooth,
                "view": view,
                "field": [None if np.isnan(v) else float(v) for v in field.ravel()],
                "w": WIDTH,
                "h": HEIGHT,
            }
            source = PAINT.read_text(encoding="utf-8")
            found = np.array(blank.evaluate(_PAINTED, [source, what]), dtype=float)
            wanted = expected(key, grid, field, view, smooth).ravel()
            np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
            np.testing.assert_allclose(found, wanted, atol=0.01)
            assert np.isfinite(wanted).any() or where == "region"
