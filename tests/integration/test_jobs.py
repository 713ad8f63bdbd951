"""Jobs as they are lived: real processes that are killed, cancelled, resumed and found again."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors import safe_open
from safetensors.numpy import load_file

from co2net.assets import provenance
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.jobs import Evaluate, Job, Prepare, Reconstruct, State, Train, jobs, submit
from co2net.jobs.folder import CANCEL, PROCESS, PROGRESS
from co2net.jobs.trial import estimate
from co2net.reconstruct import reconstruct
from co2net.schema import create_store, open_store, write_frames
from co2net.training import TrainConfig, resume, train
from tests.synthetic import SyntheticSource
from tests.unit.datasets.originals import write_day

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
    job.remove()
    span = {"start": "2001-12-21", "end": "2002-01-24", "freq": "10min"}
    job = submit(Reconstruct(model="truth", data=str(copy), threads=1, **span), apart)
    until(lambda: job.progress() > 0, "the first days")
    copy.rename(tmp_path / "moved.zarr")  # now in the middle of the work
    assert ends(job) == State.FAILED, explain(job)
    assert f"the data set {copy} has vanished" in job.message()


def test_a_training_killed_twenty_times_comes_to_the_same_weights(tmp_path):
    """The process is forked, not started anew, and killed at any moment of a few steps."""
    kills = 20
    provenance()  # asks git, once for all
    world = SyntheticSource(LatLonGrid.regular(6, 12), "2001-12-30", "2002-01-03", sites=3)
    tiny = {"patch": [3, 6], "towers": "spatial"}
    config = TrainConfig(
        model="co2net", preset="XS", target="absolute", options=tiny, steps=40, batch=2, frames=2,
        validate_every=20, validation_windows=2, checkpoint_every=1, wind_loss=0.0, seed=3,
    )  # fmt: skip
    rng = np.random.default_rng(0)

    def sitting(run: Path, stop: Callable[[], bool] | None = None) -> int:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                torch.set_num_threads(1)
                begun = (run / "state.safetensors").is_file()
                if not begun:
                    shutil.rmtree(run, ignore_errors=True)
                if begun:
                    resume(world, run, stop=stop, device="cpu")
                else:
                    train(config, world, run, stop=stop, device="cpu")
                status = 0
            finally:
                os._exit(status)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def doomed(after: int, delay: float) -> Callable[[], bool]:
        count = 0

        def stop() -> bool:
            nonlocal count
            count += 1
            if count == after:
                kill = partial(os.kill, os.getpid(), signal.SIGKILL)
                threading.Timer(delay, kill).start()
            return False

        return stop

    killed = 0
    while killed < kills:
        stop = doomed(int(rng.integers(1, 4)), float(rng.uniform(0, 0.02)))
        status = sitting(tmp_path / "killed", stop)
        assert status in (-signal.SIGKILL, 0), "the training failed by itself"
        killed += 1
    assert sitting(tmp_path / "killed") == 0
    assert sitting(tmp_path / "whole") == 0
    first, second = (load_file(tmp_path / n / "model.safetensors") for n in ("whole", "killed"))
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)


def test_a_trial_measures_what_a_training_will_take(store):
    spec = training(store, steps=500)
    found = estimate(spec)
    source = open_store(store)
    assert found.windows == spec.split().windows(source, "train").size
    assert found.validation == spec.split().windows(source, "validation").size
    assert found.steps == 500
    assert found.step > 0
    assert found.seconds >= 500 * found.step
    assert found.memory > 50 * 2**20
    assert found.parameters > 1000
    with pytest.raises(UserError, match="no complete window of 8 frames in the years"):
        estimate(replace(spec, years={"train": [[2010, 2012]], "validation": [[2001, 2001]]}))


def test_cancel_is_heard_from_another_machine(store, root):
    job = submit(training(store, steps=100_000, every=100_000), root)
    until(lambda: any("loss" in line for line in job.metrics()), "the first steps")
    (job.folder / CANCEL).touch()  # all that another machine can do
    assert ends(job) == State.CANCELLED
    assert steps_done(job) >= 25
    job.remove()


def test_processes_that_train_together(store, apart):
    spec = replace(training(store, steps=100_000), launcher="torchrun", processes=2, threads=2)
    job = submit(spec, apart)
    until(lambda: checkpoint(job).exists() or not job.state().active, "a checkpoint")
    assert job.state() == State.RUNNING, explain(job)
    told = json.loads((checkpoint(job).parent / "environment.json").read_text())
    assert told["processes"] == 2
    assert job.cancel() == State.CANCELLED, explain(job)
    done = steps_done(job)
    assert done >= 2
    job.resume()
    until(lambda: steps_done(job) > done or not job.state().active, "more steps")
    assert job.state() == State.RUNNING, explain(job)
    kill(job)
    assert ends(job) == State.INTERRUPTED
    last = steps_done(job)
    time.sleep(3)  # the others end with the one that started them
    assert steps_done(job) <= last + 2


@pytest.mark.parametrize("cluster", ["local", "debug"])
def test_slurm_keeps_the_folder_of_a_job(store, apart, cluster):
    pytest.importorskip("submitit", reason="the extra 'slurm' is not installed")
    span = {"start": "2002-01-05", "end": "2002-01-06", "data": str(store), "threads": 1}
    settings = {"cluster": cluster, "timeout_min": 10}
    job = submit(Reconstruct(model="truth", launcher="slurm", slurm=settings, **span), apart)
    assert ends(job) == State.SUCCEEDED, explain(job)
    row = job.to_dict()
    assert (row["exit_status"], row["progress"], row["kind"]) == (0, 1.0, "reconstruct")
    assert "succeeded" in job.log_tail(1)[0]
    assert Path(row["outputs"]["out"]).is_dir()
    assert [one.id for one in jobs(apart)] == [job.id]


def test_slurm_takes_a_job_from_its_queue_and_resumes_it(store, apart):
    pytest.importorskip("submitit", reason="the extra 'slurm' is not installed")
    slurm = {"cluster": "local", "timeout_min": 10}
    spec = replace(training(store, steps=100_000, every=5), launcher="slurm", slurm=slurm)
    job = submit(spec, apart)
    until(lambda: checkpoint(job).exists() or not job.state().active, "a checkpoint")
    assert job.cancel() == State.CANCELLED, explain(job)
    done = steps_done(job)
    job.resume()
    until(lambda: steps_done(job) > done or not job.state().active, "more steps")
    assert job.state() == State.RUNNING, explain(job)
    assert job.cancel(grace=0) == State.CANCELLED


def test_a_cluster_that_loses_a_worker_reconstructs_the_same(store, tmp_path):
    distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    span = ("truth", open_store(store), "2001-12-21", "2002-01-24")
    how = {"freq": "30min", "resolution": 5.0}
    alone = reconstruct(*span, tmp_path / "alone.zarr", **how)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        with distributed.Client(cluster) as client:
            workers = list(client.run(os.getpid).values())
        seen: list[float] = []

        def progress(share: float, day: str) -> None:
            seen.append(share)
            if len(seen) == 3:
                os.kill(workers[0], signal.SIGKILL)

        address = cluster.scheduler_address
        spread = reconstruct(
            *span, tmp_path / "spread.zarr", progress=progress, scheduler=address, **how
        )
    assert seen == sorted(seen)
    assert len(seen) == 35
    assert seen[-1] == 1.0
    first, second = (xr.open_zarr(path).co2.values for path in (alone, spread))
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, second)


def test_a_scheduler_that_does_not_answer(store, tmp_path):
    pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    span = ("truth", open_store(store), "2002-01-05", "2002-01-05", tmp_path / "out.zarr")
    with pytest.raises(UserError, match="write it as tcp://"):
        reconstruct(*span, scheduler="somewhere")


def test_reconstruction_and_scores_as_jobs(whole, store, root, monkeypatch):
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


def test_processes_train_to_the_end(store, apart):
    spec = replace(training(store, steps=3), launcher="torchrun", processes=2)
    job = submit(spec, apart)
    assert ends(job) == State.SUCCEEDED, explain(job)
    run = Path(job.outputs()["run"])
    assert (run / "model.safetensors").is_file()
    assert json.loads((run / "environment.json").read_text())["processes"] == 2


def test_original_files_become_a_store_in_the_background(apart, tmp_path):
    grid = LatLonGrid.ct()
    world = SyntheticSource(grid, "2010-06-01", "2010-06-02", sites=4)
    for day in ("2010-06-01", "2010-06-02"):
        write_day(tmp_path / "files", day, world, levels=2)
    spec = Prepare(
        source="carbontracker", files=[str(tmp_path / "files")], out=str(tmp_path / "ct.zarr")
    )
    job = submit(spec, apart)
    assert ends(job) == State.SUCCEEDED, explain(job)
    made = open_store(tmp_path / "ct.zarr")
    assert made.available.sum() == 16
    found = made.read(["co2"], np.flatnonzero(made.available))[0]
    np.testing.assert_allclose(found, world.read(["co2"], np.arange(16))[0], atol=0.02)
