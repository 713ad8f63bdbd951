"""Oceans, as a visitor meets it; the numbers are those of the library on the same store."""

from __future__ import annotations

import re
import urllib.error
import urllib.request

import numpy as np
import pytest
import xarray as xr
from playwright.sync_api import expect

from co2net.inference import Engine
from co2net.ocean import Ocean, sink
from co2net.schema import open_store
from tests.browser.server import Waves, make_sea

READY = ".tables td"
MONTH = "2002-01"


@pytest.fixture(scope="module")
def ocean(store):
    source = open_store(store)
    models = [Waves("co2net", 0.5, source.grid)]
    return Ocean(Engine(source, models=models), make_sea(source.grid))


def _sign(value, digits):
    return f"{value:+.{digits}f}".replace("-", "−")


def test_map_and_means_are_those_of_the_library(at, ocean):
    here = at("page=oceans&models=co2net&region=southern-ocean")
    page = here.page
    page.wait_for_selector(READY)
    here.paints("main", 1)  # the small sea is beyond the scale
    truth = ocean.month("flux", "truth", MONTH).ravel()
    assert np.isfinite(truth).any()
    here.draws("cell_main", "cell_main", truth, off=1e-5)
    expect(page.locator('[data-role="main"] .when')).to_contain_text("simulated")
    expect(page.locator('[data-role="main"] .when')).to_contain_text("into the atmosphere")
    expect(page.locator(".colourbar.value .unit")).to_contain_text("mol m⁻² yr⁻¹")
    means = [
        float(ocean.month_series("flux", name, "southern-ocean", [MONTH])[0])
        for name in ("truth", "co2net")
    ]
    rows = page.locator(".tables tbody tr")
    expect(rows.nth(0).locator("td").first).to_have_text(_sign(means[0], 3))
    expect(rows.nth(1).locator("td").first).to_have_text(_sign(means[1], 3))
    expect(rows.nth(1).locator("td").nth(1)).to_have_text(_sign(means[1] - means[0], 3))


def test_models_have_the_scale_of_the_truth_and_differences_a_symmetric_one(at):
    here = at("page=oceans&models=co2net&quantity=delta_pco2&show=co2net")
    here.paints("main")
    assert here.scales()["main"] == (-120, 120)
    page = here.turn("page=oceans&models=co2net&quantity=delta_pco2&show=diff:co2net").page
    expect(page.locator(".colourbar.value .unit")).to_contain_text("Difference")
    here.paints("main")
    low, high = here.scales()["main"]
    assert -120 < low == -high < 0


def test_sinks_by_keyboard_and_a_basin_of_the_table(at, ocean):
    here = at("page=oceans&models=co2net")
    page = here.page
    page.wait_for_selector(READY)
    page.locator('[data-panel="series"][role=tab]').focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**panel=sink**")
    table = sink.sink(ocean, ["truth", "co2net"], months=[MONTH])
    wanted = {(r.region, r.what): r for r in table.rows if r.period == MONTH}
    row = page.locator("tr", has=page.locator('[data-pick="indian"]'))
    truth, model = wanted["indian", "truth"], wanted["indian", "co2net"]
    expect(row.locator("td").nth(0)).to_have_text(_sign(truth.flux, 3), timeout=60_000)
    reach = f"{model.high - model.flux:.3f}"
    expect(row.locator("td").nth(1)).to_have_text(
        f"{_sign(model.flux, 3)} ({_sign(model.error, 3)} ± {reach})", timeout=60_000
    )
    page.locator('[data-pick="indian"]').click()
    page.wait_for_url("**basin=indian**")
    expect(page.locator("tr.chosen .pick")).to_have_text("Indian Ocean", timeout=60_000)
    page.reload()
    page.wait_for_selector(READY, timeout=60_000)
    expect(page.locator("tr.chosen .pick")).to_have_text("Indian Ocean")
    page.go_back()
    page.wait_for_function("() => !location.search.includes('basin=')")
    expect(page.locator("tr.chosen .pick")).to_have_text("Global ocean", timeout=60_000)


def test_reefs_say_that_there_is_no_trend_yet(at):
    page = at("page=oceans&models=co2net&panel=acidity&reef=reef-maldives").page
    page.wait_for_selector(READY)
    expect(page.locator(".side .title")).to_contain_text("Maldives")
    expect(page.locator(".notes")).to_contain_text("5 years")
    row = page.locator("tr", has=page.locator('[data-pick="reef-maldives"]'))
    expect(row.locator("td").nth(1)).to_have_text("–")
    expect(row.locator("td").nth(2)).to_have_text(re.compile(r"^[78]\.\d{3}$"))


def test_what_cannot_be_had_is_explained(at):
    address = "page=oceans&quantity=%3Cb%3E&basin=atlantis&panel=nino&models=co2net"
    here = at(address)
    page = here.page
    expect(page.locator(".fault")).to_contain_text("36 months")
    expect(page.locator(".notice")).to_contain_text("atlantis")
    expect(page.locator('[data-role="main"] .title')).to_contain_text("flux")
    here.turn("page=oceans&models=co2net&region=box:85,40,95,45")
    expect(page.locator(".fault")).to_contain_text("holds no sea")


def test_chinese_dark_and_narrow(at):
    here = at("page=oceans&models=co2net&lang=zh&theme=dark&quantity=ph")
    page = here.page
    page.set_viewport_size({"width": 390, "height": 800})
    here.paints("main")
    expect(page.locator('[data-role="main"] .title')).to_contain_text("表层pH")
    expect(page.locator('[data-role="main"] .when')).to_contain_text("模拟")
    page.wait_for_function("() => document.documentElement.scrollWidth <= 390")
    tabs = page.locator("[role=tab][data-panel]")
    expect(tabs).to_have_text(["序列", "碳汇", "酸化监测", "厄尔尼诺"])


def test_exports_open_and_say_what_they_hold(address, ocean, tmp_path):
    query = "page=oceans&models=co2net&region=southern-ocean"

    def get(name):
        with urllib.request.urlopen(f"{address}/export/{name}?{query}", timeout=240) as answer:
            return answer.read()

    path = tmp_path / "map.nc"
    path.write_bytes(get("map.nc"))
    with xr.open_dataset(path) as data:
        np.testing.assert_allclose(data.flux[0], ocean.month("flux", "truth", MONTH), atol=1e-5)
        assert data.flux.attrs["positive"] == "into the atmosphere"
        assert data.flux.attrs["units"] == "mol m-2 yr-1"
        assert data.attrs["simulated"] == "true"
        assert "small sea" in data.attrs["sea"]
    for what in ("series", "sink", "acidity"):
        assert b"# sea: small sea" in get(f"{what}.csv")
    assert get("sink.png").startswith(b"\x89PNG")
    with pytest.raises(urllib.error.HTTPError) as refused:
        get("nino.csv")
    assert b"36 months" in refused.value.read()
