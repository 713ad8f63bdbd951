"""What is on the rendered page: contrast, names, room, and the colours of the pixels."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest
import xarray as xr
from playwright.sync_api import TimeoutError, expect

from co2net.colours import palette
from co2net.grid import LatLonGrid
from dashboard.i18n import Translator
from dashboard.maps.projection import projection
from dashboard.pages import registry
from tests.browser.conftest import WINDOW

TIME = "2002-01-16T13:30"
READY = {
    "explore": ".numbers td.best",
    "compare": ".strip .best",
    "cases": ".story:not([hidden])",
    "oceans": ".tables td",
    "stations": ".scores td",
    "benchmarks": ".scores td",
    "training": ".check.good, .check.bad",
    "data": ".card .coverage",
}
MAPS = {
    "explore": ("main",),
    "compare": ("truth", "a", "b", "difference_a", "difference_b"),
    "cases": ("truth", "model", "moment0", "moment1", "moment2"),
    "oceans": ("main",),
}
_EACH = """
const each = (root, act) => {
  for (const node of root.querySelectorAll("*")) {
    act(node)
    if (node.shadowRoot) { each(node.shadowRoot, act) }
  }
}
"""
_NAMELESS = f"""() => {{ {_EACH}
  const out = []
  each(document, (node) => {{
    if (node.matches("button, a, input, select, summary") && node.offsetParent
        && node.getAttribute("aria-hidden") !== "true") {{
      const name = node.getAttribute("aria-label") || node.textContent.trim()
        || node.labels?.[0]?.textContent.trim() || node.title
      if (!name) {{ out.push(node.outerHTML.slice(0, 120)) }}
    }}
  }})
  return out
}}"""
# Contrast after WCAG 2.1, 1.4.3: of every text that is seen, against what lies below it. Controls
# that are disabled are exempt there; text in charts is painted, and not measured here.
_PALE = f"""() => {{ {_EACH}
  const read = (text) => {{
    const n = text.match(/-?[\\d.]+(e-?\\d+)?/g).map(Number)
    const scale = text.startsWith("color(") ? 255 : 1
    return [n[0] * scale, n[1] * scale, n[2] * scale, n[3] ?? 1]
  }}
  const over = (top, below) => [0, 1, 2].map((k) => top[3] * top[k] + (1 - top[3]) * below[k])
  const light = (rgb) => {{
    const [r, g, b] = rgb.map((v) => v / 255)
      .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }}
  const above = (node) => node.assignedSlot ?? node.parentElement ?? node.getRootNode().host
  const ground = (node) => {{
    const layers = []
    for (let at = node; at; at = above(at)) {{
      const colour = read(getComputedStyle(at).backgroundColor)
      if (colour[3] > 0) {{ layers.push(colour) }}
      if (colour[3] === 1) {{ break }}
    }}
    return layers.reduceRight((below, top) => over(top, below), [255, 255, 255])
  }}
  const out = []
  each(document, (node) => {{
    const own = [...node.childNodes].filter((one) => one.nodeType === 3)
      .map((one) => one.textContent.trim()).join(" ").trim()
    const text = node.matches("input:not([type=range]):not([type=checkbox])")
      ? node.value || node.placeholder : node.matches("select") ? node.value : own
    if (!text || node.matches("style, script, option, title, noscript")) {{ return }}
    if (node.closest(":disabled, .Mui-disabled, [aria-disabled=true], [inert]")) {{ return }}
    const box = node.getBoundingClientRect()
    const seen = node.checkVisibility({{opacityProperty: true, visibilityProperty: true}})
    if (!seen || box.width < 3 || box.height < 3) {{ return }}
    const empty = node.matches("input") && !node.value
    const style = getComputedStyle(node, empty ? "::placeholder" : null)
    const below = ground(node), colour = read(style.color)
    let opacity = Number(style.opacity)
    for (let at = above(node); at; at = above(at)) {{
      opacity *= Number(getComputedStyle(at).opacity)
    }}
    colour[3] *= opacity
    const [high, low] = [light(over(colour, below)), light(below)].sort((a, b) => b - a)
    const size = parseFloat(style.fontSize), bold = Number(style.fontWeight) >= 700
    const large = size >= 24 || (bold && size >= 18.66)
    const ratio = (high + 0.05) / (low + 0.05)
    if (ratio < (large ? 3 : 4.5)) {{
      const where = `${{node.tagName}}.${{node.className}}`
      out.push(`${{text.slice(0, 40)}} (${{where}}): ${{ratio.toFixed(2)}}`)
    }}
  }})
  return out
}}"""
_TEXTS = f"""() => {{ {_EACH}
  let count = 0
  each(document, (node) => {{
    count += [...node.childNodes].some((one) => one.nodeType === 3 && one.textContent.trim())
      && node.checkVisibility()
  }})
  return count
}}"""
_PIXELS = f"""() => {{ {_EACH}
  let canvas = null
  each(document, (node) => {{ if (node.matches("canvas.field")) {{ canvas = node }} }})
  const {{width, height}} = canvas
  const plot = [...Bokeh.documents[0]._all_models.values()]
    .find((model) => model.type === "Figure" && model.name === "map-main")
  const {{x_range, y_range}} = plot
  return {{
    width, height, low: Number(canvas.dataset.low), high: Number(canvas.dataset.high),
    x: [x_range.start, x_range.end], y: [y_range.start, y_range.end],
    data: Array.from(canvas.getContext("2d").getImageData(0, 0, width, height).data),
  }}
}}"""


def contrasts(page) -> None:
    """All text stands out; colours that are changing are waited for."""
    try:
        page.wait_for_function(f"() => ({_PALE})().length === 0", timeout=20_000)
    except TimeoutError:
        assert page.evaluate(_PALE) == []
    assert page.evaluate(_TEXTS) > 20  # it has looked at something


@pytest.mark.parametrize("key", list(registry()))
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_page_is_whole(at, lang, key):
    t = Translator(lang)
    theme, other = ("light", "dark") if lang == "en" else ("dark", "light")
    here = at(f"page={key}&lang={lang}&theme={theme}&time={TIME}")
    page = here.page
    page.wait_for_selector(READY[key])
    expect(page.locator(".top h1")).to_have_text(t(f"page.{key}"))
    expect(page.locator(".top .badge")).to_have_text(t("shell.simulated"))
    assert page.evaluate("document.documentElement.lang") == {"en": "en", "zh": "zh-CN"}[lang]
    for role in MAPS.get(key, ()):
        heading = page.locator(f'[data-role="{role}"] .heading')
        expect(heading).to_contain_text(t("map.simulated"))  # a slow one says first it computes
        expect(heading).to_contain_text(re.compile("ppm|mol m⁻² yr⁻¹|pH|" + "2002"))
    contrasts(page)
    assert page.evaluate(_NAMELESS) == []
    if key in ("explore", "compare"):  # nothing scrolls, and the maps have two thirds
        parts = (".app", ".board", ".inspector") if key == "explore" else (".app", ".board")
        for selector in parts:
            overflow = page.locator(selector).first.evaluate("e => e.scrollHeight - e.clientHeight")
            assert overflow <= 1, selector
        stage = page.locator(".stage").bounding_box()
        assert stage["width"] * stage["height"] >= 1280 * 720 * 2 / 3 * 0.995
    page.locator(".rail .theme").click()
    expect(page.locator(".app.dark")).to_have_count(int(other == "dark"))
    page.wait_for_url(f"**theme={other}**" if other == "dark" else re.compile("^((?!theme=).)*$"))
    contrasts(page)
    page.set_viewport_size({"width": 390, "height": 844})
    narrow = "e => e.scrollWidth <= 391"
    page.wait_for_function("() => document.documentElement.scrollWidth <= 391")
    assert page.locator(".app").evaluate(narrow)
    if key in MAPS:
        panel = page.locator(".panel:visible").first
        page.wait_for_function("() => innerWidth === 390")
        expect(panel).to_be_visible()
        assert panel.bounding_box()["width"] > 340
    if key in ("explore", "compare"):
        bar = page.locator(".timebar").bounding_box()
        assert bar["y"] + bar["height"] <= 845
    page.set_viewport_size(WINDOW)


@pytest.mark.parametrize(
    ("show", "plane", "kind"),
    [("truth", "robinson", "sequential"), ("diff:vit", "platecarree", "diverging")],
)
def test_pixels_have_the_colour_of_the_value_below_them(at, store, show, plane, kind):
    here = at(f"page=explore&show={show}&projection={plane}&cells=1&stations=0&time={TIME}")
    field = xr.open_zarr(store).co2.sel(time=TIME)
    grid = LatLonGrid(field.lat.values, field.lon.values)
    values = np.asarray(field, dtype=float)
    if kind == "diverging":
        values = np.broadcast_to(1.5 * np.sin(3 * np.radians(grid.lon)), grid.shape)
    colours = palette(kind)
    table = np.array([[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in colours])

    def look() -> tuple[int, int, float, float]:
        """Pixels off the map that are painted, pixels compared, shares near and exact."""
        found = here.page.evaluate(_PIXELS)
        low, high = found["low"], found["high"]
        assert low <= np.percentile(values, 2) < np.percentile(values, 98) <= high
        assert kind == "sequential" or low == -high
        width, height = found["width"], found["height"]
        column, row = (a.ravel() for a in np.meshgrid(range(0, width, 5), range(0, height, 5)))

        def cell(right: float, down: float) -> np.ndarray:
            """Number of the cell at a place within the pixels; -1 off the map."""
            (x0, x1), (y0, y1) = found["x"], found["y"]
            x = x0 + (column + right) * (x1 - x0) / width
            y = y1 + (row + down) * (y0 - y1) / height
            lon, lat = projection(plane).inverse(x, y)
            there = np.isfinite(lon) & (np.abs(lat) <= 90)
            out = np.full(column.size, -1)
            out[there] = np.ravel_multi_index(grid.cell(lat[there], lon[there]), grid.shape)
            return out

        middle = cell(0.5, 0.5)
        places = [(a, b) for a in (0.1, 0.9) for b in (0.1, 0.9)]
        sure = np.all([cell(*place) == middle for place in places], axis=0)  # of no other cell
        pixels = np.array(found["data"]).reshape(height, width, 4)[row, column]
        inside = sure & (middle >= 0)
        share = (values.ravel()[middle[inside]] - low) / (high - low)
        step = np.clip((share * len(colours)).astype(int), 0, len(colours) - 1)
        apart = np.abs(pixels[inside, :3] - table[step]).max(axis=1)
        outside = int((pixels[sure & (middle < 0), 3] > 0).sum())
        # near: the next colour, where one ends
        return outside, int(inside.sum()), float((apart <= 6).mean()), float((apart == 0).mean())

    # A map that has just got its size is painted again at the browser's next frame.
    deadline = time.monotonic() + 60
    while True:
        outside, number, near, exact = look()
        good = outside == 0 and number > 2000 and near == 1 and exact > 0.97
        if good or time.monotonic() > deadline:
            break
        here.page.wait_for_timeout(500)
    assert outside == 0
    assert number > 2000
    assert near == 1
    assert exact > 0.97


_DEEP = """const deep = (selector, root = document) => [
    ...root.querySelectorAll(selector),
    ...[...root.querySelectorAll("*")].filter((e) => e.shadowRoot)
      .flatMap((e) => deep(selector, e.shadowRoot)),
  ]"""
_APART = f"""() => {{ {_DEEP}
  const [tools] = deep(".map-tools").map((e) => e.getBoundingClientRect())
  const maps = deep(".panel .map").map((e) => e.getBoundingClientRect())
  const apart = (map) => map.width > 0 && (tools.right <= map.x || map.right <= tools.x
    || tools.bottom <= map.y || map.bottom <= tools.y)
  return tools?.width > 0 && tools.x >= 0 && maps.length === 7 && maps.every(apart)
}}"""
_WHOLE = f"""() => {{ {_DEEP}
  const [inspector] = deep(".inspector"), words = deep(".legend .name, .numbers th")
  return inspector.scrollHeight <= inspector.clientHeight + 1 && words.length > 3
    && words.every((e) => e.scrollWidth <= e.clientWidth + 1)
}}"""


def test_buttons_of_the_map_lie_on_no_map_and_what_is_presented_is_whole(at):
    # Of truth, three models and their differences.
    page = at(f"page=compare&models=co2net,vit,interpolation&time={TIME}").page
    expect(page.locator(".map-tools button")).to_have_count(4)
    page.wait_for_function(_APART, timeout=60_000)
    page = at(f"page=explore&show=vit&region=amazon&present=1&time={TIME}").page
    expect(page.locator(".app.presenting .numbers td").first).to_be_visible()
    expect(page.locator(".map-tools, .goto, .tabs").filter(visible=True)).to_have_count(0)
    page.wait_for_function(_WHOLE, timeout=60_000)
