"""What a page paints, watched in the browser in the same way whatever drew it.

A panel is painted when pixels of its canvas are others than before. A map's canvas is looked at
once a frame of the browser, through 48 x 24 of its pixels.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

PATIENCE = 300_000
"""Milliseconds after which a page that does not paint is given up."""
QUIET = 300
"""Milliseconds without change between one step and the next."""

_WATCH = """
window.watch = (() => {
  const every = (root, selector, found = []) => {
    for (const node of root.querySelectorAll(selector)) { found.push(node) }
    for (const node of root.querySelectorAll("*")) {
      if (node.shadowRoot) { every(node.shadowRoot, selector, found) }
    }
    return found
  }
  const pad = document.createElement("canvas")
  pad.width = 48; pad.height = 24
  const pen = pad.getContext("2d", {willReadFrequently: true})
  pen.imageSmoothingEnabled = false
  const pixels = (canvas) => {
    pen.clearRect(0, 0, 48, 24)
    pen.drawImage(canvas, 0, 0, 48, 24)
    return pen.getImageData(0, 0, 48, 24).data
  }
  const differ = (a, b) => a.some((value, n) => value !== b[n])
  const canvases = (where) => every(document, where)
    .map((node) => every(node.shadowRoot ?? node, "canvas").find((one) => one.width > 1))
    .filter((canvas) => canvas)
  const coloured = (canvas) => {
    const data = pixels(canvas), seen = new Set()
    for (let i = 0; i < data.length; i += 4) {
      const [r, g, b, opaque] = data.subarray(i, i + 4)
      const colour = opaque === 255 && Math.max(r, g, b) - Math.min(r, g, b) > 24
      if (colour) { seen.add((r << 16) | (g << 8) | b) }
    }
    return seen.size > 12
  }
  const painted = (where, count) => {
    const all = canvases(where)
    return all.length === count && all.every(coloured)
  }
  const once = (kind, then) => addEventListener(kind, then, {capture: true, once: true})
  // Milliseconds until each of the canvases has changed.
  const changed = (all, before, began) => new Promise((resolve) => {
    const at = all.map(() => null)
    const look = () => {
      const start = began()
      if (start != null) {
        all.forEach((canvas, n) => {
          if (at[n] != null || !differ(pixels(canvas), before[n])) { return }
          at[n] = performance.now() - start
        })
      }
      if (at.every((time) => time != null)) { resolve(at) } else { requestAnimationFrame(look) }
    }
    requestAnimationFrame(look)
  })
  // From the next event of a kind until all is painted.
  const step = (where, kind) => {
    const all = canvases(where), before = all.map(pixels)
    let start = null
    once(kind, (event) => { start = event.timeStamp })
    window.stepped = changed(all, before, () => start)
  }
  const until = (test, kind) => {
    window.reached = new Promise((resolve) => {
      let start = kind ? null : 0
      if (kind) { once(kind, (event) => { start = event.timeStamp }) }
      const look = () => {
        if (start != null && test()) { resolve(performance.now() - start) }
        else { setTimeout(look, 20) }
      }
      look()
    })
  }
  const settled = async (where, quiet) => {
    const all = canvases(where)
    let before = all.map(pixels), since = performance.now()
    while (performance.now() - since < quiet) {
      await new Promise((go) => setTimeout(go, 50))
      const now = all.map(pixels)
      if (now.some((one, n) => differ(one, before[n]))) { before = now; since = performance.now() }
    }
  }
  // How often each canvas changes in some seconds.
  const count = (where, seconds) => new Promise((resolve) => {
    const all = canvases(where), last = all.map(pixels), changes = all.map(() => 0)
    const start = performance.now()
    const look = () => {
      all.forEach((canvas, n) => {
        const now = pixels(canvas)
        if (differ(now, last[n])) { last[n] = now; changes[n]++ }
      })
      const seen = (performance.now() - start) / 1000
      if (seen < seconds) { requestAnimationFrame(look) }
      else { resolve({changes, seconds: seen}) }
    }
    look()
  })
  // One visitor who drags the slider, and lets go of it when the maps have followed.
  const scrub = async (where, frames, pause) => {
    const slider = every(document, ".slide input")[0], all = canvases(where), taken = []
    for (const frame of frames) {
      const before = all.map(pixels), start = performance.now()
      slider.value = frame
      slider.dispatchEvent(new Event("input"))
      taken.push(Math.max(...await changed(all, before, () => start)))
      await new Promise((go) => setTimeout(go, pause))
    }
    return taken
  }
  return {every, painted, step, until, settled, count, scrub}
})()
"""


class Watched:
    """A page of the browser with maps that are watched.

    Parameters
    ----------
    where
        Selector of what holds one map each.
    count
        How many there are.
    """

    def __init__(self, context: BrowserContext, where: str, count: int) -> None:
        context.set_default_timeout(PATIENCE)
        self.page: Page = context.new_page()
        self.page.add_init_script(_WATCH)
        self._where, self._count = where, count
        look = f"watch.until(() => watch.painted({json.dumps(where)}, {count}))"
        self.page.add_init_script(f"addEventListener('DOMContentLoaded', () => {look})")

    def open(self, address: str) -> float:
        """Milliseconds from going to an address until all maps are painted."""
        self.start(address)
        return self.reached()

    def start(self, address: str) -> None:
        """Go to an address."""
        self.page.goto(address, wait_until="commit")

    def reached(self) -> float:
        """Milliseconds that it took until all maps were painted; waits for them."""
        self.page.wait_for_function("() => window.reached && window.reached.then(() => true)")
        taken: float = self.page.evaluate("() => window.reached")
        return taken

    def switch(self, click: str, where: str, count: int) -> float:
        """Milliseconds from a click until the maps of another page are painted."""
        test = f"() => watch.painted({json.dumps(where)}, {count})"
        self.page.evaluate(f"() => {{ watch.until({test}, 'click') }}")
        self.page.locator(click).first.click()
        return self.reached()

    def press(self, key: str) -> float:
        """Milliseconds from a key that is pressed until the last map has changed."""
        self.page.evaluate("(where) => { watch.step(where, 'keydown') }", self._where)
        self.page.keyboard.press(key)
        self.page.wait_for_function("() => window.stepped.then(() => true)")
        taken = max(self.page.evaluate("() => window.stepped"))
        self.settle()
        return taken

    def settle(self) -> None:
        """Wait until nothing has changed for a while."""
        self.page.evaluate("([where, quiet]) => watch.settled(where, quiet)", [self._where, QUIET])

    def count(self, seconds: float) -> tuple[int, float]:
        """How many frames all maps have shown, and in how many seconds."""
        found = self.page.evaluate(
            "([where, seconds]) => watch.count(where, seconds)", [self._where, seconds]
        )
        return min(found["changes"]), found["seconds"]

    def start_scrub(self, frames: list[int], pause: float) -> None:
        """Let a visitor drag the slider to frames, with pauses of milliseconds."""
        what = [self._where, frames, pause]
        self.page.evaluate("(what) => { window.scrubbed = watch.scrub(...what) }", what)

    def scrubbed(self) -> list[float]:
        """Milliseconds from each input of `start_scrub` until the last map was painted."""
        self.page.wait_for_function("() => window.scrubbed.then(() => true)")
        taken: list[float] = self.page.evaluate("() => window.scrubbed")
        return taken

    def ask(self, question: str) -> Any:
        """What a function answers in the page."""
        return self.page.evaluate(question)
