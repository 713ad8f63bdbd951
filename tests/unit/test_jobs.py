"""What a job's folder tells, in every condition that it can be found in; no work is done here."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from co2net import cluster
from co2net.cli.jobs import jobs_submit
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.jobs import (
    Evaluate,
    Job,
    Prepare,
    Reconstruct,
    Spec,
    State,
    Train,
    finished_runs,
    job,
    jobs,
    submit,
)
from co2net.jobs import process as process_module
from co2net.jobs.folder import (
    CANCEL,
    EXIT,
    HEARTBEAT,
    LOCK,
    LOG,
    PROCESS,
    PROGRESS,
    SPEC,
    STARTED,
)
from co2net.jobs.locks import claim
from co2net.jobs.process import Process
from co2net.jobs.worker import ProgressFile, _Ending, _explain

SPAN = Reconstruct(model="truth", start="2002-01-01", end="2002-01-02", data="/somewhere")
NAMES = ["../../etc/passwd", "a'b\"c`d$(e)", "<script>alert(1)</script>", "二氧化碳 重建"]


def make(root: Path, number: int = 1, spec: Spec = SPAN, process: Process | None = None) -> Job:
    folder = root / f"{number:04d}-{spec.kind}-00ff"
    folder.mkdir(parents=True)
    written = {"format": 1, "created": "2026-01-01T00:00:00Z", **spec.to_dict()}
    (folder / SPEC).write_text(json.dumps(written))
    if process is not None:
        (folder / PROCESS).write_text(json.dumps({**asdict(process), "role": "worker"}))
    return Job(folder)


def tell(job: Job, *lines: tuple[float, float]) -> None:
    with (job.folder / PROGRESS).open("a") as handle:
        for seconds, share in lines:
            line = {"time": "t", "seconds": seconds, "share": share, "text": f"at {share:.0%}"}
            handle.write(json.dumps(line) + "\n")


@pytest.fixture
def me() -> Process:
    return Process.of(os.getpid())


# -- states --------------------------------------------------------------------------------


def test_states_of_a_live_process(tmp_path, me):
    found = make(tmp_path, process=me)
    assert found.state() == State.QUEUED
    (found.folder / STARTED).write_text("{}")
    assert found.state() == State.RUNNING
    assert found.to_dict()["state"] == "running"


def test_a_number_used_again_is_another_process(tmp_path, me):
    found = make(tmp_path, process=replace(me, start="1"))
    assert found.state() == State.INTERRUPTED
    assert "resume" in found.message()


def test_a_zombie_is_gone(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    found = make(tmp_path, process=Process.of(child.pid))
    assert found.state() == State.QUEUED
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet collected
    assert found.state() == State.INTERRUPTED
    child.communicate()


def test_processes_by_ps_where_there_is_no_proc(tmp_path, monkeypatch):
    monkeypatch.setattr(process_module, "_PROC", tmp_path)
    found = Process.of(os.getpid())
    assert found.alive
    assert not replace(found, start="Thu Jan  1 00:00:00 1970").alive
    assert not Process.of(2**22 + 1).alive


@pytest.mark.parametrize(("age", "state"), [(5, State.QUEUED), (-5, State.QUEUED), (9999, "gone")])
def test_jobs_of_another_machine_live_by_their_heartbeat(tmp_path, me, age, state):
    found = make(tmp_path, process=replace(me, machine="another"))
    assert found.state() == State.INTERRUPTED
    beat = found.folder / HEARTBEAT
    beat.touch()
    then = beat.stat().st_mtime - age  # below zero: a clock was set back
    os.utime(beat, (then, then))
    assert found.state() == (State.INTERRUPTED if state == "gone" else state)
    if found.state().active:
        with pytest.raises(UserError, match="another machine"):
            found.cancel(grace=-40)
        assert (found.folder / CANCEL).exists()  # which that machine's worker looks for


def test_an_exit_status_counts_more_than_a_process(tmp_path, me):
    found = make(tmp_path, process=me)
    (found.folder / EXIT).write_text('{"state": "failed", "status": 2, "message": "no such day"}')
    row = found.to_dict()
    assert (row["state"], row["exit_status"], row["message"]) == ("failed", 2, "no such day")


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"state": "odd"}', '{"state": ["x"]}'])
def test_a_damaged_exit_status_is_a_failure(tmp_path, text):
    found = make(tmp_path)
    (found.folder / EXIT).write_text(text)
    assert found.state() == State.FAILED
    assert found.to_dict()["state"] == "failed"


def test_killed_after_cancel_is_cancelled(tmp_path, me):
    found = make(tmp_path, process=replace(me, start="1"))
    (found.folder / CANCEL).touch()
    assert found.state() == State.CANCELLED
    assert "force" in found.message()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kind": "nonsense"}', '{"kind": {}}', "\x00"])
def test_a_corrupt_spec_is_listed_as_failed_and_can_be_removed(tmp_path, text):
    found = make(tmp_path)
    (found.folder / SPEC).write_text(text)
    (row,) = [one.to_dict() for one in jobs(tmp_path)]
    assert (row["kind"], row["state"]) == ("unknown", "failed")
    assert "remove the job" in row["message"]
    with pytest.raises(UserError, match="damaged"):
        found.resume()
    found.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", '{"pid": "x"}', "[]"])
def test_a_damaged_process_file_is_an_interruption(tmp_path, text):
    found = make(tmp_path)
    (found.folder / PROCESS).write_text(text)
    assert found.state() == State.INTERRUPTED


# -- progress ------------------------------------------------------------------------------


def test_lines_that_are_cut_short_are_left_out(tmp_path):
    found = make(tmp_path)
    assert (found.progress(), found.history()) == (0.0, [])
    tell(found, (1.0, 0.25))
    with (found.folder / PROGRESS).open("ab") as handle:
        handle.write(b'{"seconds": 2.0, "sha\n\xff\xfe\n[3]\n{"share": "x"}\n')
    assert [line["share"] for line in found.history()] == [0.25]
    tell(found, (3.0, 0.5))
    assert found.progress() == 0.5


def test_a_worker_writes_after_a_line_that_was_cut_short(tmp_path, capfd):
    found = make(tmp_path)
    (found.folder / PROGRESS).write_text('{"seconds": 2.0, "sha')
    progress = ProgressFile(found.folder / PROGRESS)
    for share in (0.1, 0.2, 0.3):  # too quick for a line each; the last is not lost
        progress(share, "on")
    progress.close()
    assert [line["share"] for line in found.history()] == [0.1, 0.3]
    assert capfd.readouterr().out.splitlines() == [" 10.0%  on", " 30.0%  on"]


def test_only_the_end_of_a_long_file_is_read(tmp_path):
    found = make(tmp_path)
    tell(found, *((float(n), n / 5000) for n in range(5000)))
    assert found.progress() == 4999 / 5000
    assert 100 < len(found.history()) < 5000


def test_time_left_is_that_of_the_present_sitting(tmp_path, me):
    found = make(tmp_path, process=me)
    tell(found, (100.0, 0.1), (200.0, 0.4))  # before it was resumed
    assert found.eta() is None  # queued
    (found.folder / STARTED).write_text("{}")
    tell(found, (1.0, 0.0), (9.0, 0.0))
    assert found.eta() is None
    tell(found, (11.0, 0.5), (13.0, 0.6))
    # from 9 s on, when the share began to move: 0.6 in 4 s
    assert found.eta() == pytest.approx(4 / 0.6 * 0.4, abs=0.1)


def test_a_file_without_end_is_not_read_to_its_end(tmp_path):
    found = make(tmp_path)
    (found.folder / PROGRESS).symlink_to("/dev/zero")
    assert found.history() == []


def test_tail_of_the_log(tmp_path):
    found = make(tmp_path)
    assert found.log_tail(5) == []
    assert list(found.follow()) == []
    (found.folder / LOG).write_bytes(b"one\ntwo\nth\xffree\n")
    assert found.log_tail(2) == ["two", "th�ree"]
    assert found.log_tail(0) == []
    assert "".join(found.follow()) == "one\ntwo\nth�ree\n"


# -- what it costs to look ----------------------------------------------------------------


_opened: list[str] = []
_counting = False


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if _counting and event == "open":
        _opened.append(str(arguments[0]))


sys.addaudithook(_hear)


def test_fifty_jobs_are_listed_by_one_reading_of_each_file(tmp_path, me):
    global _counting
    for number in range(1, 51):
        found = make(tmp_path, number, process=me if number % 2 else replace(me, start="1"))
        (found.folder / STARTED).write_text("{}")
        tell(found, *((float(n), n / 300) for n in range(300)))
    _opened.clear()
    _counting = True
    try:
        rows = [one.to_dict() for one in jobs(tmp_path)]
    finally:
        _counting = False
    assert [row["state"] for row in rows[:2]] == ["running", "interrupted"]
    assert rows[0]["message"] == "at 100%"
    mine = [name for name in _opened if name.startswith(str(tmp_path))]
    for name in ("spec.json", "process.json", "started.json", "progress.jsonl"):
        assert sum(one.endswith(name) for one in mine) == 50, name
    assert len(mine) <= 6 * 50


def test_runs_that_ended_are_models(tmp_path):
    grid = LatLonGrid.regular(6, 12)
    kinds = {1: "succeeded", 2: "cancelled", 3: "succeeded", 4: "succeeded"}
    for number, state in kinds.items():
        spec = Train(config={"model": "vit", "preset": "XS"})
        found = make(tmp_path, number, spec)
        (found.folder / EXIT).write_text(json.dumps({"state": state}))
        run = Path(found.outputs()["run"])
        run.mkdir()
        cells = (grid if number != 4 else LatLonGrid.ct()).to_dict()
        (run / "config.json").write_text(json.dumps({"layout": {"grid": cells}}))
        if number != 3:
            (run / "model.safetensors").touch()
    assert [run.name for run in finished_runs(root=tmp_path)] == ["vit-XS-0001", "vit-XS-0004"]
    assert [run.name for run in finished_runs(grid, tmp_path)] == ["vit-XS-0001"]
    assert finished_runs(root=tmp_path / "nowhere") == []


# -- names and places ----------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_kept_and_is_never_a_path(tmp_path, name):
    found = make(tmp_path, spec=replace(SPAN, name=name))
    assert found.to_dict()["name"] == name
    assert found.folder.parent == tmp_path
    with pytest.raises(UserError, match="no job"):
        job(name, tmp_path)


def test_names_lose_what_would_break_a_line(tmp_path):
    settled = replace(SPAN, data=str(tmp_path), name="a\n\tb\x1b[31m\u202e" + "x" * 500).settled()
    assert settled.name.startswith("a b[31mx")
    assert len(settled.name) == 120


@pytest.mark.parametrize("id", ["..", ".", "", "0001-train-00ff/..", "9", "²", "0001-train-00fg"])
def test_ids_that_are_none(tmp_path, id):
    make(tmp_path)
    with pytest.raises(UserError, match="no job"):
        job(id, tmp_path)


def test_a_job_by_its_number(tmp_path):
    first, second = make(tmp_path, 1), make(tmp_path, 20)
    assert job("20", tmp_path).id == second.id
    assert job(first.id, tmp_path).id == first.id
    make(tmp_path, 20, spec=Evaluate(data="/somewhere"))
    with pytest.raises(UserError, match="choose one of"):
        job("20", tmp_path)


def test_lists_are_in_order_of_submission_and_hold_jobs_alone(tmp_path):
    for number in (10000, 2, 51, 9):
        make(tmp_path, number)
    (tmp_path / "my-own-run").mkdir()
    (tmp_path / ".0003-train-00ff.17").mkdir()
    (tmp_path / "0004-train-00ff").write_text("a file")
    assert [one.id[:-17] for one in jobs(tmp_path)] == ["0002", "0009", "0051", "10000"]
    assert jobs(tmp_path / "nowhere") == []


@pytest.mark.parametrize("root", ["/proc/nowhere/runs", "FILE/runs"])
def test_a_folder_that_cannot_be_written(tmp_path, root):
    (tmp_path / "FILE").write_text("")
    with pytest.raises(UserError, match=r"CO2NET_RUNS|cannot read"):
        submit(replace(SPAN, data=str(tmp_path)), root.replace("FILE", str(tmp_path / "FILE")))


def test_two_jobs_never_write_to_one_place(tmp_path, me):
    spec = replace(SPAN, data=str(tmp_path), out=str(tmp_path / "out.zarr"))
    make(tmp_path / "runs", spec=spec, process=me)
    with pytest.raises(UserError, match=r"job 0001-reconstruct-00ff writes to .*out.zarr already"):
        submit(spec, tmp_path / "runs")


def test_only_jobs_that_ended_are_removed_or_resumed(tmp_path, me):
    found = make(tmp_path, process=me)
    with pytest.raises(UserError, match="cancel it first"):
        found.remove()
    with pytest.raises(UserError, match="is queued"):
        found.resume()
    (found.folder / EXIT).write_text('{"state": "succeeded"}')
    with pytest.raises(UserError, match="is succeeded"):
        found.resume()
    assert found.cancel() == State.SUCCEEDED
    assert found.progress() == 1.0


def test_a_job_that_is_removed_while_somebody_waits_to_resume_it_stays_away(tmp_path):
    found = make(tmp_path)
    lock = os.open(found.folder / LOCK, os.O_RDWR | os.O_CREAT)
    found.remove()
    with pytest.raises(UserError, match="No such file"):
        claim(lock, found.folder / LOCK, found._stopped)
    os.close(lock)
    assert list(tmp_path.iterdir()) == []


def test_cancel_never_kills_the_one_who_started_it(tmp_path, me):
    found = make(tmp_path)
    found.answer(me, "launcher")
    assert found.state() == State.QUEUED
    with pytest.raises(UserError, match="cannot be killed"):
        found.cancel(grace=-40)
    assert (found.folder / CANCEL).exists()


# -- specifications ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec",
    [
        SPAN,
        Train(launcher="slurm", slurm={"slurm_partition": "gpu"}, processes=4, nodes=2),
        Prepare(source="cmip6", files=["a"], options={"skip_bad": True}, scheduler="tcp://a:1"),
        Train(config={"steps": 3, "options": {"patch": [6, 6]}}, device="cpu", threads=2),
        Evaluate(models=["a", "b"], periods=["2020"], every=3, nice=19, observations="o"),
    ],
)
def test_specs_survive_json(spec):
    assert Spec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"kind": "bake"}, "choose train, reconstruct, evaluate, prepare"),
        ({"kind": "train", "colour": "red"}, "no setting 'colour'"),
        ({"kind": "train", "nice": "high"}, "nice: 'high' has another type"),
        ({"kind": "train", "nice": True}, "another type"),
        ({"kind": "train", "config": [1]}, "another type"),
        ({"kind": "evaluate", "models": [1]}, "another type"),
        ({"kind": "reconstruct", "model": "truth", "start": "2002-01-01"}, "needs end"),
    ],
)
def test_specs_that_are_none(values, says):
    with pytest.raises(UserError, match=says):
        Spec.from_dict(values)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (replace(SPAN, data="/no/such"), "no data set at /no/such"),
        (replace(SPAN, observations="/no/such"), "no observations at /no/such"),
        (replace(SPAN, nice=-5), "nice -5"),
        (replace(SPAN, threads=0), "threads 0"),
        (Evaluate(split="all"), "split 'all'"),
        (Evaluate(every=0), "every"),
        (Train(config={}), "one budget"),
        (Train(config={"steps": 1, "model": "resnet"}), "'resnet' is unknown"),
        (Train(config={"steps": 1, "preset": "XXL"}), "'XXL' is unknown"),
        (Train(config={"steps": 1}, device="cuda:99"), "device 'cuda:99'"),
        (Train(resume=True), "name the folder"),
        (Train(config={"steps": 1}, processes=2), "need the launcher"),
        (Train(config={"steps": 1}, launcher="torchrun", nodes=2), "launcher slurm"),
        (Train(config={"steps": 1}, launcher="torchrun", processes=0), "processes 0"),
        (Train(config={"steps": 1}, launcher="slurm", device="cuda:1"), "under Slurm"),
        (Train(config={"steps": 1}, launcher="mpi"), "a train job takes local, torchrun, slurm"),
        (replace(SPAN, launcher="torchrun"), "a reconstruct job takes local, slurm"),
        (
            Train(
                config={"steps": 1}, years={"train": [[2000, 2004]], "validation": [[2019, 2019]]}
            ),
            "2000 are test years",
        ),
        (Train(config={"steps": 1}, years={"train": [[2004, 2002]]}), "years of train"),
        (Train(config={"steps": 1}, years={"train": [[2002, 2004]]}), "years of validation"),
        (
            Train(
                config={"steps": 1}, years={"train": [[2002, 2004]], "validation": [[2004, 2004]]}
            ),
            "two parts",
        ),
        (Prepare(source="nature", files=["/tmp"]), "source 'nature'"),
        (Prepare(source="carbontracker", files=["/no/such"]), "no original files at /no/such"),
        (Prepare(source="carbontracker", files=[]), "no original files"),
        (Prepare(source="carbontracker", files=["/tmp"], options={"colour": 1}), "setting colour"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(tmp_path, spec, says):
    with pytest.raises(UserError, match=says):
        submit(spec, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is no JSON"),
        ("[1]", "write an object"),
        ('{"kind": "bake"}', "choose train"),
        ('{"kind": "evaluate", "data": "/no/such"}', "no data set"),
    ],
)
def test_specifications_that_cannot_be_submitted(tmp_path, monkeypatch, text, says):
    monkeypatch.setenv("CO2NET_RUNS", str(tmp_path / "runs"))
    (tmp_path / "spec.json").write_text(text)
    with pytest.raises(UserError, match=says):
        jobs_submit(tmp_path / "spec.json")
    assert jobs() == []


def test_years_of_ones_own_keep_the_test_years(tmp_path):
    spec = Train(config={"steps": 1}, years={"train": [[2002, 2003]], "validation": [[2001, 2001]]})
    years = spec.split()
    assert years.years("train") == [2002, 2003]
    assert years.years("test") == [2000, 2020]
    usual = Train(years={"train": [[2002, 2018]], "validation": [[2001, 2001], [2019, 2019]]})
    assert usual.split().name == "carbontracker"


def test_devices_wait_only_for_those_they_share():
    assert Train(device="cuda:1").queue == ("cuda:1",)
    assert Train(device="cuda", processes=2, launcher="torchrun").queue == ("cuda:0", "cuda:1")
    assert Train(launcher="slurm").queue == ()
    assert SPAN.queue == ()


def test_without_the_extra_slurm_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    spec = replace(SPAN, data=str(tmp_path), launcher="slurm")
    with pytest.raises(UserError, match=r"pip install 'co2net\[slurm\]'"):
        submit(spec, tmp_path / "runs")
    assert jobs(tmp_path / "runs") == []


def test_without_the_extra_a_cluster_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(UserError, match=r"pip install 'co2net\[cluster\]'"),
        cluster.client("tcp://x:1"),
    ):
        pass


@pytest.mark.parametrize("address", ["", "localhost:8786", "http://x:1", "tcp://x", "tcp://x:y"])
def test_addresses_of_schedulers(address):
    with pytest.raises(UserError, match="write it as tcp://"), cluster.client(address):
        pass


def test_a_signal_reaches_a_process_that_leads_no_group():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    found = Process.of(child.pid)
    found.send(signal.SIGTERM)
    assert child.wait(300) == -signal.SIGTERM
    child.stdin.close()
    with pytest.raises(ProcessLookupError):
        found.send(signal.SIGTERM)


def test_a_run_is_named_after_model_and_job(tmp_path):
    spec = Train(config={"model": "vit", "preset": "B"})
    assert spec.outputs(tmp_path / "0012-train-00ff")["run"].endswith("/vit-B-0012")
    assert replace(spec, run="/mine").outputs(tmp_path)["run"] == "/mine"


# -- how it ends ---------------------------------------------------------------------------


def test_the_exit_status_fits_into_the_room_taken_at_the_start(tmp_path):
    ending = _Ending(tmp_path)
    ending.write(State.FAILED, 1, "碳" * 5000 + "\udcff")
    assert json.loads((tmp_path / EXIT).read_text())["state"] == "failed"
    assert (tmp_path / EXIT).stat().st_size == 4096


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(28, "No space left on device", "/runs/x"), r"disk is full \(/runs/x\)"),
        (OSError(5, "Input/output error"), "Input/output error; mend that"),
        (MemoryError(), "smaller batch"),
        (RuntimeError("CUDA out of memory. Tried"), "smaller batch"),
        (ValueError("first\nsecond"), "ValueError: first; the log"),
    ],
)
def test_failures_are_told_in_one_line(error, says):
    import re

    line = _explain(error)
    assert re.search(says, line)
    assert "\n" not in line
