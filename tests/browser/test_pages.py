"""The page, as a visitor meets it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

ROLES = {"explore": ["main"], "compare": ["truth", "a", "b", "difference_a", "difference_b"]}
HOSTILE = (
    "page=%3Cimg%20src=x%20onerror=alert(1)%3E&time=9e99&point=nan,1e999&region=box:1,2"
    "&lang=%00&theme=no&co2=5&show=../../etc&a=__class__"
)


@pytest.mark.parametrize(("lang", "theme"), [("en", "light"), ("zh", "dark")])
@pytest.mark.parametrize("key", list(ROLES))
def test_every_page_is_whole(visit, key, lang, theme):
    here = visit().open(f"page={key}&lang={lang}&theme={theme}")
    page = here.page
    for role in ROLES[key]:
        assert here.colours(role) > 60
        title = here.text(f'[data-role="{role}"] .heading')
        assert "ppm" in title
        assert "2002" in title
        assert ("simulated" if lang == "en" else "模拟") in title
    expect(page.locator(".badge")).to_be_visible()
    assert here.text(".badge") == ("Simulated world" if lang == "en" else "模拟世界")
    expect(page.locator(".numbers td.best").first).to_be_visible()
    assert page.locator(".app").evaluate("e => e.classList.contains('dark')") == (theme == "dark")
    # Nothing scrolls at 1280 x 720, and the maps have two thirds of the window.
    for selector in (".app", ".inspector", ".board"):
        overflow = page.locator(selector).first.evaluate("e => e.scrollHeight - e.clientHeight")
        assert overflow <= 1, selector
    stage = page.locator(".stage").bounding_box()
    assert stage["width"] * stage["height"] >= 1280 * 720 * 2 / 3 * 0.995
    # Whatever can be operated has a name.
    nameless = page.evaluate(
        """() => {
          const out = []
          const walk = (root) => { for (const node of root.querySelectorAll("*")) {
            if (node.matches("button, a, input, select") && node.offsetParent
                && node.getAttribute("aria-hidden") !== "true") {
              const name = node.getAttribute("aria-label") || node.textContent.trim()
                || node.labels?.[0]?.textContent.trim() || node.title
              if (!name) { out.push(node.outerHTML.slice(0, 120)) }
            }
            if (node.shadowRoot) { walk(node.shadowRoot) }
          } }
          walk(document)
          return out
        }"""
    )
    assert nameless == []


def test_a_view_has_an_address(visit):
    here = visit().open("page=explore&time=2002-01-10T01:30")
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


def test_a_click_gives_series_and_numbers(visit):
    here = visit().open("page=compare&projection=platecarree")
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


def test_a_box_becomes_the_region(visit):
    here = visit().open("projection=platecarree")
    page = here.page
    page.locator(".map-box").click()
    box = page.locator('[data-role="main"] .map').bounding_box()
    page.wait_for_timeout(300)
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.6 * box["height"], steps=4)
    page.mouse.up()
    page.wait_for_url("**region=box:**")
    expect(page.locator(".numbers thead")).to_contain_text("Box")


def test_the_player_keeps_no_backlog(visit):
    here = visit().open("page=compare&time=2002-01-05T01:30")
    page = here.page
    first = here.shown()
    page.locator(".speed select").select_option("20")
    page.locator(".timebar .play").click()
    page.wait_for_timeout(3000)
    page.locator(".timebar .play").click()
    page.wait_for_timeout(500)
    stopped = here.shown()
    assert stopped > first + 3
    page.wait_for_timeout(1000)
    assert here.shown() == stopped
    asked = int(page.locator(".slide input").input_value())
    assert asked == stopped
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


def test_a_month_that_is_missing_is_explained(visit):
    here = visit().open()
    page = here.page
    page.locator('.months [data-month="2002-02"]').click()
    expect(page.locator(".notice")).to_contain_text("2002-02 is not in the data yet")
    expect(page.locator(".notice")).to_contain_text("2002-01")
    page.locator(".date input").fill("2002-01-20")
    page.locator(".date input").press("Enter")
    page.wait_for_url("**time=2002-01-20**")


def test_the_first_hours_have_no_model(visit):
    here = visit().open("page=explore&time=2002-01-01T01:30")
    here.page.goto(here.page.url.replace("page=explore", "page=compare"))
    expect(here.page.locator('[data-role="a"] .note')).to_have_text("not available here")
    expect(here.page.locator(".notice")).to_contain_text("reads 8 frames")


def test_a_slow_model_holds_nobody_up(visit):
    slow, quick = visit().open(), visit().open()
    slow.page.goto(slow.page.url + "&show=sloth")
    slow.page.wait_for_selector(".panel canvas")
    before = quick.shown()
    quick.page.locator(".timebar .forward").click()
    expect(quick.page.locator(".timebar")).to_have_attribute("data-shown", str(before + 1))
    # The other visitor still waits, and can see that.
    expect(slow.page.locator(".app.busy")).to_be_visible()


def test_it_works_on_a_telephone(visit):
    for key in ROLES:
        here = visit(390, 844, has_touch=True).open(f"page={key}")
        page = here.page
        assert page.locator(".app").evaluate("e => e.scrollWidth - e.clientWidth") <= 1
        map_box = page.locator(".panel").first.bounding_box()
        assert map_box["width"] > 350
        board = page.locator(".stage").bounding_box()
        last = page.locator(".colourbar:visible").last.bounding_box()
        assert last["y"] + last["height"] <= board["y"] + board["height"] + 1
        bar = page.locator(".timebar").bounding_box()
        assert bar["y"] + bar["height"] <= 845
        page.locator(".timebar .forward").click()
        expect(page.locator(".panel .when").first).to_be_visible()


def test_the_keyboard_reaches_everything(visit):
    here = visit().open()
    page = here.page
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.add(
            page.evaluate(
                """() => { let n = document.activeElement
                     while (n?.shadowRoot?.activeElement) { n = n.shadowRoot.activeElement }
                     return n?.getAttribute("aria-label") ?? "" }"""
            )
        )
    names = " ".join(seen)
    for wanted in ("Play", "One frame forward", "Map settings", "Zoom in", "Date", "Speed"):
        assert wanted in names, wanted
