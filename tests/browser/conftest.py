"""A real server and a real browser. No request may leave the machine, no error may be logged."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pytest
from playwright.sync_api import (
    Browser,
    Locator,
    Page,
    Route,
    TimeoutError,
    ViewportSize,
    expect,
)

from dashboard.browser import launched
from tests.browser.server import make_store

expect.set_options(timeout=60_000)  # machines are shared
REPOSITORY = Path(__file__).resolve().parents[2]
WINDOW: ViewportSize = {"width": 1280, "height": 720}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests."""
    with launched() as found:
        yield found


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that the server reads."""
    path = tmp_path_factory.mktemp("browser") / "store.zarr"
    make_store(str(path))
    return path


@pytest.fixture(scope="session")
def address(store: Path) -> Iterator[str]:
    """``http://host:port`` of a server that answers."""
    folder = store.parent
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    log = (folder / "server.log").open("w+")
    command = [sys.executable, "-m", "tests.browser.server"]
    server = subprocess.Popen(
        [*command, str(store), str(port), str(folder / "cache")],
        cwd=REPOSITORY,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, "CO2NET_RUNS": str(folder / "runs")},
    )
    try:
        _wait(url + "/ready", server, log)
        yield url
        log.seek(0)
        text = log.read()
        # Tabs that close in the middle of a message are no fault; anything of ours is.
        assert not re.search(r'File ".*/(dashboard|co2net)/', text), text[-4000:]
    finally:
        server.terminate()
        server.wait(timeout=120)
        log.close()


def _wait(url: str, server: subprocess.Popen[bytes], log: Any) -> None:
    deadline = time.monotonic() + 400  # machines are shared
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            if server.poll() is not None:
                break
            time.sleep(0.2)
    log.seek(0)
    pytest.fail("the server did not start:\n" + log.read()[-4000:])


class Visit:
    """A page in the browser, with the questions that tests ask of it."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self._address = address

    def open(self, query: str = "") -> Visit:
        """Go to an address and wait until its first frame is on screen."""
        self.page.goto(f"{self._address}/?{query}")
        return self.wait()

    def turn(self, query: str) -> Visit:
        """Go to a view as the browser's back and forward do: by its address, without a load.

        It goes by way of a page without maps, so that what is on screen afterwards is new. A page
        with maps has painted them then.
        """
        target = parse_qs(query).get("page", ["explore"])[0]
        language = parse_qs(query).get("lang", ["en"])[0]
        self.page.evaluate(_TIDY)
        away = "benchmarks" if target == "data" else "data"
        self._went(f"page={away}&lang={language}", away)
        before = self.page.evaluate(_SERIAL)
        self._went(query, target)
        if target in ("explore", "compare", "cases", "oceans"):
            self.page.wait_for_function(f"(before) => ({_SERIAL})() > before", arg=before)
        return self.wait() if target in ("explore", "compare") else self

    def show(self, query: str, selector: str) -> Page:
        """Turn to a page that is more than maps, and wait until an element is seen."""
        self.turn(query).page.wait_for_selector(selector)
        return self.page

    def _went(self, query: str, page: str) -> None:
        self.page.evaluate(
            """(query) => { history.pushState({}, "", `?${query}`)
                 dispatchEvent(new PopStateEvent("popstate")) }""",
            query,
        )
        self.page.wait_for_selector(f'.app[data-page="{page}"]')

    def go(self, query: str = "") -> Page:
        """Go to an address and wait for nothing but the frame of the page."""
        self.page.goto(f"{self._address}/?{query}")
        self.page.wait_for_selector(".app", timeout=60_000)
        return self.page

    def reach(self, query: str, selector: str) -> Page:
        """Go to a page without maps that fill it, and wait until an element is seen."""
        self.page.goto(f"{self._address}/?{query}")
        self.page.wait_for_selector(selector, timeout=60_000)
        return self.page

    def drawn(self, *columns: str) -> dict[str, list[Any]]:
        """The data behind a chart: the columns of the one data source that has some columns."""
        return self.page.evaluate(_DATA, list(columns))

    def wait(self, milliseconds: float = 120_000) -> Visit:
        """Wait until every panel shows a map."""
        self.page.wait_for_selector(".panel canvas", timeout=milliseconds)
        self.page.wait_for_function(_PAINTED, timeout=milliseconds)
        return self

    def draws(self, mark: str, name: str, values: Any, off: float = 0.02) -> None:
        """Wait until a chart with a column ``mark`` has a column of such values.

        A field is one cell of its column. Where NaN is wanted, anything may be.
        """
        wanted = [float(value) if np.isfinite(value) else None for value in values]
        try:
            self.page.wait_for_function(_DRAWS, arg=[mark, name, wanted, off], timeout=60_000)
        except TimeoutError:
            seen = self.drawn(mark, name).get(name, [])
            raise AssertionError(f"{name} is {seen!s:.300}, not {wanted!s:.300}") from None

    def hover(self, role: str, x: float, y: float) -> str:
        """The text that a map shows under the mouse, at a share of its width and height."""
        box = self.page.locator(f'[data-role="{role}"] .map').bounding_box()
        assert box is not None
        text = self.page.locator(".bk-Tooltip table")
        for attempt in range(40):  # the first move may come before the map listens
            self.page.mouse.move(
                box["x"] + x * box["width"] + attempt % 2, box["y"] + y * box["height"]
            )
            try:
                text.first.wait_for(timeout=1500)
            except TimeoutError:
                continue
            break
        return text.first.locator("xpath=..").inner_text()

    def pick(self, name: str, text: str | re.Pattern[str], keys: bool = False) -> None:
        """Choose in a list of the tool bar or of the drawer, with the mouse or by keyboard."""
        box = self.page.locator(f".pick-{name} [role=combobox]")
        wanted = re.compile(f"^{re.escape(text)}$") if isinstance(text, str) else text
        choice = self.page.locator(".MuiMenuItem-root").filter(has_text=wanted).first
        if not keys:
            box.click()
            choice.click()
        else:
            self.reach_by_tab(box)
            self.page.keyboard.press("Enter")
            choice.wait_for()
            for _ in range(40):
                if wanted.search(self.focused()):
                    break
                self.page.keyboard.press("ArrowDown")
            else:
                pytest.fail(f"the arrow keys do not reach {text}")
            self.page.keyboard.press("Enter")
        self.shut(keys)

    def press(self, target: Locator, keys: bool = False) -> None:
        """Use a button or a link, with the mouse or by keyboard."""
        if keys:
            self.reach_by_tab(target)
            self.page.keyboard.press("Enter")
        else:
            target.click()

    def pick_day(self, day: str, keys: bool = False) -> None:
        """Choose a day of the month on screen in the calendar."""
        self.press(self.page.locator(".date .choose"), keys)
        calendar = self.page.locator(".calendar")
        expect(calendar).to_be_visible()
        if keys:
            at = calendar.locator('button[tabindex="0"][data-day]')
            days = int(day[-2:]) - int(at.get_attribute("data-day")[-2:])  # type: ignore[index]
            for _ in range(abs(days)):
                self.page.keyboard.press("ArrowRight" if days > 0 else "ArrowLeft")
            self.page.keyboard.press("Enter")
        else:
            calendar.locator(f'[data-day="{day}"]').click()
        expect(calendar).to_be_hidden()
        self.page.wait_for_url(f"**time={day}**")

    def pick_in_drawer(self, name: str, text: str, keys: bool = False) -> None:
        """Choose in a list of the drawer, which is opened for it and closed again."""
        self.press(self.page.locator(".drawer-toggle"), keys)
        expect(self.page.locator(".drawer")).to_be_visible()
        self.pick(name, text, keys)
        self.press(self.page.locator(".drawer .toggle"), keys)
        expect(self.page.locator(".app.drawer-open")).to_have_count(0)

    def shut(self, keys: bool = False) -> None:
        """Close the list that is open; those of which one is chosen close themselves."""
        choices = self.page.locator(".MuiMenuItem-root")
        for _ in range(40):
            try:
                expect(choices).to_have_count(0, timeout=1000)
            except AssertionError:
                if keys:
                    self.page.keyboard.press("Escape")
                else:  # beside it, where only what lies behind the list can be hit
                    behind = self.page.locator(".MuiBackdrop-root")
                    with suppress(TimeoutError):
                        behind.click(position={"x": 900, "y": 600}, timeout=1000)
            else:
                return
        expect(choices).to_have_count(0)

    def draw_box(self, role: str, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Draw a box with the mouse, from one share of a map's width and height to another."""
        self.page.locator(".map-box").click()
        self.page.wait_for_function(_ARMED, timeout=60_000)
        box = self.page.locator(f'[data-role="{role}"] .map').bounding_box()
        assert box is not None
        places = [
            (box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)
        ]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        self.page.mouse.move(*places[1], steps=4)
        self.page.mouse.up()

    def focused(self) -> str:
        """Name of what has the keyboard."""
        return str(self.page.evaluate(_FOCUSED))

    def reach_by_tab(self, target: Locator, most: int = 200) -> None:
        """Press Tab until an element has the keyboard."""
        for _ in range(most):
            if target.evaluate("e => e.getRootNode().activeElement === e"):
                return
            self.page.keyboard.press("Tab")
        pytest.fail(f"Tab does not reach {target}")

    def tab_to(self, name: str, most: int = 90) -> list[str]:
        """Press Tab until something of a name has the keyboard; the names on the way."""
        way: list[str] = []
        while name not in (way[-1:] or [""])[0]:
            assert len(way) < most, f"Tab does not reach {name}: {way}"
            self.page.keyboard.press("Tab")
            way.append(self.focused())
        return way

    def scales(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest value of the colours of every map."""
        found = self.page.evaluate(_SCALES)
        return {role: tuple(limits) for role, limits in found.items()}

    def paints(self, role: str, colours: int = 10) -> None:
        """Wait until a panel shows a map, whatever the others do."""
        self.page.wait_for_selector(f'[data-role="{role}"] canvas', timeout=60_000)
        self.page.wait_for_function(_PAINTS, arg=[role, colours], timeout=60_000)

    def shown(self) -> int:
        """The frame on screen."""
        return int(self.page.locator(".timebar").get_attribute("data-shown") or -1)

    def colours(self, role: str) -> int:
        """How many colours the field has in the middle of a panel."""
        return int(self.page.locator(f'[data-role="{role}"] .map').evaluate(_COLOURS))

    def click_map(self, role: str, x: float, y: float) -> None:
        """Click at a share of a panel's width and height, until the address tells the point."""
        chart = self.page.locator(f'[data-role="{role}"] .map')
        for _ in range(20):  # the first click may come before the map listens
            box = chart.bounding_box()
            assert box is not None
            self.page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
            with suppress(TimeoutError):
                self.page.wait_for_url("**point=**", timeout=6000)
                return
        pytest.fail(f"no click on {role} gives a point")

    def text(self, selector: str) -> str:
        """Text of an element."""
        return self.page.locator(selector).first.inner_text()


_FIND = """
const all = (root, selector, found = []) => {
  for (const node of root.querySelectorAll("*")) {
    if (node.matches(selector)) { found.push(node) }
    if (node.shadowRoot) { all(node.shadowRoot, selector, found) }
  }
  return found
}
const colours = (map) => {
  const seen = new Set(), fields = all(map, "canvas.field")  // without coast and dots
  for (const canvas of fields.length ? fields : all(map, "canvas")) {
    if (!canvas.width) { continue }
    const w = canvas.width, h = canvas.height
    const data = canvas.getContext("2d").getImageData(w >> 2, h >> 2, w >> 1, h >> 1).data
    for (let i = 0; i < data.length; i += 40) {
      if (data[i + 3] === 255) { seen.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]) }
    }
  }
  return seen.size
}
"""
_DATA = """(columns) => {
  for (const model of (Bokeh.documents[0]._all_models).values()) {
    if (model.type === "ColumnDataSource" && columns.every((name) => name in model.data)) {
      return Object.fromEntries(Object.entries(model.data).map(([k, v]) => [k, Array.from(v)]))
    }
  }
  return {}
}"""
_SERIAL = """() => [...Bokeh.documents[0]._all_models.values()].map((model) => model.data)
  .find((data) => data && typeof data === "object" && "shown" in data && "fps" in data).shown[1]"""
_TIDY = f"""() => {{ {_FIND}
  for (const button of all(document, ".drawer-open .drawer .toggle, .notice .toggle")) {{
    button.click()
  }}
}}"""
_ARMED = """() => [...Bokeh.documents[0]._all_models.values()]
  .some((model) => model.type === "BoxSelectTool" && model.active)"""
_FOCUSED = """() => {
  let node = document.activeElement
  while (node?.shadowRoot?.activeElement) { node = node.shadowRoot.activeElement }
  const labels = (node?.getAttribute("aria-labelledby") ?? "").split(" ")
    .map((id) => id && node.getRootNode().getElementById?.(id)?.textContent)
  return node?.getAttribute("aria-label") || labels.filter(Boolean).join(" ")
    || node?.labels?.[0]?.textContent || node?.textContent.trim() || node?.title || ""
}"""
_DRAWS = """([mark, name, values, off]) => [...Bokeh.documents[0]._all_models.values()]
  .filter((model) => model.type === "ColumnDataSource" && mark in model.data && name in model.data)
  .map((model) => Array.from(model.data[name]))
  .map((seen) => seen.length === 1 && seen[0]?.length ? Array.from(seen[0]) : seen)
  .some((seen) => seen.length === values.length
    && values.every((value, n) => value == null || Math.abs(seen[n] - value) <= off))"""
_PAINTS = f"""([role, least]) => {{ {_FIND}
  return all(document, `[data-role="${{role}}"] .map`).some((map) => colours(map) > least)
}}"""
_SCALES = f"""() => {{ {_FIND}
  return Object.fromEntries(all(document, ".panel .map:not(.plot)").map((map) => {{
    const {{low, high}} = all(map, "canvas.field")[0].dataset
    return [map.closest("[data-role]").dataset.role, [Number(low), Number(high)]]
  }}))
}}"""
_COLOURS = f"(map) => {{ {_FIND} return colours(map) }}"
_PAINTED = f"""() => {{ {_FIND}
  const maps = all(document, ".map")
  return maps.length > 0 && maps.every((map) => colours(map) > (map.matches(".plot") ? 2 : 10))
    && all(document, ".panel .title").every((title) => title.textContent !== "")
    && all(document, ".app.busy").length === 0
}}"""


class Tabs:
    """Opens pages in the browser, and hears of all that they must not do.

    No request may leave the machine: one that would is cut off, and is a problem; so is an error
    in the console.
    """

    def __init__(self, browser: Browser, address: str) -> None:
        self.problems: list[str] = []
        self._browser, self._address = browser, address
        self._contexts: list[Any] = []
        self._shared: dict[str, Visit] = {}

    def open(self, width: int = 1280, height: int = 720, **options: Any) -> Visit:
        """A page of a visitor's own, still blank."""
        context = self._browser.new_context(viewport={"width": width, "height": height}, **options)
        self._contexts.append(context)
        # Only what would leave the machine is asked about: the rest costs no detour.
        context.route(re.compile(f"^(?!{re.escape(self._address)}/|data:|blob:)"), self._cut)
        context.set_default_timeout(120_000)
        page = context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        return Visit(page, self._address)

    def _cut(self, route: Route) -> None:
        self.problems.append(f"request to {route.request.url}")
        route.abort()

    def _heard(self, message: Any) -> None:
        if message.type == "error":
            self.problems.append(f"error: {message.text}")

    def at(self, query: str) -> Visit:
        """A view on the page of its language, which tests have one after the other."""
        language = parse_qs(query).get("lang", ["en"])[0]
        if language not in self._shared:
            here = self._shared[language] = self.open()
            here.reach(f"page=data&lang={language}", ".card .coverage")
        here = self._shared[language]
        if here.page.viewport_size != WINDOW:
            here.page.set_viewport_size(WINDOW)
        return here.turn(query)

    def check(self) -> None:
        """Nothing has gone out, and no error has been logged."""
        problems = self.problems[:]
        self.problems.clear()
        assert problems == []

    def close(self) -> None:
        """Close all pages."""
        for context in self._contexts:
            context.close()
        self._contexts.clear()
        self._shared.clear()


@pytest.fixture(scope="session")
def tabs(browser: Browser, address: str) -> Iterator[Tabs]:
    """The pages that stay open for the whole run, one a language."""
    tabs = Tabs(browser, address)
    yield tabs
    tabs.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember whether a test has failed: the page that it leaves is not used again."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


FAILED = pytest.StashKey[bool]()


@pytest.fixture
def at(tabs: Tabs, request: pytest.FixtureRequest) -> Iterator[Callable[[str], Visit]]:
    """Go to a view, on a page that is open already."""
    yield tabs.at
    if request.node.stash.get(FAILED, False) or tabs.problems:
        tabs.close()
    tabs.check()


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Callable[..., Visit]]:
    """Open pages of one's own."""
    tabs = Tabs(browser, address)
    yield tabs.open
    tabs.close()
    tabs.check()
