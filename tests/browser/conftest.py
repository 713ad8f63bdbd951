"""A real server and a real browser. No request may leave the machine, no error may be logged."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Route, TimeoutError, expect

from dashboard.browser import launched
from tests.browser.server import make_store

expect.set_options(timeout=60_000)  # machines are shared
REPOSITORY = Path(__file__).resolve().parents[2]


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
    for _ in range(300):
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

    def drawn(self, column: str) -> dict[str, list[Any]]:
        """The data behind a chart: the columns of the one data source that has a column."""
        return self.page.evaluate(_DATA, column)

    def wait(self, milliseconds: float = 120_000) -> Visit:
        """Wait until every panel shows a map."""
        self.page.wait_for_selector(".panel canvas", timeout=milliseconds)
        self.page.wait_for_function(_PAINTED, timeout=milliseconds)
        return self

    def draws(self, mark: str, name: str, values: Any, off: float = 0.02) -> None:
        """Wait until a chart with a column ``mark`` has a column of such values."""
        wanted = [float(value) for value in values]
        try:
            self.page.wait_for_function(_DRAWS, arg=[mark, name, wanted, off], timeout=60_000)
        except TimeoutError:
            np.testing.assert_allclose(self.drawn(mark).get(name, []), wanted, atol=off)
            raise

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

    def pick(self, name: str, text: str | re.Pattern[str]) -> None:
        """Choose in a list of the tool bar or of the drawer, with the mouse."""
        self.page.locator(f".pick-{name} [role=combobox]").click()
        choice = self.page.locator(".MuiMenuItem-root").filter(has_text=text)
        choice.first.click()
        for _ in range(20):  # lists of which several can be chosen stay open
            try:
                expect(self.page.locator(".MuiMenuItem-root")).to_have_count(0, timeout=1500)
            except AssertionError:
                self.page.keyboard.press("Escape")
            else:
                break

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
        """Click at a share of a panel's width and height."""
        box = self.page.locator(f'[data-role="{role}"] .map').bounding_box()
        assert box is not None
        self.page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])

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
_DATA = """(column) => {
  for (const model of (Bokeh.documents[0]._all_models).values()) {
    if (model.type === "ColumnDataSource" && column in model.data) {
      return Object.fromEntries(Object.entries(model.data).map(([k, v]) => [k, Array.from(v)]))
    }
  }
  return {}
}"""
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
  .some((seen) => seen.length === values.length
    && values.every((value, n) => Math.abs(seen[n] - value) <= off))"""
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


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Callable[..., Visit]]:
    """Open pages; at the end, nothing may have gone out and no error may have been logged."""
    problems: list[str] = []
    contexts = []

    def guard(route: Route) -> None:
        url = route.request.url
        if url.startswith((address, "data:", "blob:")):
            route.continue_()
        else:
            problems.append(f"request to {url}")
            route.abort()

    def make(width: int = 1280, height: int = 720, **options: Any) -> Visit:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        context.route("**/*", guard)
        context.set_default_timeout(120_000)
        page = context.new_page()
        page.on(
            "console",
            lambda m: problems.append(f"{m.type}: {m.text}") if m.type == "error" else None,
        )
        page.on("pageerror", lambda error: problems.append(f"error: {error}"))
        return Visit(page, address)

    yield make
    for context in contexts:
        context.close()
    assert problems == []
