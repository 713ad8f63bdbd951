"""Jobs as they are lived: real processes that are killed, cancelled, resumed and found again."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.jobs import Evaluate, Job, Reconstruct, State, Train, jobs, submit
from co2net.jobs.folder import PROCESS, PROGRESS
from co2net.schema import create_store, write_frames
from tests.synthetic import SyntheticSource

ROOT = Path(__file__).resolve().parents[2]
STEPS = 30


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five weeks about the turn of a validation year into a training year."""
    world = SyntheticSource(LatLonGrid.regular(18, 24), "2001-12-20", "2002-01-24", sites=12)
    path = tmp_path_factory.mktemp("store") / "world.zarr"
    create_store(path, world.grid, world.time, world.stations, world.attrs)
    index = np.arange(world.time.size)
    names = ["co2", *world.variables]
    fields = dict(zip(names, world.read(names, index), strict=True))
    fields["surface_altitude"] = fields["surface_altitude"][0]
    write_frames(path, 0, fields, world.observations(index))
    return path


def emptied(root: Path) -> Iterator[Path]:
    """A folder of jobs of which none outlives its test."""
    yield root
    for job in jobs(root):
        job.cancel(grace=0)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield from emptied(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Path]:
    yield from emptied(tmp_path / "runs")


@pytest.fixture(scope="module")
def whole(store: Path, root: Path) -> Job:
    """A training that nobody disturbed."""
    job = submit(training(store), root)
    assert ends(job) == State.SUCCEEDED, explain(job)
    return job


def training(store: Path, steps: int = STEPS, every: int = 2) -> Train:
    config = {
        "model": "co2net",
        "preset": "XS",
        "target": "absolute",
        "options": {"patch": [6, 6]},
        "steps": steps,
        "batch": 2,
        "seed": 3,
        "validate_every": 15,
        "validation_windows": 8,
        "checkpoint_every": every,
    }
    return Train(config=config, data=str(store), device="cpu", threads=1, nice=0)


def until(condition: Callable[[], bool], what: str, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited too long for {what}"
        time.sleep(0.02)


def ends(job: Job) -> State:
    until(lambda: not job.state().active, f"the end of {job.id}")
    return job.state()


def explain(job: Job) -> str:
    return "\n".join([job.message(), *job.log_tail(30)])


def checkpoint(job: Job) -> Path:
    return Path(job.outputs()["run"]) / "state.safetensors"


def steps_done(job: Job) -> int:
    with safe_open(checkpoint(job), framework="np") as file:
        return json.loads(file.metadata()["progress"])["step"]


def kill(job: Job) -> None:
    os.killpg(json.loads((job.folder / PROCESS).read_text())["pid"], signal.SIGKILL)


def hold(root: Path) -> int:
    """Keep the processor from all trainings of a folder, until the descriptor is closed."""
    root.mkdir(exist_ok=True)
    lock = os.open(root / ".device-cpu.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def test_a_training_from_submission_to_a_model(whole):
    row = whole.to_dict()
    assert (row["kind"], row["state"], row["progress"]) == ("train", "succeeded", 1.0)
    assert (row["exit_status"], row["eta"], row["name"]) == (0, None, "co2net XS")
    assert json.loads(json.dumps(row)) == row
    result = whole.result()
    assert result["result"]["steps"] == STEPS
    assert {"spec", "provenance", "made"} <= result.keys()
    assert (Path(result["result"]["run"]) / "model.safetensors").is_file()
    assert [line["step"] for line in whole.metrics()] == [15, 25, 30, 30]
    assert whole.history()[-1]["share"] == 1.0
    assert "succeeded" in whole.log_tail(1)[0]


def test_a_training_killed_twice_is_resumed_to_the_same_weights(whole, store, root):
    job = submit(training(store), root)
    until(lambda: checkpoint(job).with_name("config.json").exists(), "the start of the run")
    kill(job)  # before there is a checkpoint: it starts anew
    assert ends(job) == State.INTERRUPTED
    assert not checkpoint(job).exists(), "killed too late to mean anything"
    job.resume()
    until(lambda: checkpoint(job).exists(), "a checkpoint")
    kill(job)
    assert ends(job) == State.INTERRUPTED
    assert 2 <= steps_done(job) < STEPS, "killed too late to mean anything"
    assert "without a word" in job.message()
    job.resume()
    assert job.state().active
    assert ends(job) == State.SUCCEEDED, explain(job)
    first, second = (
        load_file(Path(one.outputs()["run"]) / "model.safetensors") for one in (whole, job)
    )
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)


def test_cancel_writes_a_checkpoint(store, root):
    job = submit(training(store, steps=100_000, every=100_000), root)
    until(lambda: any("loss" in line for line in job.metrics()), "the first steps")
    assert job.state() == State.RUNNING
    assert not checkpoint(job).exists()
    assert job.cancel() == State.CANCELLED
    assert steps_done(job) >= 25
    assert job.to_dict()["exit_status"] == 130
    with pytest.raises(UserError, match="holds a run already"):
        submit(
            Train(config=training(store).config, data=str(store), run=job.outputs()["run"]), root
        )
    job.remove()
    assert job.id not in [one.id for one in jobs(root)]


def test_trainings_wait_in_order_and_the_next_goes_on_when_one_fails(store, apart):
    lock = hold(apart)
    first, second, third = (submit(training(store, steps=2), apart) for _ in range(3))
    # every write there says that the disk is full
    (first.folder / PROGRESS).symlink_to("/dev/full")
    code = (
        "import json, sys; from co2net.jobs import jobs;"
        "print(json.dumps([one.to_dict() for one in jobs(sys.argv[1])]))"
    )
    fresh = subprocess.run(
        [sys.executable, "-c", code, str(apart)],
        capture_output=True,
        check=True,
        cwd=ROOT,
        timeout=120,
    )
    rows = json.loads(fresh.stdout)
    assert [row["id"] for row in rows] == [first.id, second.id, third.id]
    assert {row["state"] for row in rows} == {"queued"}
    assert rows[0]["message"] == "waits for its turn"
    assert second.cancel() == State.CANCELLED  # one that waits
    assert third.state() == State.QUEUED
    os.close(lock)
    assert ends(third) == State.SUCCEEDED, explain(third)
    assert first.state() == State.FAILED
    assert "the disk is full" in first.message()
    assert second.to_dict()["started"] is None
    times = [os.stat(one.folder / "started.json").st_mtime_ns for one in (first, third)]
    assert times == sorted(times)


def test_a_job_outlives_the_process_that_started_it(store, apart):
    lock = hold(apart)
    code = (
        "import os, signal, sys; from tests.integration.test_jobs import training, submit;"
        "submit(training(sys.argv[1], steps=2), sys.argv[2]);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    server = subprocess.run(
        [sys.executable, "-c", code, str(store), str(apart)], cwd=ROOT, timeout=120, check=False
    )
    assert server.returncode == -signal.SIGKILL
    (job,) = jobs(apart)
    assert job.state() == State.QUEUED
    pid = json.loads((job.folder / PROCESS).read_text())["pid"]
    assert os.getsid(pid) == os.getpgid(pid) == pid
    assert job.cancel() == State.CANCELLED
    os.close(lock)


def test_a_data_set_that_vanishes(store, apart, tmp_path):
    copy = tmp_path / "copy.zarr"
    shutil.copytree(store, copy)
    lock = hold(apart)
    job = submit(training(copy, steps=100_000, every=5), apart)
    copy.rename(tmp_path / "moved.zarr")
    os.close(lock)
    assert ends(job) == State.FAILED
    assert f"the data set {copy} has vanished" in job.message()
    assert job.to_dict()["exit_status"] == 2
    (tmp_path / "moved.zarr").rename(copy)
    job.resume()
    until(lambda: checkpoint(job).exists(), "a checkpoint")
    copy.rename(tmp_path / "moved.zarr")  # now in the middle of the work
    assert ends(job) == State.FAILED
    assert f"the data set {copy} has vanished" in job.message()
    for name, values in load_file(checkpoint(job)).items():
        assert np.isfinite(values).all(), f"{name} has learned from what is not there"


def test_reconstruction_and_scores_as_jobs(whole, store, root, monkeypatch):
    import xarray as xr

    model = whole.outputs()["run"]
    monkeypatch.chdir(Path(model).parent)  # paths are those of the one who submits
    span = {"start": "2002-01-05", "end": "2002-01-06", "data": str(store), "threads": 1}
    first = submit(Reconstruct(model=Path(model).name, out="two days.zarr", **span), root)
    second = submit(
        Evaluate(models=[model], periods=["2002-01-07"], data=str(store), every=3, threads=1), root
    )
    assert ends(first) == State.SUCCEEDED, explain(first)
    assert xr.open_zarr(Path(model).parent / "two days.zarr").sizes["time"] == 16
    assert first.progress() == 1.0
    assert ends(second) == State.SUCCEEDED, explain(second)
    out = Path(second.result()["result"]["out"])
    assert "2002-01-07" in (out / "scores.md").read_text()


def test_bad_input_fails_with_its_line(store, root):
    bad = Reconstruct(model="truth", start="2015-01-05", end="2015-01-06", data=str(store))
    job = submit(bad, root)
    assert ends(job) == State.FAILED
    assert "2015-01-05" in job.message()
    assert "Traceback" not in "\n".join(job.log_tail())
