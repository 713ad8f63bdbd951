"""Every page by hand, in both languages: with the mouse in one, by keyboard alone in the other."""

from __future__ import annotations

import re

import numpy as np
import pytest
import xarray as xr
from playwright.sync_api import expect

from dashboard.i18n import Translator

TIME = "2002-01-16T13:30"
SIZES = {"co2net": 0.5, "vit": 1.5, "interpolation": 1.0}
"""Of the waves by which the server's models are wrong."""
DAY = {"en": "{0} Jan 2002", "zh": "2002年1月{0}日"}

pytestmark = pytest.mark.parametrize(("lang", "keys"), [("en", False), ("zh", True)])


def around(store, day: str) -> xr.DataArray:
    """The store's CO2 in the two days about the middle of one."""
    co2 = xr.open_zarr(store).co2
    now = int(np.flatnonzero(co2.time.values == np.datetime64(f"{day}T13:30"))[0])
    return co2.isel(time=slice(now - 8, now + 9))


def wave(model: str, lon) -> np.ndarray:
    """What a model is wrong by."""
    return SIZES[model] * np.sin(3 * np.radians(lon))


def test_explore(at, store, lang, keys):
    t = Translator(lang)
    here = at(f"page=explore&span=2&lang={lang}&time={TIME}")
    page, vit = here.page, t("map.difference", model=t.model("vit"))
    here.pick_day("2002-01-20", keys)
    here.pick("region", t("region.amazon"), keys)
    page.wait_for_url("**region=amazon**")
    here.pick("show", vit, keys)
    page.wait_for_url("**show=diff:vit**")
    here.pick_in_drawer("projection", t("drawer.mollweide"), keys)
    page.wait_for_url("**projection=mollweide**")
    expect(page.locator('[data-role="main"] .title')).to_have_text(f"{vit} · {t('region.amazon')}")
    expect(page.locator('[data-role="main"] .when')).to_contain_text(DAY[lang].format(20))
    low, high = here.scales()["main"]
    assert low == -high < 0
    if keys:
        here.reach_by_tab(page.locator(".goto input[name=lat]"))
        page.keyboard.type("-5.5")
        page.keyboard.press("Tab")
        page.keyboard.type("-61.2")
        page.keyboard.press("Enter")
    else:
        here.click_map("main", 0.5, 0.5)
    page.wait_for_url("**point=**")
    lat, lon = (float(v) for v in re.search(r"point=(-?[\d.]+),(-?[\d.]+)", page.url).groups())
    assert -20 < lat < 10
    assert -80 < lon < -45
    cell = around(store, "2002-01-20").sel(lat=lat, lon=lon, method="nearest")
    here.draws("time", "s0", cell.values)
    here.draws("time", "s1", cell.values + wave("vit", float(cell.lon)))
    here.pick("show", t("map.simulated_truth"), keys)
    here.pick("view", t("tools.view_hovmoller"), keys)
    page.wait_for_url("**view=hovmoller**")
    here.paints("hovmoller")


def test_compare(at, store, lang, keys):
    t = Translator(lang)
    here = at(f"page=compare&lang={lang}&models=co2net,vit&span=2&time={TIME}")
    page = here.page
    here.pick_day("2002-01-05", keys)
    here.pick("region", t("region.amazon"), keys)
    page.wait_for_url("**region=amazon**")
    here.pick("models", t.model("interpolation"), keys)
    page.wait_for_url("**models=co2net,vit,interpolation**")
    here.pick_in_drawer("projection", t("drawer.platecarree"), keys)
    page.wait_for_url("**projection=platecarree**")
    for role in ("truth", "a", "b", "c", "difference_a", "difference_b", "difference_c"):
        expect(page.locator(f'[data-role="{role}"] .when')).to_contain_text(DAY[lang].format(5))
        here.paints(role, 2)
    scales = here.scales()
    assert scales["truth"] == scales["a"] == scales["b"] == scales["c"]
    low, high = scales["difference_a"]
    assert scales["difference_b"] == scales["difference_c"] == (low, high)
    assert low == -high < 0
    here.pick("below", t("tools.below_scatter"), keys)
    page.wait_for_url("**below=scatter**")
    title = t("map.against_truth", model=t.model("co2net"))
    expect(page.locator('[data-role="scatter_a"] .title')).to_have_text(title)
    # Two maps, one over the other up to the handle.
    here.pick("below", t("tools.below_swipe"), keys)
    page.wait_for_url("**below=swipe**")
    here.pick("left", t.model("vit"), keys)
    page.wait_for_url("**left=vit**")
    title = f"{t.model('vit')} · {t('region.amazon')}"
    expect(page.locator('[data-role="left"] .title')).to_have_text(title)
    here.paints("left")
    here.paints("right")
    field = around(store, "2002-01-05").sel(time="2002-01-05T13:30")
    for role, model in (("left", "vit"), ("right", "co2net")):
        wanted = field + wave(model, field.lon.values)
        here.draws(f"cell_{role}", f"cell_{role}", wanted.values.ravel())
    split, right = page.locator(".split"), page.locator('[data-role="right"] .map')
    expect(right).to_have_css("clip-path", "inset(0px 0px 0px 50%)")
    if keys:
        here.reach_by_tab(split)
        for _ in range(8):
            page.keyboard.press("ArrowLeft")
    else:
        box = split.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2, steps=3)
        page.mouse.up()
    share = float(split.input_value())
    assert (share == 46) if keys else (20 < share < 30)
    expect(right).to_have_css("clip-path", f"inset(0px 0px 0px {share:g}%)")


def test_cases(at, store, lang, keys):
    t = Translator(lang)
    here = at(f"page=cases&lang={lang}&case=wave")
    page = here.page
    here.press(page.locator('.pick[data-case="later"]'), keys)
    page.wait_for_url("**case=later**")
    expect(page.locator(".empty")).to_contain_text("2002-02")
    here.press(page.locator('.pick[data-case="wave"]'), keys)
    page.wait_for_url("**case=wave**")
    here.pick("model", t.model("vit"), keys)
    page.wait_for_url("**model=vit**")
    expect(page.locator('[data-role="model"] .name')).to_have_text(t.model("vit"))
    here.press(page.locator('.chip[data-model="vit"]'), keys)
    page.wait_for_url("**series=co2net,interpolation,vit**")
    expect(page.locator(".cases .numbers tbody tr")).to_have_count(4)
    here.press(page.locator('[data-role="moment0"] .show'), keys)
    page.wait_for_url(re.compile("time=2002-01-05T1"))
    here.pick_day("2002-01-07", keys)
    here.pick_in_drawer("projection", t("drawer.mollweide"), keys)
    page.wait_for_url("**projection=mollweide**")
    for role in ("truth", "model", "moment0", "moment1", "moment2"):
        here.paints(role, 2)
    expect(page.locator('[data-role="truth"] .when')).to_contain_text(DAY[lang].format(7))
    scales = here.scales()
    assert scales["truth"] == scales["model"]
    low, high = scales["moment0"]
    assert scales["moment1"] == scales["moment2"] == (low, high)
    assert low == -high < 0


def test_oceans(at, lang, keys):
    t = Translator(lang)
    here = at(f"page=oceans&models=co2net&lang={lang}&time={TIME}")
    page = here.page
    page.wait_for_selector(".tables td")
    here.pick("quantity", t("oceans.quantity_delta_pco2"), keys)
    page.wait_for_url("**quantity=delta_pco2**")
    here.pick("show", t.model("co2net"), keys)
    page.wait_for_url("**show=co2net**")
    name = t("map.difference", model=t.model("co2net"))
    here.pick("show", name, keys)
    page.wait_for_url("**show=diff:co2net**")
    expect(page.locator('[data-role="main"] .title')).to_contain_text(name)
    here.pick("region", t("region.southern-ocean"), keys)
    page.wait_for_url("**southern-ocean**")
    here.pick("mean", t("oceans.mean_moment"), keys)
    page.wait_for_url("**mean=moment**")
    here.pick_day("2002-01-20", keys)
    expect(page.locator('[data-role="main"] .when')).to_contain_text(DAY[lang].format(20))
    low, high = here.scales()["main"]
    assert low == -high < 0
    here.pick_in_drawer("projection", t("drawer.south"), keys)
    page.wait_for_url("**projection=south**")
    here.press(page.locator('.chip[data-model="vit"]'), keys)
    page.wait_for_url("**models=co2net,vit**")
    if keys:  # the arrow keys go through the tabs
        here.reach_by_tab(page.locator('[role=tab][data-panel="series"]'))
        page.keyboard.press("ArrowRight")
    else:
        page.locator('[role=tab][data-panel="sink"]').click()
    page.wait_for_url("**panel=sink**")
    here.press(page.locator('[data-pick="indian"]'), keys)
    page.wait_for_url("**basin=indian**")
    expect(page.locator("tr.chosen .pick")).to_have_attribute("data-pick", "indian")


def test_stations(at, store, lang, keys):
    t = Translator(lang)
    here = at(f"page=stations&model=co2net&lines=none&lang={lang}")
    page = here.page
    page.wait_for_selector(".scores td")
    here.pick("measure", t("stations.measure_bias"), keys)
    page.wait_for_url("**measure=bias**")
    here.pick("model", t.model("vit"), keys)
    page.wait_for_url("**model=vit**")
    expect(page.locator(".list thead")).to_contain_text(t("stations.measure_bias"))
    here.press(page.locator(".list thead .sort").first, keys)
    expect(page.locator(".list thead th").first).to_have_attribute("aria-sort", "ascending")
    if keys:  # up and down go through the list as it is sorted
        here.reach_by_tab(page.locator('[data-station="S00"]'))
        for _ in range(3):
            page.keyboard.press("ArrowDown")
    else:
        page.locator('[data-station="S03"]').click()
    page.wait_for_url("**station=S03**")
    expect(page.locator(".station .title")).to_contain_text("S03")
    here.press(page.locator('.chip[data-model="interpolation"]'), keys)
    page.wait_for_url(re.compile("lines=.*interpolation"))
    sites = xr.open_zarr(store, group="stations").co2.isel(station=3).values[: 31 * 8 : 3]
    here.draws("observed", "observed", sites)
    lon = float(xr.open_zarr(store, group="stations").isel(station=3).lon)
    expect(page.locator(".list tr.chosen .value")).to_contain_text(
        f"{wave('vit', lon):+.2f}".replace("-", "−")
    )


def test_benchmarks(at, lang, keys):
    t = Translator(lang)
    here = at(f"page=benchmarks&lang={lang}")
    page = here.page
    rows = page.locator(".scores tbody tr")
    expect(rows).to_have_count(3)
    here.pick("places", t("bench.places_latitude"), keys)
    page.wait_for_url("**places=latitude**")
    expect(page.locator(".scores thead")).to_contain_text("0° – 30°N")
    here.pick("places", t("bench.places_main"), keys)
    expect(page.locator('.sort[data-key="ocean"]')).to_be_visible()
    here.pick("period", f"2001 ({t('bench.role_validation')})", keys)
    page.wait_for_url("**period=2001**")
    expect(rows).to_have_count(2)
    expect(rows.first).to_have_attribute("data-model", "vit")
    expect(rows.first).to_contain_text("0.25")
    here.press(page.locator('.sort[data-key="ocean"]'), keys)
    page.wait_for_url("**sort=ocean**")
    here.press(page.locator('.sort[data-key="ocean"]'), keys)
    page.wait_for_url("**order=down**")
    expect(rows.first).to_have_attribute("data-model", "co2net")
    here.pick("kind", t("bench.kind_margins"), keys)
    page.wait_for_url("**kind=margins**")
    here.pick("against", t.model("co2net"), keys)
    page.wait_for_url("**against=co2net**")
    expect(rows).to_have_count(1)
    here.pick("kind", t("bench.kind_cases"), keys)
    page.wait_for_url("**kind=cases**")
    expect(page.locator(".scores td.best")).to_contain_text("0.900")
    here.press(page.locator(".about summary"), keys)
    expect(page.locator(".about dl")).to_contain_text("co2net evaluate")


def test_data(at, lang, keys):
    t = Translator(lang)
    here = at(f"page=data&lang={lang}")
    page = here.page
    card = page.locator(".stores .card").first
    here.press(card.locator(".check"), keys)
    expect(card.locator(".result.sound, .result.faulty")).to_be_visible(timeout=120_000)
    expect(card.locator(".checks .hint").first).to_have_text(
        t("data.seen", checked=248, frames=248)
    )
    here.press(page.locator('[data-entry="carbontracker"] > summary'), keys)
    page.wait_for_url("**dataset=carbontracker**")
    expect(page.locator('[data-entry="carbontracker"] code').first).to_contain_text("co2net data")


def test_training(at, lang, keys):
    here = at(f"page=training&lang={lang}")
    page = here.page

    def write(name: str, text: str) -> None:
        field = page.locator(f'[data-field="{name}"] input')
        if keys:
            here.reach_by_tab(field)
        else:
            field.click()
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.type(text)
        page.keyboard.press("Tab")

    model = page.locator('[data-field="model"] select')
    if keys:
        here.reach_by_tab(model)
        page.keyboard.type("v")
    else:
        model.select_option("vit")
    expect(model).to_have_value("vit")
    write("batch", "-3")
    expect(page.locator('[data-field="batch"] .error')).to_contain_text("1")
    expect(page.locator(".start")).to_be_disabled()
    write("batch", "4")
    expect(page.locator('[data-field="batch"] .error')).to_be_empty()
    expect(page.locator(".start")).to_be_enabled()
