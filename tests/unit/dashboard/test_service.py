"""Work off the event loop: only the newest waits, sessions leave nothing behind."""

import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import panel as pn
import pytest
from bokeh.document import Document
from panel.io.document import _cleanup_doc

from co2net.inference import Engine
from dashboard.i18n import Translator
from dashboard.maps.figures import MapFigures
from dashboard.numbers import judge, judge_span, strips, table
from dashboard.service import Latest, Service
from dashboard.session import Session
from tests.browser.server import Waves
from tests.synthetic import SyntheticSource


@pytest.fixture(scope="module")
def service():
    source = SyntheticSource(start="2002-01-01", end="2002-02-10")
    models = [Waves("co2net", 0.5, source.grid), Waves("vit", 1.5, source.grid)]
    return Service(Engine(source, models=models))


def test_only_the_newest_work_waits():
    pool = ThreadPoolExecutor(2)
    begun, go = threading.Event(), threading.Event()
    done: list[int] = []
    finished = threading.Event()
    latest: Latest[int] = Latest(pool, lambda job: job())

    def work(n):
        begun.set()
        go.wait(60)
        return n

    def note(n):
        done.append(n)
        if n == 9:
            finished.set()

    latest.submit(lambda: work(0), note)
    begun.wait(60)
    for n in range(1, 10):
        latest.submit(lambda n=n: work(n), note)
    go.set()
    assert finished.wait(60)
    assert done == [0, 9]
    pool.shutdown()
    assert latest.idle


def test_an_older_result_never_replaces_a_newer_one():
    pool, jobs, done = ThreadPoolExecutor(1), [], []
    latest: Latest[int] = Latest(pool, jobs.append)
    for n in range(3):
        latest.submit(lambda n=n: n, done.append)
        pool.submit(lambda: None).result()
    pool.shutdown()
    assert latest.idle
    for job in reversed(jobs):
        job()
    assert done == [2]


def test_close_by_the_wind_is_drawn_where_it_is_seen(service):
    figures = MapFigures(
        ("a",), service.source.grid, service.source.stations, lambda *_: None, lambda *_: None
    )
    figures.set_projection("platecarree", smooth=True)
    whole = figures.extent
    assert whole == figures.projection.bounds
    figures._x_range.update(start=0, end=40)
    figures._y_range.update(start=10, end=30)
    assert figures.look()
    assert figures.extent == (-16, 2, 56, 38)
    figures._x_range.update(start=5, end=45)
    assert not figures.look()
    figures._x_range.update(start=-200, end=200)
    assert figures.look()
    assert figures.extent == whole


def test_work_that_fails_does_not_stop_the_next(caplog):
    pool = ThreadPoolExecutor(1)
    seen = threading.Event()
    latest: Latest[int] = Latest(pool, lambda job: job())
    latest.submit(lambda: 1 // 0, lambda _: None)
    pool.submit(lambda: None).result()
    latest.submit(lambda: 1, lambda _: seen.set())
    assert seen.wait(60)
    pool.shutdown()


def test_a_layer_that_cannot_be_had_is_empty_and_named(service):
    frame = service.frame(("truth", "co2net", "diff:vit"), 2, patience=None)
    assert np.isfinite(frame.fields[0]).all()
    assert np.isnan(frame.fields[1:]).all()
    assert set(frame.faults) == {"co2net", "diff:vit"}


def test_differences_are_those_of_the_model(service):
    frame = service.frame(("truth", "co2net", "diff:co2net"), 20, patience=None)
    assert frame.faults == {}
    np.testing.assert_allclose(frame.fields[1] - frame.fields[0], frame.fields[2], atol=0.01)
    assert np.abs(frame.fields[2]).max() == pytest.approx(0.5, abs=0.01)


def test_what_is_derived_is_made_of_the_fields(service):
    frame = service.frame(("co2net", "vit", "std:co2net,vit", "anom:truth"), 20, patience=None)
    a, b, spread, _ = frame.fields
    np.testing.assert_allclose(spread, np.abs(a - b) / 2, atol=1e-3)
    assert "climatology" in frame.faults["anom:truth"]
    assert np.isnan(frame.fields[3]).all()


def test_dots_of_the_stations_are_in_the_units_of_their_panel(service):
    frame = service.frame(("truth", "diff:vit", "air_temperature"), 20, patience=None)
    reports = service.source.observations(np.array([20]))[0]
    row, column = service.source.stations.cells(service.source.grid)
    model = frame.fields[0] + frame.fields[1]
    np.testing.assert_allclose(frame.sites[0], reports)
    np.testing.assert_allclose(frame.sites[1], model[row, column] - reports, atol=1e-3)
    assert np.isnan(frame.sites[2]).all()


def test_a_model_that_takes_its_time_is_shown_later(tmp_path, monkeypatch):
    monkeypatch.setattr("co2net.inference.BLOCK_SECONDS", 60.0)  # so that vit counts as quick
    source = SyntheticSource(start="2002-01-01", end="2002-01-10")
    hold = tmp_path / "hold"
    hold.touch()
    models = [Waves("vit", 1.5, source.grid), Waves("sloth", 1.0, source.grid, hold)]
    service = Service(Engine(source, models=models))
    try:
        service.frame(("truth", "vit"), 20, patience=None)  # what is there already is quick
        asked = ("truth", "vit", "diff:sloth")
        for patience in (0.5, 5.0, 60.0):  # until a busy machine has made what is quick
            frame = service.frame(asked, 20, patience=patience)
            if "vit" not in frame.waiting:
                break
        assert frame.waiting == {"diff:sloth": {"sloth"}}
        assert np.isfinite(frame.fields[:2]).all()
        done = threading.Event()
        service.computed({"sloth"}, 20, done.set)
        again = service.frame(("diff:sloth",), 20, busy={"sloth"}, patience=0.0)
        assert again.waiting == {"diff:sloth": {"sloth"}}
        # Work with a model that is slow, or that nobody has met, has threads of its own.
        assert service.workers(["diff:vit", "air_temperature"]) is service.slow
        assert service.workers(["truth", "diff:sloth"]) is service.patient
        # However many frames of the slow one are waited for, others have their turn.
        for index in range(21, 61):
            service.computed({"sloth"}, index, lambda: None)
        assert not service.frame(("truth", "vit"), 22, patience=30.0).waiting
        assert not done.is_set()
    finally:
        hold.unlink()
    assert done.wait(60)
    assert service.frame(("diff:sloth",), 20, patience=None).waiting == {}
    service.close()


def test_scores_of_a_span_are_those_of_the_wave(service):
    told = []
    judge_span(service, ("co2net", "vit"), (10, 60), "eurasia", told.append, lambda: False)
    assert [found.whole for found in told] == [False, False, True]
    found = told[-1]
    assert found.scores["rmse", "vit", "global"] == pytest.approx(1.5 / 2**0.5, abs=0.01)
    np.testing.assert_allclose(found.errors["co2net"], 0.5 / 2**0.5, atol=0.01)
    cells = 51 * np.prod(service.source.grid.shape)
    assert 0.98 * cells < found.points["vit"].sum() <= cells
    html = strips(None, found, ("co2net", "vit"), ("global",), Translator("en"), "light", "<x>")
    assert "&lt;x&gt;" in html[0]
    assert '<span class="best">0.35</span>' in html[1]
    assert '<span class="best">1.06</span>' not in html[2]
    assert "1.06" in html[2]


def test_weather_comes_in_the_units_of_the_page(service):
    kelvin = service.source.read(["air_temperature"], np.array([20]))[0, 0]
    celsius = service.frame(("air_temperature",), 20, patience=None).fields[0]
    np.testing.assert_allclose(celsius, kelvin - 273.15, atol=1e-3)


def test_numbers_are_those_of_the_wave(service):
    found = judge(service, ("co2net", "vit"), 20, "box:-60,-20,60,20", (0.5, 30.5))
    assert found.regions == ("global", "ocean", "eurasia", "box:-60,-20,60,20")
    # A sine of amplitude A has the root mean square A / sqrt 2.
    assert found.scores["rmse", "co2net", "global"] == pytest.approx(0.5 / 2**0.5, abs=0.01)
    assert found.scores["rmse", "vit", "global"] == pytest.approx(1.5 / 2**0.5, abs=0.01)
    assert found.scores["bias", "vit", "global"] == pytest.approx(0, abs=0.01)
    assert found.scores["acc", "co2net", "global"] > found.scores["acc", "vit", "global"]
    assert set(found.here) == {"truth", "co2net", "vit"}
    html = table(found, Translator("en"), "light", "<now>")
    assert "&lt;now&gt;" in html
    assert html.count('class="best"') == 12


def test_without_a_window_there_are_no_numbers(service):
    found = judge(service, ("co2net",), 1, "global", None)
    assert found.scores == {}
    assert "Choose a time" in table(found, Translator("en"), "light", "")


def test_months_and_runs(service):
    assert service.runs() == [[0, service.source.time.size]]
    assert [m["state"] for m in service.months()] == ["available", "available"]


def test_colour_limits_are_shared_by_truth_and_models(service):
    assert service.limits("truth", 20) == service.limits("vit", 90)
    assert service.limits("diff:vit", 20) == (-8.0, 8.0)


def test_sessions_leave_nothing_behind(service):
    gone = []
    for query in ("page=explore", "page=compare&lang=zh", "page=explore&point=10,20"):
        document = Document()
        with pn.io.document.hold(document):
            session = Session(service, query, document)
            session.page.get_root(document)
        session.state.page = "compare"
        # As the server does when a visitor has left.
        session.close()
        _cleanup_doc(document)
        gone += [weakref.ref(session), weakref.ref(session.view.figures)]
        del session, document
    for _ in range(1200):  # until the work that they asked for is done
        gc.collect()
        if not any(ref() for ref in gone):
            break
        time.sleep(0.1)
    assert [ref() for ref in gone] == [None] * len(gone)
