"""Stations, as a visitor meets them."""

from __future__ import annotations

import re

import numpy as np
import xarray as xr
from playwright.sync_api import expect

READY = ".scores td"


def test_series_are_those_of_the_store(at, store):
    here = at("page=stations&station=S03&model=vit&lines=none")
    page = here.page
    page.wait_for_selector(READY)
    sites = xr.open_zarr(store, group="stations").co2.isel(station=3).values[: 31 * 8 : 3]
    here.draws("observed", "observed", sites)
    expect(page.locator(".station .progress")).to_be_empty()
    drawn = here.drawn("observed")
    place = xr.open_zarr(store, group="stations").isel(station=3)
    wave = 1.5 * np.sin(3 * np.radians(float(place.lon)))
    first = np.array(drawn["s0"], dtype=float)
    assert np.isnan(first[:3]).all()  # no whole window before them
    np.testing.assert_allclose(first[3:] - sites[3:], wave, atol=0.05)
    # The number in the list is that of the wave.
    chosen = page.locator(".list tr.chosen")
    expect(chosen).to_contain_text(f"{abs(wave):.2f} ppm")
    expect(page.locator(".network .when")).to_contain_text("simulated")


def test_a_station_is_chosen_by_keyboard_and_sorted(at):
    here = at("page=stations&model=co2net&lines=none")
    page = here.page
    page.wait_for_selector(READY)
    page.locator(".list thead .sort").first.click()
    expect(page.locator(".list thead th").first).to_have_attribute("aria-sort", "ascending")
    here.pick("measure", "Bias in the month")
    page.wait_for_url("**measure=bias**")
    page.locator('[data-station="S00"]').focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_url("**station=S01**")
    expect(page.locator(".station .title")).to_contain_text("S01")
    page.reload()
    page.wait_for_selector(READY, timeout=60_000)
    expect(page.locator(".station .title")).to_contain_text("S01")


def test_withheld_stations_and_what_to_run_without(at):
    here = at("page=stations&station=S00&model=co2net&lines=none&measure=withheld")
    page = here.page
    page.wait_for_selector(READY)
    expect(page.locator(".held td").nth(0)).to_have_text("0.25")
    expect(page.locator(".held td").nth(1)).to_have_text("1.75")
    here = at("page=stations&station=S01&model=co2net&lines=none&lang=zh")
    page = here.page
    expect(page.locator(".held")).to_contain_text(re.compile("没有 S01"))
