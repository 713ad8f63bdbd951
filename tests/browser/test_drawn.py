"""What maps and charts show is what the store holds, and how it is chosen by hand."""

from __future__ import annotations

import re

import numpy as np
import pytest
import xarray as xr
from playwright.sync_api import expect

from co2net.grid import LatLonGrid
from co2net.regions import region
from dashboard.i18n import Translator

TIME = "2002-01-16T13:30"
SIZES = {"co2net": 0.5, "vit": 1.5}
"""Of the waves by which the server's models are wrong."""


def truth(store) -> xr.DataArray:
    """The store's CO2 in the two days about the time."""
    co2 = xr.open_zarr(store).co2
    now = int(np.flatnonzero(co2.time.values == np.datetime64(TIME))[0])
    return co2.isel(time=slice(now - 8, now + 9))


def number(text: str) -> float:
    return float(re.search(r"[−+-]?\d+\.\d+", text).group().replace("−", "-"))


def near(value: float) -> re.Pattern[str]:
    """A text that tells a value, not zero, to a hundredth, wherever it is rounded."""
    texts = {f"{abs(value) + step:.2f}" for step in (-0.01, 0.0, 0.01)}
    sign = "[−-]" if value < 0 else r"(?<![−-])\+?"
    return re.compile(rf"{sign}(?<![\d.])({'|'.join(map(re.escape, sorted(texts)))})(?!\d)")


def pointed(text: str, fields: xr.DataArray) -> xr.DataArray:
    """The cell of the store that a hover text tells of, at the time."""
    lat, south, lon, west = re.search(r"([\d.]+)°([NS]) ([\d.]+)°([EW])", text).groups()
    place = float(lat) * (1 - 2 * (south == "S")), float(lon) * (1 - 2 * (west == "W"))
    return fields.sel(time=TIME).sel(lat=place[0], lon=place[1], method="nearest")


def drawn_box(url: str, fields: xr.DataArray) -> tuple[list[float], xr.DataArray]:
    """Edges (west, south, east, north) of the box in an address, and shares of its cells."""
    edges = [float(v) for v in re.search(r"region=box:([^&]+)", url).group(1).split(",")]
    grid = LatLonGrid(fields.lat.values, fields.lon.values)
    weights = region("box:" + ",".join(map(str, edges))).mask(grid) * grid.area
    shares = xr.DataArray(weights / weights.sum(), coords=fields[0].coords, dims=("lat", "lon"))
    return edges, shares


def test_a_point_and_a_box_are_those_of_xarray(at, store):
    fields = truth(store)
    here = at(f"page=compare&projection=platecarree&models=co2net,vit&span=2&time={TIME}")
    page = here.page
    here.click_map("a", 0.61, 0.4)
    page.wait_for_url("**point=**")
    lat, lon = (float(v) for v in re.search(r"point=(-?[\d.]+),(-?[\d.]+)", page.url).groups())
    cell = fields.sel(lat=lat, lon=lon, method="nearest")
    wave = np.sin(3 * np.radians(float(cell.lon)))
    here.draws("time", "s0", cell.values)
    for name, model in (("s1", "co2net"), ("s2", "vit")):
        here.draws("time", name, cell.values + SIZES[model] * wave)
    stamps = np.array(here.drawn("time")["time"]).astype("datetime64[ms]")
    np.testing.assert_array_equal(stamps, cell.time.values.astype("datetime64[ms]"))
    # A box by hand becomes the region; its means and numbers are those of its cells.
    here.draw_box("truth", (0.3, 0.3), (0.5, 0.6))
    page.wait_for_url("**region=box:**")
    (west, south, east, north), weights = drawn_box(page.url, fields)
    assert -120 < west < -40 < east < 20
    assert -60 < south < 0 < north < 60
    inside = weights.where(weights > 0, drop=True)  # no cell from beyond the box
    half = float(fields.lon[1] - fields.lon[0]) / 2
    assert west - half <= float(inside.lon.min())
    assert float(inside.lon.max()) <= east + half
    mean = fields.weighted(weights).mean(("lat", "lon")).values
    here.draws("time", "s0", mean)
    wave = np.sin(3 * np.radians(fields.lon))
    for name, model in (("s1", "co2net"), ("s2", "vit")):
        wrong = float((SIZES[model] * wave).weighted(weights.sum("lat")).mean())
        here.draws("time", name, mean + wrong)
        error = float(((SIZES[model] * wave) ** 2).weighted(weights.sum("lat")).mean()) ** 0.5
        row = page.locator(f'.strip table[data-model="{model}"] tr[data-region^="box:"] td')
        expect(row).to_have_count(3)
        expect(row.first.locator("i")).to_have_text(re.compile(r"\d"))  # of the span, comes last
        assert number(row.first.inner_text()) == pytest.approx(error, abs=0.011)
        assert number(row.nth(1).inner_text()) == pytest.approx(wrong, abs=0.011)
    expect(page.locator(".legend .value").first).to_have_text(near(mean[8]))


def test_the_hover_text_is_the_stores_value(at, store):
    fields = truth(store)
    here = at(f"page=compare&projection=platecarree&stations=0&span=2&time={TIME}")
    text = here.hover("difference_b", 0.32, 0.62)
    cell = pointed(text, fields)
    wave = float(np.sin(3 * np.radians(float(cell.lon))))
    values = dict(re.findall(r"^(.+?)\s+([−+]?[\d.]+ ppm)$", text, re.MULTILINE))
    expected = {
        "Simulated truth": float(cell),
        "CO2-Net": float(cell) + 0.5 * wave,
        "CO2-Net − truth": 0.5 * wave,
        "Interpolation (OI)": float(cell) + wave,
        "Interpolation (OI) − truth": wave,
    }
    assert set(values) == set(expected), text
    for name, value in expected.items():
        assert number(values[name]) == pytest.approx(value, abs=0.011), name


def test_hover_and_a_drawn_box_on_explore_in_chinese(at, store):
    fields = truth(store)
    query = f"page=explore&show=vit&projection=platecarree&stations=0&span=2&time={TIME}"
    here = at(f"{query}&lang=zh")
    page = here.page
    expect(page.locator('[data-role="main"] .title')).to_contain_text(Translator("zh").model("vit"))
    here.paints("main")
    text = here.hover("main", 0.32, 0.62)
    cell = pointed(text, fields)
    ((label, value),) = re.findall(r"^(.+?)\s+([−+]?[\d.]+) ppm$", text, re.MULTILINE)
    assert label == Translator("zh").model("vit")
    wave = SIZES["vit"] * np.sin(3 * np.radians(fields.lon))
    here_wrong = float(wave.sel(lon=cell.lon))
    assert float(value) == pytest.approx(float(cell) + here_wrong, abs=0.011)
    here.draw_box("main", (0.3, 0.3), (0.5, 0.6))
    page.wait_for_url("**region=box:**")
    (west, south, east, north), weights = drawn_box(page.url, fields)
    assert -120 < west < -40 < east < 20
    assert -60 < south < 0 < north < 60
    mean = fields.weighted(weights).mean(("lat", "lon")).values
    wrong = float(wave.weighted(weights.sum("lat")).mean())
    here.draws("time", "s0", mean)
    here.draws("time", "s1", mean + wrong)
    expect(page.locator(".inspector h2").first).to_have_text(re.compile("°"))
    expect(page.locator(".legend .value").first).to_have_text(near(mean[8]))
    expect(page.locator(".legend .delta").nth(1)).to_have_text(near(wrong))


def test_colours_mean_the_same_in_every_panel_and_frame(at):
    here = at(f"page=compare&models=co2net,vit&span=2&time={TIME}")
    page = here.page
    for role in ("truth", "a", "b", "difference_a", "difference_b"):  # models may be late
        expect(page.locator(f'[data-role="{role}"] .heading')).to_contain_text("ppm")
        here.paints(role)
    before = here.scales()
    assert before["truth"] == before["a"] == before["b"]
    low, high = before["difference_a"]
    assert before["difference_b"] == (low, high)
    assert low == -high < 0
    ticks = page.locator(".colourbar.value .tick").all_inner_texts()
    for _ in range(3):
        shown = here.shown()
        page.locator(".timebar .forward").click()
        expect(page.locator(".timebar")).to_have_attribute("data-shown", str(shown + 1))
        assert here.scales() == before
    page.locator(".date input").fill("2002-01-29")
    page.locator(".date input").press("Enter")
    page.wait_for_url("**time=2002-01-29**")
    expect(page.locator('[data-role="a"] .when')).to_contain_text("29 Jan 2002")
    assert here.scales() == before
    assert page.locator(".colourbar.value .tick").all_inner_texts() == ticks
