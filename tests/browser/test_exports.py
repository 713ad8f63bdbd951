"""Exports from the menu of every page, and the pictures of the page."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import xarray as xr
from PIL import Image
from playwright.sync_api import expect

from dashboard import screenshots
from dashboard.i18n import Translator
from tests.browser.conftest import REPOSITORY


def save(page, button, folder):
    """Choose an entry of the menu; where the file is that comes."""
    if not page.locator(".export[open]").count():
        page.locator(".export summary").click()
    with page.expect_download(timeout=120_000) as waiting:
        page.get_by_role("button", name=button, exact=True).click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def head(path) -> dict[str, str]:
    """What a file of comma-separated values says of itself."""
    lines = [line[2:] for line in path.read_text("utf-8").splitlines() if line.startswith("#")]
    return dict(line.split(": ", 1) for line in lines if ": " in line)


@pytest.mark.parametrize(
    ("query", "selector", "what", "name"),
    [
        ("page=explore&time=2002-01-10T01:30", ".panel canvas", "histogram",
         "co2net_histogram_global_2002-01-10T01-30.csv"),
        ("page=compare&time=2002-01-10T01:30&models=vit&span=2", ".panel canvas",
         "latitude", "co2net_error-by-latitude_2002-01-09.csv"),
        ("page=cases", ".story:not([hidden])", "scores",
         "co2net_wave_scores.csv"),
        ("page=stations&station=S03", ".sites, table", "residuals",
         "co2net_S03_residuals_2002-01.csv"),
        ("page=benchmarks", ".scores td", "table",
         "co2net_scores_rmse_document_2002.csv"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_page_exports_what_it_shows(at, tmp_path, lang, query, selector, what, name):
    page = at(f"{query}&lang={lang}").page
    page.wait_for_selector(selector)
    path = save(page, f"{Translator(lang)(f'export.{what}')}: CSV", tmp_path)
    assert path.name == name
    said = head(path)
    assert said["simulated"] == "true"
    assert {"title", "source", "history"} <= said.keys()


def test_a_cases_series_and_figure(at, tmp_path, store):
    page = at("page=cases&case=wave&lang=zh").page
    page.wait_for_selector(".story:not([hidden])")
    with xr.open_dataset(save(page, "序列: NetCDF", tmp_path)) as data:
        assert data.attrs["case"] == "wave"
        assert "Amazon" in data.attrs["place"]
        shown = np.array(data.co2_truth)
        assert shown.shape == (4,)
    with xr.open_zarr(store) as truth:
        around = truth.co2.sel(time=slice("2002-01-05", "2002-01-08")).values
    assert around.min() <= shown.min() <= shown.max() <= around.max()
    with Image.open(save(page, "各时刻的差值图: PNG", tmp_path)) as image:
        assert "simulated: true" in image.text["Description"]
        assert round(image.info["dpi"][0]) == 300
    expect(page.locator(".notice")).to_have_count(0)


def test_pages_without_figures_have_no_menu(at):
    page = at("page=data").page
    page.wait_for_selector(".card .coverage")
    expect(page.locator(".export")).to_be_hidden()


def test_pictures_of_the_page(address, browser, tmp_path):
    names = [shot.name for shot in screenshots.shots(["data-*", "benchmarks-dark-zh-390"])]
    assert len(names) == 9
    told = []
    made = screenshots.take(
        address,
        tmp_path,
        ["data-light-en-390", "benchmarks-dark-zh-1280"],
        progress=lambda share, name: told.append((share, name)),
        browser=browser,
    )
    assert [path.name for path in made] == [
        "benchmarks-dark-zh-1280.png", "data-light-en-390.png",
    ]  # fmt: skip
    assert told[-1][0] == 1.0
    for path, width, dark in zip(made, (1280, 390), (True, False), strict=True):
        with Image.open(path) as image:
            assert image.width == width
            middle = np.asarray(image.convert("L"))
        assert (np.median(middle) < 60) == dark
        assert middle.std() > 5  # there is something on it


def test_pictures_that_are_stopped_leave_nothing_behind(store, tmp_path):
    """SIGTERM in the middle: the command's server and browser end with it."""
    command = [sys.executable, "-m", "co2net.cli", "dashboard", "--data", str(store)]
    job = subprocess.Popen(
        [*command, "--screenshots", str(tmp_path), "--only", "data-*"], cwd=REPOSITORY
    )
    while not list(tmp_path.glob("*.png")):
        assert job.poll() is None
        time.sleep(0.1)
    started = psutil.Process(job.pid).children(recursive=True)
    assert any("chrom" in process.name() for process in started)
    job.send_signal(signal.SIGTERM)
    assert job.wait(300) == 128 + signal.SIGTERM
    _, left = psutil.wait_procs(started, timeout=60)
    assert left == []
