"""What maps and charts show is what the store holds, and how it is chosen by hand."""

from __future__ import annotations

import re

import numpy as np
import pytest
import xarray as xr
from playwright.sync_api import expect

from co2net.grid import LatLonGrid
from co2net.regions import region

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
    west, south, east, north = (
        float(v) for v in re.search(r"region=box:([^&]+)", page.url).group(1).split(",")
    )
    assert -120 < west < -40 < east < 20
    assert -60 < south < 0 < north < 60
    grid = LatLonGrid(fields.lat.values, fields.lon.values)
    weights = region(f"box:{west},{south},{east},{north}").mask(grid) * grid.area
    weights = xr.DataArray(weights / weights.sum(), coords=fields[0].coords, dims=("lat", "lon"))
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
    expect(page.locator(".legend .value").first).to_have_text(re.compile(r"^\d+\.\d\d ppm$"))
    assert number(here.text(".legend .value")) == pytest.approx(mean[8], abs=0.011)


def test_the_hover_text_is_the_stores_value(at, store):
    fields = truth(store)
    here = at(f"page=compare&projection=platecarree&stations=0&span=2&time={TIME}")
    text = here.hover("difference_b", 0.32, 0.62)
    lat, south, lon, west = re.search(r"([\d.]+)°([NS]) ([\d.]+)°([EW])", text).groups()
    lat, lon = float(lat) * (1 - 2 * (south == "S")), float(lon) * (1 - 2 * (west == "W"))
    cell = fields.sel(time=TIME).sel(lat=lat, lon=lon, method="nearest")
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
