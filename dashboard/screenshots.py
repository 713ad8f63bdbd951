"""Pictures of every page, by a headless browser: ``co2net dashboard --screenshots DIR``."""

from __future__ import annotations

import json
import struct
import time
import urllib.request
import zlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from fnmatch import fnmatch
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import numpy as np
from PIL import Image

from co2net.assets import atomic_path
from co2net.errors import UserError
from dashboard.browser import launched
from dashboard.i18n import LANGUAGES
from dashboard.pages import registry
from dashboard.state import THEMES

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDTHS = {1280: 720, 390: 844}
"""Width of the window, and the least height of a picture."""
TALLEST = 2400
"""Most pixels down."""
PATIENCE = 240.0
"""Seconds that a page may take until it is painted."""
_PAUSE = 0.5
_ROUNDS = 8  # a higher window may make parts of a page higher

Progress = Callable[[float, str], None]

_FIND = """
const every = (root, selector, found = []) => {
  for (const node of root.querySelectorAll("*")) {
    if (node.matches(selector)) { found.push(node) }
    if (node.shadowRoot) { every(node.shadowRoot, selector, found) }
  }
  return found
}
"""
_PAINTED = f"""(page) => {{ {_FIND}
  const app = every(document, ".app")[0], board = every(document, ".board")[0]
  const seen = (selector) => every(board, selector).filter((node) => node.offsetParent)
  // What has come has several colours; that of a field alone without a number is one.
  const painted = (canvas) => {{
    const found = new Set(), {{width, height}} = canvas
    if (!width || !height) {{ return false }}
    const {{data}} = canvas.getContext("2d").getImageData(0, 0, width, height)
    for (const pixel of new Uint32Array(data.buffer)) {{
      if (pixel && found.add(pixel).size === 3) {{ return true }}
    }}
    return false
  }}
  const shows = (part, selector) => every(part, selector).some(painted)
  return app?.dataset.page === page && document.title.endsWith(" · co2net")
    && !app.matches(".busy")
    && seen(".map, .card, .field, table, section.empty").length > 0
    && seen('[role="status"].progress').every((line) => !line.textContent)
    && seen(".waiting").length === 0
    && seen(".map:not(.plot)").every((map) => shows(map, "canvas.field, canvas.bk-layer"))
    && seen(".plot").every((plot) => shows(plot, "canvas"))
}}"""
"""Whether the page is there, is computing nothing, and shows its parts, maps and charts.

The parts are each in a shadow tree of its own, which no selector looks across: each is sought
from the board downwards.
"""
_HIDDEN = f"""() => {{ {_FIND}
  const scrolls = (node) => /auto|scroll/.test(getComputedStyle(node).overflowY)
  const large = (node) => node.clientWidth > 0.6 * window.innerWidth
    && node.clientHeight > 0.6 * window.innerHeight
  const tops = every(document, "*").filter((node) => scrolls(node) && large(node))
  return Math.max(0, ...tops.map((node) => node.scrollHeight - node.clientHeight))
}}"""
"""How many pixels of the page have to be scrolled to; lists in it do not count."""


@dataclass(frozen=True)
class Shot:
    """One picture.

    Parameters
    ----------
    page, theme, language
        As in the address.
    width
        Of the window, pixels.
    """

    page: str
    theme: str
    language: str
    width: int

    @property
    def name(self) -> str:
        """Of its file, without the ending."""
        return f"{self.page}-{self.theme}-{self.language}-{self.width}"


def shots(only: Sequence[str] = ()) -> list[Shot]:
    """Every page, light and dark, in every language and width.

    Parameters
    ----------
    only
        Patterns of names such as ``explore-*`` or ``*-dark-zh-390``; empty: all.

    Raises
    ------
    UserError
        When no name fits.
    """
    every = [
        Shot(page, theme, language, width)
        for page in registry()
        for width in WIDTHS
        for theme in THEMES
        for language in LANGUAGES
    ]
    chosen = [shot for shot in every if not only or any(fnmatch(shot.name, one) for one in only)]
    if not chosen:
        raise UserError(
            f"no picture is called {' or '.join(only)[:80]}; names are such as {every[0].name}"
        )
    return chosen


def take(
    address: str,
    folder: str | Path,
    only: Sequence[str] = (),
    height: int | None = None,
    progress: Progress | None = None,
    browser: Browser | None = None,
) -> list[Path]:
    """Write ``PAGE-THEME-LANGUAGE-WIDTH.png`` of a server's pages.

    Parameters
    ----------
    address
        ``http://host:port`` of a server that answers.
    only
        See `shots`.
    height
        Of the window; None: as high as the page, where that is more than the window.
    progress
        Told the share done and the name of the picture that comes next.
    browser
        One that runs already; None starts one.

    Raises
    ------
    UserError
        When there is no browser, or a page is not painted in `PATIENCE` seconds.
    """
    wanted, made = shots(only), []
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with launched() if browser is None else nullcontext(browser) as chromium:
        for number, shot in enumerate(wanted):
            if progress is not None:
                progress(number / len(wanted), shot.name)
            picture = compact(_picture(chromium, address, shot, height))
            path = folder / f"{shot.name}.png"
            with atomic_path(path) as draft:
                draft.write_bytes(picture)
            made.append(path)
    if progress is not None:
        progress(1.0, "")
    return made


def compact(png: bytes) -> bytes:
    """The same pixels in fewer bytes: nothing is foretold from neighbouring pixels.

    Surfaces, letters and maps of few colours repeat exactly, which the differences that PNG
    writes for photographs would hide. Of a page a quarter is saved.

    Parameters
    ----------
    png
        A picture without transparency.
    """
    with Image.open(BytesIO(png)) as image:
        pixels = np.asarray(image.convert("RGB"))
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), dtype=np.uint8)  # a 0 before each: no filter
    rows[:, 1:] = pixels.reshape(height, -1)
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    ]
    own = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )
    return min(own, png, key=len)


def _picture(browser: Browser, address: str, shot: Shot, height: int | None) -> bytes:
    low = height or WIDTHS[shot.width]
    context = browser.new_context(
        viewport={"width": shot.width, "height": low},
        reduced_motion="reduce",
        has_touch=shot.width < 760,
    )
    context.set_default_timeout(1000 * PATIENCE)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda fault: faults.append(str(fault)))
    words = {"page": shot.page, "theme": shot.theme, "lang": shot.language}
    page.goto(f"{address}/?{urlencode(words)}")
    picture = _quiet(page, address, shot, faults)
    for _ in range(0 if height else _ROUNDS):
        hidden = int(page.evaluate(_HIDDEN))
        if not hidden or low == TALLEST:
            break
        low = min(low + hidden, TALLEST)
        page.set_viewport_size({"width": shot.width, "height": low})
        picture = _quiet(page, address, shot, faults)
    context.close()
    return picture


def _quiet(page: Page, address: str, shot: Shot, faults: list[str]) -> bytes:
    """The picture of a page, once the server has done its work and nothing changes any more."""
    end = time.monotonic() + PATIENCE
    before = b""
    while time.monotonic() < end:
        if faults:
            raise UserError(f"{shot.name} cannot be painted: {faults[0].splitlines()[0][:200]}")
        ready = page.evaluate(_PAINTED, shot.page) and _working(address) == 0
        now = page.screenshot() if ready else b""
        if ready and now == before:
            return now
        before = now
        page.wait_for_timeout(1000 * _PAUSE)
    raise UserError(f"{shot.name} was not painted in {PATIENCE:g} s; its page may be faulty")


def _working(address: str) -> int:
    with urllib.request.urlopen(f"{address}/ready", timeout=30) as answer:
        return int(json.load(answer)["working"])
