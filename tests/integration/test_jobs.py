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
from typing import Any

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
from co2net.jobs import job as find
from co2net.jobs.folder import CANCEL, HEARTBEAT, PROCESS, PROGRESS
from co2net.jobs.trial import estimate
from co2net.models.co2net import SIZES
from co2net.reconstruct import reconstruct
from co2net.schema import open_store
from co2net.training import TrainConfig, resume, train
from tests.synthetic import SyntheticSource
from tests.unit.datasets.originals import write_day

ROOT = Path(__file__).resolve().parents[2]
STEPS = 30


def emptied(root: Path) -> Iterator[Path]:
    """A folder of jobs of which none outlives its test."""
    yield root
    for job in jobs(root):
        job.cancel(grace=0)


@pytest.fixture
def pausing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes started now stop themselves after every checkpoint, until they are told to go on.

    So a training is met in the middle however fast it is, and however slow the one who looks.
    """
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).with_name("pausing")))


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


def training(store: Path, steps: int = STEPS, every: int = 10) -> Train:
    """Of one tower, which is a third of the network."""
    config = {
        "model": "co2net",
        "preset": "XS",
        "target": "absolute",
        "options": {"patch": [6, 6], "towers": "spatial"},
        "steps": steps,
        "batch": 2,
        "seed": 3,
        "validate_every": 15,
        "validation_windows": 8,
        "checkpoint_every": every,
    }
    return Train(config=config, data=str(store), device="cpu", threads=1, nice=0)


def until(condition: Callable[[], bool], what: str, seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited too long for {what}"
        time.sleep(0.1)  # the other needs the processor, too


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


def processes_of(job: Job) -> list[str]:
    """Processes that have the job's folder among their arguments."""
    found = subprocess.run(["ps", "-eo", "stat=,args="], capture_output=True, text=True, check=True)
    lines = found.stdout.splitlines()
    return [line for line in lines if str(job.folder) in line and not line.startswith("Z")]


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


@pytest.mark.usefixtures("pausing")
def test_a_training_killed_twice_is_resumed_to_the_same_weights(whole, store, root, monkeypatch):
    lock = hold(root)
    job = submit(training(store), root)
    until(lambda: (job.folder / HEARTBEAT).exists(), "its process")
    kill(job)
    os.close(lock)
    assert ends(job) == State.INTERRUPTED
    run = checkpoint(job).parent
    run.mkdir()  # as of one that was killed before its first checkpoint
    (run / "config.json").write_text("{}")
    (run / "metrics.jsonl").write_text('{"step": 1, "co2": 7.0}\n')
    job.resume()
    until(lambda: checkpoint(job).exists(), "a checkpoint")
    kill(job)
    assert ends(job) == State.INTERRUPTED
    assert steps_done(job) == 10
    assert "without a word" in job.message()
    monkeypatch.undo()
    job.resume()
    assert job.state().active
    assert ends(job) == State.SUCCEEDED, explain(job)
    assert [line["step"] for line in job.metrics()] == [line["step"] for line in whole.metrics()]
    first, second = (
        load_file(Path(one.outputs()["run"]) / "model.safetensors") for one in (whole, job)
    )
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)


def test_cancel_writes_a_checkpoint_be_it_from_another_machine(store, root):
    job = submit(replace(training(store, steps=100_000, every=100_000), nice=15), root)
    until(lambda: any("loss" in line for line in job.metrics()), "the first steps")
    assert job.state() == State.RUNNING
    assert not checkpoint(job).exists()
    worker = json.loads((job.folder / PROCESS).read_text())["pid"]
    gives_way = os.getpriority(os.PRIO_PROCESS, worker)
    told = json.loads((checkpoint(job).parent / "environment.json").read_text())
    assert (gives_way, told["threads"]) == (15, 1)
    (job.folder / CANCEL).touch()  # all that another machine can do
    assert ends(job) == State.CANCELLED, explain(job)
    done = steps_done(job)
    assert done >= 25
    job.resume()
    until(lambda: any(line["step"] > done for line in job.metrics()), "more steps")
    assert job.cancel() == State.CANCELLED, explain(job)
    assert steps_done(job) > done
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
        timeout=300,
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
        "import json, os, signal, sys; from co2net.jobs import Spec, submit;"
        "submit(Spec.from_dict(json.loads(sys.argv[1])), sys.argv[2]);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    spec = json.dumps(training(store, steps=2).to_dict())
    server = subprocess.run(
        [sys.executable, "-c", code, spec, str(apart)], cwd=ROOT, timeout=300, check=False
    )
    assert server.returncode == -signal.SIGKILL
    (job,) = jobs(apart)
    assert job.state() == State.QUEUED
    pid = json.loads((job.folder / PROCESS).read_text())["pid"]
    assert os.getsid(pid) == os.getpgid(pid) == pid
    assert job.cancel() == State.CANCELLED
    os.close(lock)


SERVER = """
import json, sys
from pathlib import Path
from co2net.errors import UserError
from co2net.jobs import Reconstruct, job, jobs, submit
root = Path(sys.argv[1])
def start(data, out):
    span = {"start": "2002-01-05", "end": "2002-01-05"}
    return submit(Reconstruct(model="truth", data=data, out=out, threads=1, **span), root).id
does = {
    "list": lambda: [one.to_dict()["state"] for one in jobs(root)],
    "start": start,
    "resume": lambda id: job(id, root).resume(),
    "cancel": lambda id: str(job(id, root).cancel()),
    "remove": lambda id: job(id, root).remove(),
}
print("ready", flush=True)
for line in sys.stdin:
    what, *words = json.loads(line)
    try:
        told = ["did", does[what](*words)]
    except UserError as error:
        told = ["refused", str(error)]
    print(json.dumps(told), flush=True)
"""


@pytest.fixture
def servers(apart: Path) -> Iterator[Callable[..., list[list[Any]]]]:
    """Two processes over one folder, which are told to do the same at the same time."""
    apart.mkdir()
    both = [
        subprocess.Popen(
            [sys.executable, "-c", SERVER, str(apart)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    assert [server.stdout.readline() for server in both] == ["ready\n"] * 2

    def ask(*words: object) -> list[list[Any]]:
        for server in both:
            server.stdin.write(json.dumps(words) + "\n")
            server.stdin.flush()
        return sorted(json.loads(server.stdout.readline()) for server in both)

    yield ask
    for server in both:
        server.communicate(timeout=300)


def test_of_two_servers_that_do_the_same_at_once_one_does_it(servers, store, apart, tmp_path):
    data = str(store)
    for _ in range(3):  # each gets a number of its own
        assert [did for did, _ in servers("start", data, None)] == ["did", "did"]
    assert [one.id[:4] for one in jobs(apart)] == [f"{n:04d}" for n in range(1, 7)]
    until(lambda: not any(one.state().active for one in jobs(apart)), "the reconstructions")
    assert servers("list") == [["did", ["succeeded"] * 6]] * 2
    (did, last), (refused, why) = servers("start", data, str(tmp_path / "out.zarr"))
    assert (did, refused) == ("did", "refused")
    assert why.startswith(f"job {last} writes to {tmp_path / 'out.zarr'} already")
    assert ends(find(last, apart)) == State.SUCCEEDED

    lock = hold(apart)
    one = submit(training(store, steps=2), apart)
    assert servers("cancel", one.id) == [["did", "cancelled"]] * 2
    did, (refused, why) = servers("resume", one.id)
    assert (did, refused) == (["did", None], "refused")
    assert why == f"job {one.id} is queued; only one that stopped can be resumed"
    assert [told for told, _ in servers("remove", one.id)] == ["refused", "refused"]
    os.close(lock)
    assert ends(one) == State.SUCCEEDED, explain(one)
    assert "".join(one.follow()).count(f"{one.id}, process") <= 2
    did, (refused, why) = servers("remove", one.id)
    assert (did, refused) == (["did", None], "refused")
    assert not one.folder.exists()
    assert [path for path in apart.iterdir() if path.name.startswith(".removed")] == []


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
    span = {"start": "2001-12-21", "end": "2002-02-24", "freq": "10min"}  # half a minute of work
    spec = Reconstruct(model="truth", data=str(copy), resolution=1.0, threads=1, **span)
    job = submit(spec, apart)
    until(lambda: job.progress() > 0, "the first days")
    copy.rename(tmp_path / "moved.zarr")  # now in the middle of the work
    assert ends(job) == State.FAILED, explain(job)
    assert f"the data set {copy} has vanished" in job.message()


def test_a_training_killed_twenty_times_comes_to_the_same_weights(tmp_path, monkeypatch):
    """The process is forked, not started anew, and killed at any moment of a few steps."""
    kills = 20
    provenance()  # asks git, once for all; and PyTorch imports more with its first optimizer
    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])
    monkeypatch.setitem(SIZES, "XS", replace(SIZES["XS"], depth=1))
    world = SyntheticSource(LatLonGrid.regular(6, 12), "2001-12-30", "2002-01-03", sites=3)
    tiny = {"patch": [3, 6], "towers": "spatial"}
    config = TrainConfig(
        model="co2net", preset="XS", target="absolute", options=tiny, steps=64, batch=2, frames=2,
        validate_every=32, validation_windows=2, checkpoint_every=1, wind_loss=0.0, seed=3,
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
            while count > after + 1:  # late is the killer, not the training early
                time.sleep(1)
            return False

        return stop

    for _ in range(kills):
        stop = doomed(int(rng.integers(1, 3)), float(rng.uniform(0, 0.02)))
        assert sitting(tmp_path / "killed", stop) == -signal.SIGKILL, (
            "it ended before it was killed"
        )
    assert sitting(tmp_path / "killed") == 0
    assert sitting(tmp_path / "whole") == 0
    first, second = (load_file(tmp_path / n / "model.safetensors") for n in ("whole", "killed"))
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)


def test_a_trial_foretells_what_the_training_then_takes(store, apart):
    """Of the target that asks for most: a background is fitted, and read as two more channels."""
    spec = training(store, steps=4)
    both = {"target": "residual", "options": {"patch": [6, 6]}}
    spec = replace(spec, config=spec.config | both)
    found = estimate(replace(spec, config=spec.config | {"steps": 500}))
    job = submit(spec, apart)
    source = open_store(store)
    assert found.windows == spec.split().windows(source, "train").size
    assert found.validation == spec.split().windows(source, "validation").size
    assert found.steps == 500
    assert found.step > 0
    assert found.learn > 0
    assert found.seconds >= found.learn + 500 * found.step
    assert ends(job) == State.SUCCEEDED, explain(job)
    told = json.loads((Path(job.outputs()["run"]) / "config.json").read_text())
    assert told["target"] == "residual"
    assert found.parameters == told["parameters"]
    assert found.memory == pytest.approx(job.result()["result"]["memory"], rel=0.15)
    with pytest.raises(UserError, match="no complete window of 8 frames in the years"):
        estimate(replace(spec, years={"train": [[2010, 2012]], "validation": [[2001, 2001]]}))


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
    until(lambda: not processes_of(job), "the others, who end with the one that started them")


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


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[str, Callable[[], None]]]:
    """Address of a Dask cluster of two workers, and what kills one of them."""
    distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    ) as local:

        def kill_one() -> None:
            pids = {worker.pid for worker in local.workers.values()}
            os.kill(min(pids), signal.SIGKILL)

        yield local.scheduler_address, kill_one


def killing(kill_one: Callable[[], None], at: int, seen: list[float]) -> Callable[..., None]:
    """Progress that is noted, and kills a worker when it is told for the n-th time."""

    def progress(share: float, text: str) -> None:
        seen.append(share)
        if len(seen) == at:
            kill_one()

    return progress


def test_a_cluster_that_loses_a_worker_reconstructs_the_same(cluster, store, tmp_path):
    address, kill_one = cluster
    span = ("truth", open_store(store), "2001-12-21", "2002-01-24")
    how = {"freq": "30min", "resolution": 5.0}
    alone = reconstruct(*span, tmp_path / "alone.zarr", **how)
    seen: list[float] = []
    tell = killing(kill_one, 3, seen)
    spread = reconstruct(*span, tmp_path / "spread.zarr", progress=tell, scheduler=address, **how)
    assert seen == sorted(seen)
    assert len(seen) == 35
    assert seen[-1] == 1.0
    first, second = (xr.open_zarr(path).co2.values for path in (alone, spread))
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, second)


def test_a_cluster_that_loses_a_worker_prepares_the_same(cluster, originals, tmp_path):
    address, kill_one = cluster
    folder, world = originals
    seen: list[float] = []
    spec = Prepare(
        source="carbontracker", files=[str(folder)], out=str(tmp_path / "ct.zarr"),
        scheduler=address,
    )  # fmt: skip
    spec.settled().work(tmp_path, killing(kill_one, 2, seen))
    assert len(seen) > 2, "the worker was killed when all was done"
    assert seen[-1] == 1.0
    same_as_the_originals(tmp_path / "ct.zarr", world)


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


def same_as_the_originals(path: Path, world: SyntheticSource) -> None:
    made = open_store(path)
    assert made.available.sum() == world.time.size
    found = made.read(["co2"], np.flatnonzero(made.available))[0]
    wanted = world.read(["co2"], np.arange(world.time.size))[0]
    np.testing.assert_allclose(found, wanted, atol=0.02)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SyntheticSource]:
    """Six days of original files, one a day, and the world they tell of."""
    folder = tmp_path_factory.mktemp("originals")
    world = SyntheticSource(LatLonGrid.ct(), "2010-06-01", "2010-06-06", sites=4)
    for day in range(1, 7):
        write_day(folder, f"2010-06-{day:02d}", world, levels=2)
    return folder, world


def test_original_files_become_a_store_in_the_background(originals, apart, tmp_path):
    folder, world = originals
    spec = Prepare(source="carbontracker", files=[str(folder)], out=str(tmp_path / "ct.zarr"))
    job = submit(spec, apart)
    assert ends(job) == State.SUCCEEDED, explain(job)
    same_as_the_originals(tmp_path / "ct.zarr", world)
