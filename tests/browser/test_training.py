"""The page of trainings, from the form to a model on Compare, through crashes of the server."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from co2net.grid import LatLonGrid
from co2net.jobs import Job, State, Train, jobs, submit
from co2net.jobs.folder import read_json
from co2net.training.sample import load_sample
from tests.browser.conftest import REPOSITORY, Visit
from tests.synthetic import SyntheticSource, write_store

STEPS = 100
SLOW = 240_000  # ms: a training shares the processor with browser and server
SERVE = """
import os, sys
from pathlib import Path
from co2net.assets import data_path
from co2net.schema import open_store
from dashboard.app import serve
from tests.browser.server import Waves
folder, port = sys.argv[1:]
data = Path(folder, "data")
data.mkdir(exist_ok=True)
for path in data_path().iterdir():
    if path.name not in ("archive", "cache", "demo") and not (data / path.name).exists():
        (data / path.name).symlink_to(path)
os.environ["CO2NET_DATA"] = str(data)
store = f"{folder}/world.zarr"
models = [Waves(name, 1.0, open_store(store).grid) for name in ("vit", "interpolation")]
serve(store, port=int(port), models=models, cache_dir=f"{folder}/cache")
"""
HOSTILE = "<img src=x onerror=alert(1)> '../二氧化碳'"


class Server:
    """A server that can be killed and started again at the same address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = folder / "runs"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(self.folder), str(self.port)],
            cwd=REPOSITORY,
            env={**os.environ, "CO2NET_RUNS": str(self.runs)},
        )
        deadline = time.monotonic() + 400
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(self.address + "/ready", timeout=2):
                    return
            except OSError:
                assert self._process.poll() is None, "the server did not start"
                time.sleep(0.2)
        pytest.fail("the server does not answer")

    def kill(self) -> None:
        """As a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Over two weeks about the turn of a validation year into a training year."""
    folder = tmp_path_factory.mktemp("training")
    world = SyntheticSource(LatLonGrid.regular(18, 24), "2001-12-29", "2002-01-12", sites=12)
    write_store(folder / "world.zarr", world)
    found = Server(folder)
    found.start()
    yield found
    found.kill()
    for job in jobs(found.runs):
        job.cancel(grace=0)


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """Wait longer here than for other pages."""
    expect.set_options(timeout=SLOW)
    yield
    expect.set_options(timeout=60_000)


def visitor(browser: Browser) -> BrowserContext:
    """A browser of its own, as if on another machine."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    context.set_default_timeout(SLOW)
    return context


def enter(page: Page, **values: str) -> None:
    """Fill in the form as a person does."""
    for name, value in values.items():
        field = page.locator(f'[data-field="{name}"]').locator("input, select")
        if field.evaluate("e => e.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)
            field.press("Tab")


def step(page: Page) -> int:
    """Steps that the first row tells."""
    text = page.locator("tbody tr td.step").first.inner_text()
    return int(re.sub(r"\D", "", re.split("[/\n]", text)[0]) or 0)


def curves(page: Page) -> list[int]:
    """Points of the curves of the training loss, one of each chosen job."""
    return list(
        page.evaluate(
            """() => { const known = Bokeh.documents[0].all_models ?? Bokeh.documents[0]._all_models
               for (const m of known.values()) {
                 if (m.type === "Figure" && m.name === "curve-loss") {
                   return m.renderers[0].data_source.data.ys.map((ys) => ys.length) } }
               return [] }"""
        )
    )


def validation(page: Page) -> tuple[str, str]:
    """The caption of the validation map, and the map as a picture."""
    caption = page.locator(".field-maps .caption").inner_text()
    canvas = page.locator('figure[data-map="model"] canvas')
    return caption, str(canvas.evaluate("e => e.toDataURL()"))


def validated(job: Job) -> int:
    """Step of the latest validation whose map is there; 0: none yet."""
    sample = load_sample(Path(job.outputs()["run"]))
    return 0 if sample is None else sample.step


def value(page: Page, name: str) -> str:
    """What a field of the form holds."""
    return page.locator(f'[data-field="{name}"]').locator("input, select").input_value()


def offers(page: Page, model: str) -> bool:
    """Whether some list of choices of an open page has a model, by its label."""
    return bool(
        page.evaluate(
            """(name) => {
               const known = Bokeh.documents[0].all_models ?? Bokeh.documents[0]._all_models
               return [...known.values()].some((m) => {
                 const choices = m.attributes?.options ?? m.attributes?.groups
                 return choices && JSON.stringify(Object.entries(choices)).includes(name)
               }) }""",
            model,
        )
    )


def trainer(job: Job) -> int:
    return int((read_json(job.folder / "process.json") or {})["pid"])


def until(what: str, condition, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited too long for {what}"
        time.sleep(0.1)


def test_from_the_form_to_a_model_on_compare(browser: Browser, server: Server) -> None:
    context = visitor(browser)
    page = context.new_page()
    page.goto(f"{server.address}/?page=training")
    expect(page.locator(".check.good")).to_contain_text("windows to train")
    enter(page, title=HOSTILE, model="co2net", preset="XS", target="absolute", budget="steps")
    enter(page, amount=str(STEPS), validate_every="25", batch="2", threads="1")
    expect(page.locator(".check.good")).to_be_visible()
    page.locator(".start").click()
    row = page.locator("tbody tr").first
    expect(row).to_have_attribute("data-state", "running")
    expect(row.locator(".name")).to_have_text(HOSTILE)
    assert page.locator("img[src=x]").count() == 0
    (job,) = jobs(server.runs)
    until("a validation", lambda: validated(job) > 0)
    # It holds its breath while the server restarts, however long that takes on this machine.
    os.kill(trainer(job), signal.SIGSTOP)
    expect(row.locator(".rmse")).to_have_text(re.compile(r"\d"))
    expect(page.locator('figure[data-map="model"] canvas')).to_be_visible()
    expect(page.locator(".log")).to_contain_text(job.id)
    until("the curves", lambda: sum(curves(page)) > 0)
    before = job.metrics()[-1]["step"]
    assert 0 < before < STEPS
    until("its step on the page", lambda: step(page) == before)
    context.close()
    server.kill()
    assert job.state() == State.RUNNING
    server.start()
    context = visitor(browser)
    page, other = context.new_page(), Visit(context.new_page(), server.address)
    other.page.goto(f"{server.address}/?page=explore")
    other.wait(SLOW)
    page.goto(f"{server.address}/?page=training")
    row = page.locator("tbody tr").first
    expect(row).to_have_attribute("data-state", "running")
    until("the same step", lambda: step(page) == before)
    expect(page.locator('figure[data-map="model"] canvas')).to_be_visible()
    (caption, picture), seen = validation(page), validated(job)
    os.kill(trainer(job), signal.SIGCONT)
    until("another validation", lambda: validated(job) > seen)
    os.kill(trainer(job), signal.SIGSTOP)  # it must not end before it is cancelled
    until("more steps on the page", lambda: step(page) > before)
    # The map of the validation is that of the new one, on the open page.
    expect(page.locator(".field-maps .caption")).not_to_have_text(caption)
    until("the map of it", lambda: validation(page)[1] != picture)
    row.locator("button.cancel").click()
    until("the word to it", (job.folder / "cancel").exists)
    os.kill(trainer(job), signal.SIGCONT)
    expect(row).to_have_attribute("data-state", "cancelled")
    row.locator("button.resume").click()
    expect(row).to_have_attribute("data-state", re.compile("running|succeeded"))
    expect(row).to_have_attribute("data-state", "succeeded")
    name = f"co2net-XS-{job.id[:4]}"
    until("every open session to offer the model", lambda: offers(other.page, f"XS-{job.id[:4]}"))
    other.page.close()

    row = page.locator(f'tr[data-job="{job.id}"]')
    row.locator("button.evaluate").click()
    scores = page.locator("tbody tr").filter(has_text=f"Scores of {name}")
    expect(scores).to_be_visible()
    row.locator("button.duplicate").click()
    expect(page.locator('[data-field="title"] input')).to_have_value(HOSTILE)
    assert [value(page, key) for key in ("model", "amount", "batch")] == ["co2net", str(STEPS), "2"]
    enter(page, title="shorter", amount="25")
    expect(page.locator(".check.good")).to_be_visible()
    page.locator(".start").click()
    shorter = page.locator("tbody tr").filter(has_text="shorter")
    expect(shorter).to_have_attribute("data-state", "succeeded")
    assert jobs(server.runs)[-1].spec().config["steps"] == 25
    shorter.locator("input").check()
    row.locator("input").check()
    until("two curves over each other", lambda: len(curves(page)) == 2 and min(curves(page)) > 0)
    expect(page.locator(".swatch path")).to_have_count(2)
    expect(scores).to_have_attribute("data-state", "succeeded")
    scores.locator("button.name").click()
    expect(page.locator(".scores")).to_contain_text(name)

    row.locator("button.compare").click()
    page.wait_for_url(f"**models={name}**")
    here = Visit(page, server.address).wait(SLOW)
    expect(page.locator('[data-role="truth"]')).to_be_visible()
    assert here.colours("difference_a" if page.locator('[data-role="a"]').count() else "truth") > 30
    context.close()


def test_limits_languages_and_the_telephone(browser: Browser, server: Server) -> None:
    server.runs.mkdir(exist_ok=True)
    with (server.runs / ".device-cpu.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # so that it waits
        config = {"model": "vit", "preset": "XS", "steps": 5}
        data = str(server.folder / "world.zarr")
        job = submit(Train(config=config, data=data, device="cpu", threads=1), server.runs)
        context = visitor(browser)
        page = context.new_page()
        page.goto(f"{server.address}/?page=training&lang=zh&theme=dark")
        row = page.locator(f'tr[data-job="{job.id}"]')
        expect(row.locator("span.state")).to_have_text("排队中")
        expect(row.locator(".message")).to_have_text("等待轮到它")
        enter(page, batch="-3")
        expect(page.locator('[data-field="batch"] .error')).to_contain_text("1")
        expect(page.locator(".start")).to_be_disabled()
        enter(page, batch="4", train="2000")
        expect(page.locator(".check.bad")).to_contain_text("测试年份")
        enter(page, train="1999")
        expect(page.locator(".check.bad")).to_contain_text("2001-12, 2002-01")
        assert page.locator(".training").evaluate("e => e.scrollWidth - e.clientWidth") <= 1
        row.locator("button.cancel").click()
        expect(row).to_have_attribute("data-state", "cancelled")
        expect(row.locator(".message")).to_contain_text("取消")
        row.locator("button.delete").click()
        row.locator("button.no").click()
        expect(row.locator("button.delete")).to_be_visible()
        row.locator("button.delete").click()
        row.locator("button.yes").click()
        expect(row).to_have_count(0)
        assert not job.folder.exists()

        page.locator('[data-field="data"] select').select_option(index=0)  # 21 years, not there
        page.locator(".check.bad button.act").click()
        world = page.locator("tbody tr").filter(has_text="模拟世界").first
        expect(world).to_have_attribute("data-state", "running")
        world.locator("button.cancel").click()
        expect(world).to_have_attribute("data-state", "cancelled")
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.locator(".app").evaluate("e => e.scrollWidth - e.clientWidth") <= 1
        expect(page.locator(".start")).to_be_visible()
        context.close()
