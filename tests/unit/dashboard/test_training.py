"""The form of a training, and what all visitors see of the jobs."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.inference import Engine
from co2net.jobs import Job, Reconstruct, Train
from dashboard.jobs_view import JobsWatch
from dashboard.training_form import OTHER, TrainForm, ranges
from tests.synthetic import SyntheticSource


def test_the_form_makes_the_job_that_it_shows():
    form = TrainForm(data="/somewhere")
    for name, text in {
        "model": "co2net", "preset": "S", "target": "absolute", "embedding": "none",
        "wind_loss": " 0.5 ", "frames": "4", "interval": "2", "budget": "steps", "amount": "300",
        "batch": "2", "rate": "1e-3", "seed": "7", "device": "cpu", "train": "2002-2004, 2006",
        "title": "<b>", "threads": "1", "observations": " /m.obs ",
    }.items():  # fmt: skip
        form.fill(name, text)
    spec = form.spec()
    assert (spec.name, spec.data, spec.device, spec.threads) == ("<b>", "/somewhere", "cpu", 1)
    assert spec.observations == "/m.obs"
    assert TrainForm(data="/somewhere").spec().observations is None
    assert spec.years == {
        "train": [[2002, 2004], [2006, 2006]],
        "validation": [[2001, 2001], [2019, 2019]],
    }
    wanted = {"model": "co2net", "steps": 300, "rate": 1e-3, "options": {"embedding": "none"}}
    assert wanted.items() <= spec.config.items()
    again = TrainForm()
    again.take(spec.to_dict())
    assert again.data == OTHER
    assert again.spec() == spec


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("batch", "0"), ("batch", "many"), ("batch", "2.5"), ("rate", "-1"), ("rate", "nan"),
        ("wind_loss", "inf"), ("amount", "0"), ("model", "resnet"), ("device", "cuda:99"),
        ("threads", "0"), ("nice", "-5"), ("title", "x" * 121), ("__class__", "x"), ("spec", "x"),
    ],
)  # fmt: skip
def test_what_is_outside_the_limits_is_refused_and_changes_nothing(name, text):
    form = TrainForm()
    before = {key: getattr(form, key) for key in TrainForm.names()}
    with pytest.raises(ValueError):  # noqa: PT011 -- its words are the page's
        form.fill(name, text)
    assert {key: getattr(form, key) for key in TrainForm.names()} == before


def test_settings_that_do_not_go_together():
    form = TrainForm(data=OTHER)
    with pytest.raises(UserError, match="name the folder"):
        form.spec()
    with pytest.raises(UserError, match="write them as"):
        TrainForm(data="/x", train="last year").spec()


@given(st.lists(st.tuples(st.integers(1000, 9999), st.integers(0, 40)), max_size=5))
def test_years_are_read_as_they_are_written(spans):
    wanted = [[first, min(first + length, 9999)] for first, length in spans]
    text = ", ".join(f"{a} - {b}" if a != b else str(a) for a, b in wanted)
    assert ranges(text) == wanted


@given(st.text(max_size=20))
def test_any_text_is_years_or_a_fault(text):
    try:
        found = ranges(text)
    except UserError:
        return
    assert all(0 < first <= last <= 9999 for first, last in found)


# -- the watch -----------------------------------------------------------------------------


class Visitor:
    def __init__(self) -> None:
        self.told = 0

    def tell(self) -> None:
        self.told += 1


def training(root: Path, number: int, state: str | None = None) -> Job:
    folder = root / f"{number:04d}-train-00ff"
    spec = Train(
        config={"model": "vit", "preset": "XS", "steps": 50, "batch": 8}, name=f"number {number}"
    )
    run = Path(spec.outputs(folder)["run"])
    run.mkdir(parents=True)
    (folder / "spec.json").write_text(json.dumps(spec.to_dict()))
    lines = [{"step": n, "co2": 1 / n, "wind": 0.0} for n in range(1, 1001)]
    lines += [{"step": 900, "validation_rmse": 2.0}, {"step": 1000, "validation_rmse": 2.5}]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"st')
    if state is not None:
        end(Job(folder), state)
    return Job(folder)


def end(job: Job, state: str) -> None:
    run = Path(job.outputs()["run"])
    about = {"layout": {"grid": LatLonGrid.regular(6, 12).to_dict()}, "windows": 4000}
    (run / "config.json").write_text(json.dumps(about))
    (run / "model.safetensors").touch()
    (job.folder / "exit.json").write_text(json.dumps({"state": state, "message": "done"}))


@pytest.fixture
def engine() -> Engine:
    world = SyntheticSource(LatLonGrid.regular(6, 12), "2002-01-01", "2002-01-02", sites=3)
    return Engine(world, models=[])


def test_rows_tell_where_trainings_stand(tmp_path, engine):
    training(tmp_path, 1, "cancelled")
    other = tmp_path / "0002-reconstruct-00ff"
    other.mkdir()
    spec = Reconstruct(model="truth", start="2002-01-01", end="2002-01-01")
    (other / "spec.json").write_text(json.dumps(spec.to_dict()))
    watch = JobsWatch(engine, lambda: None, tmp_path)
    watch.look()
    first, second = watch.rows
    assert (first.step, first.loss, first.rmse) == (1000, 1 / 1000, 2.0)
    assert first.epoch == 1000 * 8 / 4000
    steps, values = first.curves["loss"]
    assert len(steps) <= 401
    assert (steps[0], steps[-1], values[-1]) == (1.0, 1000.0, 1 / 1000)
    assert first.curves["wind"] == ([], []), "a loss that is not there is no curve"
    assert first.curves["rmse"] == ([900.0, 1000.0], [2.0, 2.5])
    assert (second.about["kind"], second.curves) == ("reconstruct", {})


def test_visitors_are_told_of_news_only(tmp_path, engine, monkeypatch):
    job = training(tmp_path, 1, "cancelled")
    watch = JobsWatch(engine, lambda: None, tmp_path)
    monkeypatch.setattr(watch, "start", lambda: None)
    visitor, gone = Visitor(), Visitor()
    seat, empty = watch.sit(visitor.tell), watch.sit(gone.tell)
    assert seat is not empty
    watch.look()
    watch.look()
    assert (visitor.told, watch.version) == (1, 1)
    watch.want(seat, (job.id, "0009-train-none"))
    watch.look()
    assert watch.details.keys() == {job.id}
    assert visitor.told == 2
    (job.folder / "log.txt").write_text("one\ntwo\n")
    del gone
    watch.look()
    assert watch.details[job.id].log == ("one", "two")
    assert visitor.told == 3
    assert watch._seats == [seat]
    job.remove()
    watch.look()
    assert (watch.rows, watch.details, visitor.told) == ((), {}, 4)


def test_jobs_that_ended_are_not_read_again(tmp_path, engine, monkeypatch):
    training(tmp_path, 1, "cancelled")
    watch = JobsWatch(engine, lambda: None, tmp_path)
    watch.look()
    (before,) = watch.rows
    monkeypatch.setattr(Job, "to_dict", lambda self: pytest.fail("read again"))
    watch.look()
    assert watch.rows[0] is before


def test_a_training_that_ends_becomes_a_model(tmp_path, engine):
    training(tmp_path, 1, "succeeded")
    job = training(tmp_path, 2)
    changes = []
    watch = JobsWatch(engine, lambda: changes.append(engine.rescan()), tmp_path)
    assert engine.names() == ["vit-XS-0001"], "of before the server was started"
    watch.look()
    assert changes == []
    end(job, "succeeded")
    watch.look()
    assert changes == [["vit-XS-0001", "vit-XS-0002"]]
    job.remove()
    watch.look()
    assert changes[1:] == [["vit-XS-0001"]]


def test_a_folder_that_cannot_be_read_is_said(tmp_path, engine):
    (tmp_path / "file").write_text("")
    watch = JobsWatch(engine, lambda: None, tmp_path / "file")
    watch.look()
    assert "cannot read the jobs" in watch.fault
