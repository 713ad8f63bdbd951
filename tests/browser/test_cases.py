"""Case studies, as a visitor meets them."""

from __future__ import annotations

import re

import numpy as np
import xarray as xr
from playwright.sync_api import expect

from co2net.grid import LatLonGrid
from co2net.regions import region

STORY = ".story:not([hidden])"


def daily_means(store) -> np.ndarray:
    """The truth's daily means over the Amazon, straight from the store."""
    co2 = xr.open_zarr(store).co2.sel(time=slice("2002-01-05", "2002-01-08T23:59"))
    grid = LatLonGrid(co2.lat.values, co2.lon.values)
    weights = region("amazon").mask(grid) * grid.area
    series = np.einsum("thw,hw->t", co2.values.astype(np.float64), weights / weights.sum())
    return series.reshape(4, 8).mean(axis=1)


def test_a_case_tells_what_the_store_holds(at, store):
    here = at("page=cases")
    page = here.page
    page.wait_for_selector(STORY)
    expect(page.locator(".pick")).to_have_count(2)
    expect(page.locator(".meta")).to_contain_text("Amazon")
    expect(page.locator(".meta")).to_contain_text("simulated")
    expected = daily_means(store)
    text = here.text(STORY)
    assert f"From {expected[0]:.1f} to {expected[-1]:.1f} ppm" in text
    here.draws("label", "s0", expected)
    assert here.drawn("label", "s0")["label"] == [f"2002-01-0{day}" for day in (5, 6, 7, 8)]
    rows = page.locator(".cases .numbers tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.first).to_contain_text(f"{expected[0]:.1f}")
    # One symmetric scale under all difference maps, and one under truth and model.
    ticks = page.locator(".colourbar.difference .tick").all_inner_texts()
    assert [tick.replace("−", "-") for tick in ticks] == ["-8", "-6", "-4", "-2", "0", "2", "4",
                                                          "6", "8"]  # fmt: skip
    expect(page.locator(".shots .panel:visible")).to_have_count(3)
    for caption in page.locator(".panel:visible .when").all_inner_texts():
        assert "ppm" in caption
        assert "simulated" in caption


def test_models_time_and_case_stand_in_the_address(at):
    here = at("page=cases&case=wave")
    page = here.page
    page.wait_for_selector(STORY)
    page.locator('.chip[data-model="vit"]').click()
    page.wait_for_url("**series=co2net,interpolation,vit**")
    expect(page.locator(".cases .numbers tbody tr")).to_have_count(4)
    page.locator('[data-role="moment0"] .show').click()
    page.wait_for_url(re.compile("time=2002-01-05T1"))
    page.locator('.pick[data-case="later"]').click()
    page.wait_for_url("**case=later**")
    expect(page.locator(".empty")).to_contain_text("2002-02")
    expect(page.locator(".body")).to_be_hidden()
    page.go_back()
    expect(page.locator(".case .title")).to_have_text("A wave")
    page.locator(".go.explore").click()
    page.wait_for_url("**page=explore**")
    assert "region=amazon" in page.url


def test_a_case_plays_within_its_days_and_in_chinese(at):
    here = at("page=cases&case=wave&lang=zh&theme=dark&time=2002-01-08T22:30")
    page = here.page
    page.wait_for_selector(STORY)
    expect(page.locator(".badge")).to_have_text("模拟世界")
    assert here.text(STORY).startswith("从")
    page.locator(".timebar .forward").click()  # the last frame of the case leads to its first
    page.wait_for_url(re.compile("time=2002-01-05T01:30"))
