"""The benchmark of the page runs at tiny sizes and says what it promises."""

from __future__ import annotations

import subprocess
import sys

import pytest

from co2net.errors import UserError
from co2net.inference import Engine
from co2net.schema import open_store
from dashboard import bench
from dashboard.bench.machine import busy_share, memory, processor_seconds
from dashboard.bench.watch import Watched
from tests.browser.server import Waves

TINY = bench.Sizes(
    steps=1, rounds=1, visits=1, seconds=1.0, sessions=(2,), scrubs=2, churn=1, linger=0.0
)


def test_parts_give_their_numbers(store, address, browser):
    source = open_store(store)
    models = [Waves(name, 1.0, source.grid) for name in ("co2net", "vit", "interpolation")]
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    said = []
    try:
        row = bench.measure(
            browser, Engine(source, models), address, process.pid,
            sizes=TINY, progress=lambda share, text: said.append((share, text)),
        )  # fmt: skip
    finally:
        process.communicate(b"\n", timeout=60)
    assert [text for _, text in said] == ["fields", *bench.PARTS, ""]
    assert row["speedup"] == row["step"]["speedup"] > 0
    for who in ("ours", "theirs"):
        assert row["step"][who]["n"] == 1
        assert 0 < row["step"][who]["p50_ms"] <= row["step"][who]["p95_ms"]
    assert row["play"]["painted"] >= 0  # a slow machine may paint none in a second
    assert 0 <= row["play"]["dropped_share"] <= 1
    assert [one["sessions"] for one in row["sessions"]["rows"]] == [2]
    assert all(one["p95_ms_worst_session"] > 0 for one in row["sessions"]["rows"])
    assert row["visit"]["speedup"] > 0
    for name in ("ours_first", "ours_second", "theirs_first", "theirs_second", "switch"):
        assert row["visit"][name]["n"] == 1
        assert row["visit"][name]["p50_ms"] > 0
    leak = row["leak"]
    assert leak["sessions"] == 1
    assert leak["growth_share"] == leak["end_mb"] / leak["start_mb"] - 1


def test_painted_means_that_pixels_are_others(browser):
    watched = Watched(browser.new_context(), ".map", 2)
    page = watched.page
    page.goto("about:blank")
    page.set_content(
        """<div class="map"><canvas width="96" height="48"></canvas></div>
        <div class="map"><canvas width="96" height="48"></canvas></div>
        <script>
        const paint = (n, turn) => {
          const pen = document.querySelectorAll("canvas")[n].getContext("2d")
          for (let x = 0; x < 96; x++) {
            pen.fillStyle = `hsl(${3 * x + turn}, 90%, 50%)`
            pen.fillRect(x, 0, 1, 48)
          }
        }
        paint(0, 0)
        let late = 0
        addEventListener("keydown", () => {
          paint(0, 90)
          setTimeout(() => { late = performance.now(); paint(1, 90) }, 400)
        })
        </script>"""
    )
    page.evaluate("window.watch ?? 0")
    assert not page.evaluate("watch.painted('.map', 2)")  # the second is empty
    page.evaluate("paint(1, 0)")
    assert page.evaluate("watch.painted('.map', 2)")
    assert not page.evaluate("watch.painted('.map', 3)")
    assert watched.press("a") >= 400  # the last one counts
    page.evaluate("paint(0, 90)")  # the same pixels are no frame
    assert page.evaluate("watch.count('.map', 0.2)")["changes"] == [0, 0]
    page.context.close()


def test_what_is_wrong_is_said_first(store):
    with pytest.raises(UserError, match="no part 'walk'; choose step"):
        bench.check(["step", "walk"])
    source = open_store(store)
    with pytest.raises(UserError, match="3 models are needed"):
        bench.measure(None, Engine(source, [Waves("vit", 1.0, source.grid)]), "", 0)
    three = [Waves(name, 1.0, source.grid) for name in "abc"]
    with pytest.raises(UserError, match="fewer than 1017 frames"):
        bench.measure(None, Engine(source, three), "", 0, sizes=bench.Sizes(seconds=100.0))


def test_the_machine_is_read():
    with subprocess.Popen(
        [sys.executable, "-c", "x = bytearray(64 << 20); print(sum(range(4_000_000))); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline()
        assert memory(process.pid) > 64
        assert processor_seconds(process.pid) > 0
        process.communicate(b"\n", timeout=60)
    assert 0 <= busy_share(0.1) <= 1
