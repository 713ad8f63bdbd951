"""The page, as a visitor meets it."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
import xarray as xr
from playwright.sync_api import expect

DRAWN = """(name) => [...Bokeh.documents[0]._all_models.values()].some((model) =>
  model.type === "ColumnDataSource" && "time" in model.data && name in model.data
  && Array.from(model.data[name]).some(Number.isFinite))"""
"""Whether a chart against time shows a series."""
HOSTILE = (
    "page=%3Cimg%20src=x%20onerror=alert(1)%3E&time=9e99&point=nan,1e999&region=box:1,2"
    "&lang=%00&theme=no&co2=5&show=../../etc&models=__class__&below=x&view=x"
)


def test_a_view_has_an_address(at, visit):
    here = at("page=explore&time=2002-01-10T01:30")
    page = here.page
    page.locator(".timebar .forward").click()
    page.wait_for_url("**time=2002-01-10T04:30**")
    page.locator('.rail a[data-page="compare"]').click()
    page.wait_for_url("**page=compare**")
    here.wait()
    page.go_back()
    page.wait_for_url("**page=explore**")
    expect(page.locator('[data-role="main"] .when')).to_contain_text("10 Jan 2002 04:30")
    page.go_back()
    expect(page.locator('[data-role="main"] .when')).to_contain_text("10 Jan 2002 01:30")
    page.go_forward()
    expect(page.locator('[data-role="main"] .when')).to_contain_text("04:30")
    page.reload()
    here.wait()
    expect(page.locator('[data-role="main"] .when')).to_contain_text("04:30")
    other = visit().open(page.url.split("?")[1]).page
    expect(other.locator('[data-role="main"] .when')).to_contain_text("04:30")


def test_a_hostile_address_gives_a_notice(visit):
    here = visit().open(HOSTILE)
    notice = here.page.locator(".notice")
    expect(notice).to_have_count(1)
    expect(notice).to_contain_text("<img src=x onerror=alert(1)>")
    assert here.page.evaluate("document.querySelectorAll('img[src=x]').length") == 0
    notice.get_by_role("button").click()
    expect(notice).to_have_count(0)
    assert "page=explore" in here.page.url


def test_a_click_gives_series_and_numbers(at):
    here = at("page=compare&projection=platecarree")
    page = here.page
    expect(page.locator(".inspector")).not_to_be_visible()
    here.click_map("a", 0.6, 0.4)
    page.wait_for_url("**point=**")
    lat, lon = re.search(r"point=(-?[\d.]+),(-?[\d.]+)", page.url).groups()
    assert 0 < float(lat) < 40
    assert 0 < float(lon) < 80
    expect(page.locator(".inspector")).to_be_visible()
    expect(page.locator(".inspector h2")).to_have_text(re.compile(r"\d+\.\d°N \d+\.\d°E"))
    expect(page.locator(".legend li")).to_have_count(3)
    expect(page.locator(".legend .value").first).to_contain_text("ppm")
    page.wait_for_function(
        """() => { const find = (root) => { for (const n of root.querySelectorAll("*")) {
             if (n.matches(".series")) { return n }
             if (n.shadowRoot) { const f = find(n.shadowRoot); if (f) { return f } } } }
           const lines = Bokeh.documents[0].all_models ?? Bokeh.documents[0]._all_models
           for (const m of lines.values()) {
             if (m.type === "ColumnDataSource" && m.data.s0?.length > 40) { return true } }
           return false }"""
    )
    page.locator(".goto input[name=lat]").fill("-33")
    page.locator(".goto input[name=lon]").fill("151")
    page.locator(".goto input[name=lon]").press("Enter")
    expect(page.locator(".inspector h2")).to_have_text("33.0°S 151.0°E")
    page.locator(".inspect .clear").click()
    page.wait_for_url(lambda url: "point=" not in url)


@pytest.mark.parametrize("projection", ["mollweide", "north", "orthographic"])
def test_every_projection_finds_the_point_that_was_clicked(at, projection):
    here = at(f"projection={projection}&wind=1&cases=1&centre=20,60")
    page = here.page
    assert here.colours("main") > 60
    here.click_map("main", 0.52, 0.45)
    page.wait_for_url("**point=**")
    lat, lon = (float(v) for v in re.search(r"point=(-?[\d.]+),(-?[\d.]+)", page.url).groups())
    # A little above and to the right of the middle.
    if projection == "north":
        assert lat > 60
    elif projection == "orthographic":
        assert 20 < lat < 45
        assert 60 < lon < 90
    else:
        assert 0 < lat < 30
        assert 0 < lon < 30


def test_three_models_side_by_side(at):
    here = at("page=compare&models=co2net,vit,interpolation&span=2")
    page = here.page
    for role in ("truth", "a", "b", "c", "difference_a", "difference_b", "difference_c"):
        assert here.colours(role) > 10
    # One scale for all fields, one about zero for all differences.
    expect(page.locator(".colourbar:visible")).to_have_count(2)
    ticks = page.locator(".colourbar.difference .tick").all_inner_texts()
    values = [float(text.replace("−", "-")) for text in ticks]
    assert values == [-v for v in reversed(values)]
    expect(page.locator(".strip table[data-model]")).to_have_count(3)
    best = page.locator('.strip table[data-model="co2net"] tr[data-region="global"] td').first
    # The wave of co2net is the smallest: best in the frame and over the span.
    expect(best.locator(".best")).to_have_count(2)


def test_latitude_against_time(at):
    here = at("view=hovmoller&span=2")
    expect(here.page.locator('[data-role="hovmoller"] .title')).to_contain_text("zonal mean")
    expect(here.page.locator('[data-role="hovmoller"] .note')).to_have_text("")
    assert here.colours("hovmoller") > 10


def test_what_is_shown_can_be_saved(at, tmp_path):
    here = at("show=diff:vit&time=2002-01-10T01:30")
    page = here.page
    page.locator(".export summary").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Map: NetCDF").click()
    saved = tmp_path / waiting.value.suggested_filename
    assert saved.name == "co2net_diff-vit_2002-01-10T01-30.nc"
    waiting.value.save_as(saved)
    with xr.open_dataset(saved) as data:
        assert float(abs(data.co2_difference).max()) == pytest.approx(1.5, abs=0.02)
    answer = page.request.get(page.url.replace("/?", "/export/map.png?").replace("vit", "nobody"))
    assert answer.status == 400
    assert "show" in answer.text()


def test_a_presentation_hides_the_controls(at):
    here = at("present=1")
    page = here.page
    for hidden in (".rail", ".time", ".top .tools"):
        expect(page.locator(hidden).first).not_to_be_visible()
    page.locator('[data-role="main"] .map').click()
    page.keyboard.press("Escape")
    expect(page.locator(".rail")).to_be_visible()
    page.wait_for_url(lambda url: "present" not in url)


def test_the_player_keeps_no_backlog(at):
    here = at("page=compare&time=2002-01-05T01:30")
    page = here.page
    first = here.shown()
    page.locator(".speed select").select_option("20")
    bar = page.locator(".timebar")
    page.locator(".timebar .play").click()
    near = "|".join(str(first + k) for k in range(4))
    expect(bar).not_to_have_attribute("data-shown", re.compile(f"^({near})$"))
    page.locator(".timebar .play").click()
    expect(page.locator(".timebar .play")).to_have_attribute("aria-pressed", "false")
    # What was asked for last is shown, and nothing comes after it.
    expect(bar).to_have_attribute("data-shown", page.locator(".slide input").input_value())
    stopped = here.shown()
    page.wait_for_timeout(1000)
    assert here.shown() == stopped
    assert int(page.locator(".slide input").input_value()) == stopped
    page.wait_for_url("**time=2002-01-**")


def test_languages_and_themes_switch_in_place(visit):
    here = visit().open("page=explore&region=amazon")
    page = here.page
    page.locator(".rail .theme").click()
    expect(page.locator(".app.dark")).to_be_visible()
    page.locator(".rail .language").click()
    expect(page.locator(".top h1")).to_have_text("浏览")
    here.wait()
    assert "lang=zh" in page.url
    assert "theme=dark" in page.url
    assert "region=amazon" in page.url
    expect(page.locator('[data-role="main"] .title')).to_have_text("模拟真值 · 亚马孙")


def test_a_month_that_is_missing_is_explained(at):
    here = at("page=explore")
    page = here.page
    page.locator('.months [data-month="2002-02"]').click()
    expect(page.locator(".notice")).to_contain_text("2002-02 is not in the data yet")
    expect(page.locator(".notice")).to_contain_text("2002-01")
    page.locator(".date input").fill("2002-01-20")
    page.locator(".date input").press("Enter")
    page.wait_for_url("**time=2002-01-20**")


def test_the_first_hours_have_no_model(at):
    here = at("page=explore&time=2002-01-01T01:30")
    here.page.locator('.rail a[data-page="compare"]').click()
    expect(here.page.locator('[data-role="a"] .note')).to_have_text("not available here")
    expect(here.page.locator(".notice")).to_contain_text("reads 8 frames")


def moving(page) -> dict[str, bool]:
    """Which parts of the page move: what waits, the bar that says so, and the drawer."""
    waiting = page.locator(".panel.waiting").first.evaluate(
        "e => getComputedStyle(e, '::before').animationName"
    )
    busy = page.locator(".app.busy .progress").evaluate(
        "e => getComputedStyle(e, '::before').animationName"
    )
    drawer = page.locator(".drawer").evaluate("e => getComputedStyle(e).transitionDuration")
    slow = any(float(part.rstrip("s")) > 0 for part in drawer.split(", "))
    return {"waiting": waiting != "none", "busy": busy != "none", "drawer": slow}


def test_a_slow_model_holds_nobody_up(visit, store):
    hold = store.with_name("hold")  # as long as it is there, the model does not answer
    hold.touch()
    try:
        slow = [visit(), visit()]
        for here in slow:
            here.go("page=compare&models=co2net,sloth&span=2")
        for here in slow:  # the panels beside it are there, and its own say what they wait for
            for role in ("truth", "a", "difference_a"):
                here.paints(role)
            for role in ("b", "difference_b"):
                expect(here.page.locator(f'[data-role="{role}"].panel.waiting')).to_be_visible()
                expect(here.page.locator(f'[data-role="{role}"] .note')).to_have_text("Computing…")
        for motion, moves in (("no-preference", True), ("reduce", False)):
            here.page.emulate_media(reduced_motion=motion)
            assert moving(here.page) == {"waiting": moves, "busy": moves, "drawer": moves}
        quick = visit().open("point=10,20&span=2")
        before = quick.shown()
        quick.page.locator(".timebar .forward").click()
        expect(quick.page.locator(".timebar")).to_have_attribute("data-shown", str(before + 1))
        expect(quick.page.locator(".numbers td.best").first).to_be_visible()
        quick.page.wait_for_function(DRAWN, arg="s2", timeout=60_000)
        quick.page.locator('.rail a[data-page="cases"]').click()
        expect(quick.page.locator(".story:not([hidden])")).to_be_visible(timeout=60_000)
        for here in slow:
            expect(here.page.locator('[data-role="b"].panel.waiting')).to_be_visible()
            assert here.colours("truth") > 30
    finally:
        hold.unlink()
    for here in slow:
        here.paints("b")
        expect(here.page.locator(".panel.waiting")).to_have_count(0)


def test_the_keyboard_alone(at):
    here = at("span=2")
    page = here.page
    page.locator(".rail .brand").focus()
    # Rail, tool bar, map, inspector, time: in the order of the eye.
    way = here.tab_to("Date")
    places = [
        next(n for n, name in enumerate(way) if wanted in name)
        for wanted in ("Compare", "Map settings", "Zoom in", "Latitude", "Play", "Speed", "Date")
    ]
    assert places == sorted(places), way
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("2002-01-10")
    page.keyboard.press("Enter")
    page.wait_for_url("**time=2002-01-10**")
    slider = page.locator(".slide input")
    expect(page.locator(".timebar")).to_have_attribute("data-shown", "76")
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".timebar")).to_have_attribute("data-shown", "77")
    page.keyboard.press(" ")
    expect(page.locator(".timebar .play")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press(" ")
    expect(page.locator(".timebar .play")).to_have_attribute("aria-pressed", "false")
    page.locator(".rail .brand").focus()
    here.tab_to("Map settings")
    page.keyboard.press("Enter")
    expect(page.locator(".drawer")).to_be_visible()
    here.tab_to("Close")
    page.keyboard.press("Enter")
    expect(page.locator(".drawer")).not_to_be_visible()
    here.tab_to("Latitude")
    page.keyboard.type("-33")
    page.keyboard.press("Tab")
    page.keyboard.type("151")
    page.keyboard.press("Enter")
    expect(page.locator(".inspector h2")).to_have_text("33.0°S 151.0°E")
    page.locator(".rail .brand").focus()
    here.tab_to("Compare")
    page.keyboard.press("Enter")
    page.wait_for_url("**page=compare**")
    # A presentation: the arrow keys go through the cases that there are, Escape ends it.
    here.tab_to("Present")
    page.keyboard.press("Enter")
    expect(page.locator(".rail")).not_to_be_visible()
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**region=amazon**")
    page.keyboard.press("Escape")
    expect(page.locator(".rail")).to_be_visible()


NASTY = (
    "<script>alert(1)</script>", "' OR 1=1 --", "../../../etc/passwd", "%00", "\u202e", "-1",
    "1e309", "nan", "null", "{{7*7}}", "2002-13-45", "box:1,2,3", "box:0,0,0,0",
    "box:-999,-999,999,999", "9" * 900, "truth,truth", "diff:", "spread:", "__class__",
    "co2net," * 40,
)  # fmt: skip
WORDS = (
    "page",
    "time",
    "show",
    "models",
    "region",
    "projection",
    "point",
    "window",
    "centre",
    "view",
)


def test_a_hundred_hostile_addresses_change_nothing(at):
    here = at("region=amazon")
    page = here.page
    queries = [f"{WORDS[n % len(WORDS)]}={quote(NASTY[n // 5])}&span={n}" for n in range(100)]
    page.evaluate(
        """(queries) => { for (const query of queries) {
             history.pushState({}, "", `?${query}`)
             dispatchEvent(new PopStateEvent("popstate"))
           } }""",
        [*queries, "region=siberia&theme=dark"],
    )
    expect(page.locator('[data-role="main"] .title')).to_contain_text("Siberia", timeout=120_000)
    expect(page.locator(".app.dark")).to_be_visible()
    here.wait(120_000)
    assert 1 <= page.locator(".notice").count() <= 3
    assert page.locator(".notice script").count() == 0
    for query in queries[:3]:  # and a fresh session from each of some
        assert page.request.get(page.url.split("?")[0] + "?" + query).status == 200
