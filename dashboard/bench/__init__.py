"""The page timed in a headless browser, beside a plain GeoViews app in the same run.

Both servers and the browser share the processors of this machine, which may have other work: the
figures to quote are ratios of one run. The maps of both are watched in the same way (`watch`).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from co2net.errors import UserError
from dashboard.bench import plain
from dashboard.bench.machine import busy_share, memory, processor_seconds
from dashboard.bench.watch import Watched
from dashboard.browser import launched
from dashboard.state import in_order

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

    from co2net.inference import Engine

PARTS = ("step", "visit", "play", "sessions", "leak")
MAPS = ".map:not(.plot)"
"""What holds one map each on the page."""
PANELS = 4
RATE = 10
"""Frames a second of the player."""

Result = dict[str, Any]
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Parameters
    ----------
    steps, rounds
        Steps of one app before the other's turn, and turns of each.
    visits
        First and second visits, and switches between pages.
    seconds
        That the player runs.
    sessions
        How many visitors scrub at once, one measurement each.
    scrubs, pause
        Inputs of each visitor, and milliseconds between one that is painted and the next.
    churn, together
        Sessions that are opened and closed, and how many are open at once.
    linger : s
        How long to wait until the server has forgotten closed sessions.
    """

    steps: int = 10
    rounds: int = 4
    visits: int = 5
    seconds: float = 15.0
    sessions: tuple[int, ...] = (1, 4, 8, 16)
    scrubs: int = 20
    pause: float = 200.0
    churn: int = 50
    together: int = 5
    linger: float = 240.0

    @property
    def frames(self) -> int:
        """Frames of the data set that are shown."""
        return max(self.steps, self.scrubs, round(RATE * self.seconds)) + 1


QUICK = Sizes(5, 2, 2, 5.0, (1, 4), 8, 200.0, 10)
Theirs = Callable[["Watched"], tuple[str, int]]
"""Address and process of the plain app, with maps as large as those of a page that is open."""


@dataclass(frozen=True)
class Bench:
    """Servers, a browser, and what is shown in it."""

    browser: Browser
    address: str
    process: int
    query: str
    first: int
    sizes: Sizes

    def visitor(self) -> BrowserContext:
        """Somebody who has never been here."""
        return self.browser.new_context(viewport={"width": 1280, "height": 720})

    def page(self, where: str = MAPS, count: int = PANELS) -> Watched:
        """The page of a new visitor."""
        return Watched(self.visitor(), where, count)

    @property
    def compare(self) -> str:
        """Address of four linked maps in the Robinson projection."""
        return f"{self.address}/?{self.query}"

    def ready(self) -> dict[str, int]:
        """What the server says of itself."""
        with urllib.request.urlopen(f"{self.address}/ready", timeout=60) as answer:
            found: dict[str, int] = json.load(answer)
        return found

    def wait_idle(self) -> None:
        """Wait until no work is left in the server."""
        _until(lambda: self.ready()["working"] == 0, 300.0)


def check(only: Sequence[str]) -> None:
    """Raise a `UserError` where one of some parts is unknown, or there is no browser."""
    if unknown := set(only) - set(PARTS):
        raise UserError(f"bench page: no part '{min(unknown)[:40]}'; choose {', '.join(PARTS)}")
    with launched():
        pass


def bench_page(
    engine: Engine,
    address: str,
    process: int,
    only: Sequence[str] = (),
    sizes: Sizes | None = None,
    progress: Progress | None = None,
) -> Result:
    """Measure the page that a server shows, in a browser that is started for it; see `measure`.

    Raises
    ------
    UserError
        As `measure`, and when there is no browser.
    """
    with launched() as browser:
        return measure(browser, engine, address, process, only, sizes, progress)


def measure(
    browser: Browser,
    engine: Engine,
    address: str,
    process: int,
    only: Sequence[str] = (),
    sizes: Sizes | None = None,
    progress: Progress | None = None,
) -> Result:
    """Measure the page that a server shows.

    Parameters
    ----------
    engine
        Of the server's data and models; what it computes the server finds in the cache.
    address, process
        ``http://host:port`` of the server, and its process.
    only
        Of `PARTS`; empty: all.

    Raises
    ------
    UserError
        For a data set with too few frames or models.
    """
    sizes = sizes or Sizes()
    parts = [part for part in PARTS if not only or part in only]
    tell = progress or (lambda share, text: None)
    tell(0.0, "fields")
    names = ("truth", *in_order(engine.names())[: PANELS - 1])
    if len(names) < PANELS:
        raise UserError(f"bench page: {PANELS - 1} models are needed; here are {names[1:]}")
    busy, load = busy_share(), os.getloadavg()[0]
    first, fields = _fields(engine, names, sizes.frames)
    time_ = np.datetime_as_string(engine.source.time[first], unit="m")
    words = {"page": "compare", "models": ",".join(names[1:]), "below": "scatter", "time": time_}
    limits = tuple(float(value) for value in np.nanpercentile(fields, [1, 99]))
    bench = Bench(browser, address, process, urlencode(words), first, sizes)
    result: Result = {
        "benchmark": "page",
        "speedup": None,
        "panels": PANELS,
        "projection": "robinson",
        "models": list(names[1:]),
        "reference": "GeoViews DynamicMap of the same four images, without coast and stations",
        "machine": {"cores": os.cpu_count(), "busy_before": busy, "load_before": load},
    }
    alone = {"play": _play, "sessions": _sessions, "leak": _leak}
    with ExitStack() as stack:
        started: list[tuple[str, int]] = []

        def theirs(page: Watched) -> tuple[str, int]:
            if not started:
                app = _plain(bench, engine, fields, limits, page)
                started.append(stack.enter_context(app))
            return started[0]

        for number, part in enumerate(parts):
            tell(number / len(parts), part)
            if part in alone:
                result[part] = alone[part](bench)
                continue
            result[part] = (_step if part == "step" else _visit)(bench, theirs)
            result["speedup"] = result["speedup"] or result[part]["speedup"]
    result["machine"]["load_after"] = os.getloadavg()[0]
    tell(1.0, "")
    return result


def _fields(engine: Engine, names: Sequence[str], count: int) -> tuple[int, NDArray[np.float32]]:
    """First of some frames of the latest month with data, and (names, count, H, W) fields."""
    source = engine.source
    there = np.flatnonzero(source.available)
    months = source.time[there].astype("datetime64[M]")
    first = int(there[months == months[-1]][0]) + 16  # models read the frames before
    index = np.arange(first, first + count)
    if index[-1] > there[-1] or not source.available[index].all():
        raise UserError(f"bench page: the data set's last month has fewer than {count + 16} frames")
    return first, np.stack([engine.fields(name, source.time[index]) for name in names])


@contextmanager
def _plain(
    bench: Bench,
    engine: Engine,
    fields: NDArray[np.float32],
    limits: tuple[float, ...],
    mine: Watched,
) -> Iterator[tuple[str, int]]:
    """Address and process of the plain app; see `Theirs`."""
    box = mine.page.locator(MAPS).first.bounding_box()
    assert box is not None
    with TemporaryDirectory() as folder, socket.socket() as free:
        path = Path(folder) / "fields.npz"
        size = np.array([round(box["width"]), round(box["height"])])
        frames = fields[:, : bench.sizes.steps + 1]
        grid = engine.source.grid
        plain.write_fields(
            path,
            fields=frames,
            lat=grid.lat,
            lon=grid.lon,
            limits=np.array(limits),
            size=size,
        )
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        app = subprocess.Popen(
            [sys.executable, "-m", "dashboard.bench.plain", str(path), str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        address = f"http://127.0.0.1:{port}"
        try:
            _until(lambda: app.poll() is not None or _answers(address), 300.0)
            if app.poll() is not None:
                raise UserError("bench page: the plain app could not be started")
            yield address, app.pid
        finally:
            app.terminate()
            app.wait()


# -- parts ----------------------------------------------------------------------------------------


def _step(bench: Bench, theirs: Theirs) -> Result:
    """One step of the time: the arrow key to the last of four maps, ours and theirs in turn."""
    ours, other = bench.page(), bench.page(plain.WHERE)
    ours.open(bench.compare)
    address, their_process = theirs(ours)
    other.open(address)
    bench.wait_idle()
    ours.page.locator(".slide input").focus()
    other.page.locator(".noUi-handle").focus()
    turns = (
        (ours, bench.process, [], []),
        (other, their_process, [], []),
    )  # type: tuple[tuple[Watched, int, list[float], list[float]], ...]
    for turn in range(-1, bench.sizes.rounds):  # the first warms both
        key = "ArrowRight" if turn % 2 else "ArrowLeft"
        for page, process, taken, spent in turns:
            page.page.bring_to_front()
            page.settle()
            before = processor_seconds(process)
            times = [page.press(key) for _ in range(bench.sizes.steps)]
            if turn >= 0:
                taken += times
                spent.append((processor_seconds(process) - before) / bench.sizes.steps)
    rows = [
        _spread(taken) | {"server_cpu_ms": 1000 * float(np.mean(spent))}
        for _, _, taken, spent in turns
    ]
    for page, *_ in turns:
        page.page.context.close()
    return _compared(*rows)


def _visit(bench: Bench, theirs: Theirs) -> Result:
    """Going to the address until all maps are painted; the second time with what was kept."""
    page = bench.page()
    page.open(bench.compare)
    other, _ = theirs(page)
    taken: dict[str, list[float]] = {}
    switches: list[float] = []
    for _ in range(bench.sizes.visits):
        switches.append(page.switch('[data-page="explore"]', MAPS, 1))
        page.settle()
        switches.append(page.switch('[data-page="compare"]', MAPS, PANELS))
        page.settle()
    page.page.context.close()
    for _ in range(bench.sizes.visits):
        for who, address, where in (
            ("ours", bench.compare, MAPS),
            ("theirs", other, plain.WHERE),
        ):
            page = bench.page(where)
            taken.setdefault(f"{who}_first", []).append(page.open(address))
            page.page.goto("about:blank")
            taken.setdefault(f"{who}_second", []).append(page.open(address))
            page.page.context.close()
    spreads = {name: _spread(times) for name, times in taken.items()}
    return {
        **spreads,
        "switch_first_ms": switches[0],
        "switch": _spread(switches[1:]),
        "speedup_second": spreads["theirs_second"]["p50_ms"] / spreads["ours_second"]["p50_ms"],
        "speedup": spreads["theirs_first"]["p50_ms"] / spreads["ours_first"]["p50_ms"],
    }


def _play(bench: Bench) -> Result:
    """The player at `RATE` frames a second: which share of the frames no map has shown."""
    page = bench.page()
    page.open(bench.compare)
    bench.wait_idle()
    page.page.locator(".speed select").select_option(str(RATE))
    seconds, process = bench.sizes.seconds, bench.process
    rows: list[tuple[int, float, float]] = []
    for measured in (False, True):  # the first time the fields come into the server's memory
        _rewind(page, bench.first)
        bench.wait_idle()
        before = processor_seconds(process)
        page.page.locator(".timebar .play").click()
        painted, seen = page.count(seconds if measured else seconds / 2)
        page.page.locator(".timebar .play").click()
        spent = processor_seconds(process) - before
        page.settle()
        rows.append((painted, seen, spent))
    painted, seen, spent = rows[-1]
    page.page.context.close()
    due = RATE * seen
    return {
        "frames_per_s": RATE,
        "seconds": seen,
        "painted": painted,
        "due": due,
        "dropped_share": max(0.0, 1.0 - painted / due),
        "server_cpu_share": spent / seen,
    }


def _rewind(page: Watched, frame: int) -> None:
    """Go to a frame; the time bar gets no answer when it asks for the one that is shown."""
    page.ask(
        "() => { const [bar] = watch.every(document, '.timebar'); "
        f"if (bar.dataset.shown === '{frame}') {{ return }} "
        "const slider = bar.querySelector('.slide input'); "
        f"slider.value = {frame}; slider.dispatchEvent(new Event('input')) }}"
    )
    page.page.wait_for_function(
        f"() => watch.every(document, '.timebar')[0].dataset.shown === '{frame}'"
    )
    page.settle()


def _sessions(bench: Bench) -> Result:
    """Visitors who scrub at once, each in a browser of this machine."""
    sizes, process = bench.sizes, bench.process
    bench.wait_idle()
    start = memory(process)
    pages: list[Watched] = []
    rows: list[Result] = []
    for count in sizes.sessions:
        while len(pages) < count:
            page = bench.page()
            page.open(bench.compare)
            pages.append(page)
        bench.wait_idle()
        frames = [bench.first + k for k in range(1, sizes.scrubs + 1)]
        if len(rows) % 2:  # there and back again, so that every input asks for another frame
            frames = [frame - 1 for frame in reversed(frames)]
        before, began = processor_seconds(process), time.perf_counter()
        for page in pages:
            page.start_scrub(frames, sizes.pause)
        taken = [page.scrubbed() for page in pages]
        wall = time.perf_counter() - began
        spent = processor_seconds(process) - before
        p95 = [float(np.percentile(times, 95)) for times in taken]
        rows.append(
            {
                "sessions": count,
                "p50_ms": float(np.median(np.concatenate(taken))),
                "p95_ms_median_session": float(np.median(p95)),
                "p95_ms_worst_session": max(p95),
                "steps_per_s": count * sizes.scrubs / wall,
                "server_cpu_share": spent / wall,
                "server_cpu_ms_per_step": 1000 * spent / (count * sizes.scrubs),
                "server_memory_mb_per_session": (memory(process) - start) / count,
            }
        )
    for page in pages:
        page.page.context.close()
    return {"rows": rows}


def _leak(bench: Bench) -> Result:
    """Memory of the server before sessions are opened and closed, and after."""
    sizes, process = bench.sizes, bench.process
    _churn(bench, min(4, sizes.churn))
    start = _rest(bench)
    _churn(bench, sizes.churn)
    peak = memory(process)
    end = _rest(bench)
    return {
        "sessions": sizes.churn,
        "start_mb": start,
        "peak_mb": peak,
        "end_mb": end,
        "growth_share": end / start - 1.0,
        "sessions_kept": bench.ready()["sessions"],
    }


def _churn(bench: Bench, count: int) -> None:
    """Sessions of a visitor who opens a few tabs, looks at half of the pages, and closes them."""
    visitor, left = bench.visitor(), count
    while left:
        pages = [Watched(visitor, MAPS, PANELS) for _ in range(min(left, bench.sizes.together))]
        left -= len(pages)
        for page in pages:
            page.start(bench.compare)
        for number, page in enumerate(pages):
            page.reached()
            if number % 2:  # a page of which the boards have been exchanged
                page.switch('[data-page="explore"]', MAPS, 1)
        for page in pages:
            page.page.close()
    visitor.close()


def _rest(bench: Bench) -> float:
    """MiB of the server when it has forgotten all sessions and done its work."""
    _until(lambda: bench.ready()["sessions"] == 0, bench.sizes.linger)
    bench.wait_idle()
    time.sleep(min(5.0, bench.sizes.linger))
    return memory(bench.process)


# -- small things -----------------------------------------------------------------------------


def _spread(times: Sequence[float]) -> Result:
    p50, p95 = np.percentile(times, [50, 95])
    return {"p50_ms": float(p50), "p95_ms": float(p95), "n": len(times)}


def _compared(ours: Result, theirs: Result) -> Result:
    return {
        "ours": ours,
        "theirs": theirs,
        "speedup_p95": theirs["p95_ms"] / ours["p95_ms"],
        "speedup_server_cpu": theirs["server_cpu_ms"] / max(ours["server_cpu_ms"], 1e-9),
        "speedup": theirs["p50_ms"] / ours["p50_ms"],
    }


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=60):
            return True
    except OSError:
        return False


def _until(test: Callable[[], bool], seconds: float) -> None:
    """Wait until something is so, or for some seconds."""
    end = time.monotonic() + seconds
    while not test() and time.monotonic() < end:
        time.sleep(0.2)
