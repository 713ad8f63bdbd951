"""The command line as a person meets it: real files, one line for bad input.

A process of its own takes seconds to start: one has it where the test is about the process.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner, Result

from co2net.cli import app, main
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.schema import create_store
from tests.synthetic import SyntheticSource

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}


def command(*words: object) -> list[str]:
    return [sys.executable, "-c", "from co2net.cli import main; main()", *map(str, words)]


def co2net(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words), capture_output=True, text=True, timeout=300, check=False, env=ENVIRONMENT
    )


def inside(*words: object, status: int = 0) -> Result:
    """The same in this process."""
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == status, (done.output, done.exception)
    return done


def test_help_of_every_command_has_an_example():
    from typer.main import get_command

    def walk(group, words):
        for name, found in group.commands.items():
            if hasattr(found, "commands"):
                walk(found, [*words, name])
            else:
                assert "Example: co2net " + " ".join([*words, name]) in found.help, name

    walk(get_command(app), [])


def test_data_commands_describe_a_store(store):
    done = co2net("data", "info", store, "--json")
    row = json.loads(done.stdout)
    assert row["simulated"] is True
    assert row["whole_months"] == ["2001-12", "2002-01", "2002-02"]
    assert row["stations"] == 12
    verified = inside("data", "verify", store, status=1)  # made up by formulas, and no Earth
    assert "air_pressure: area mean" in verified.stdout


def test_verify_fails_on_a_store_without_frames(tmp_path):
    world = SyntheticSource(LatLonGrid.regular(6, 8), "2001-12-01", "2001-12-03", sites=3)
    create_store(tmp_path / "w.zarr", world.grid, world.time, world.stations, world.attrs)
    done = inside("data", "verify", tmp_path / "w.zarr", "--json", status=1)
    assert json.loads(done.stdout)["faults"]


BAD_INPUT = {
    "data info /no/such.zarr": "no store at /no/such.zarr",
    "simulate --start 2020-13-01 --end 2020-01-01": "is no day",
    "simulate --start 2020-02-01": "both --start and --end",
    "simulate --start 1999-01-01 --end 1999-01-02": "2000-2020",
    "train --data STORE --model resnet --steps 1": "'resnet' is unknown",
    "train --data STORE --preset XXL --steps 1": "'XXL' is unknown",
    "train --data STORE --resume": "--resume needs --run",
    "train --data STORE --steps 1 --epochs 1": "one budget",
    "train --data STORE --steps 1 --run /proc/x": "/proc/x",
    "reconstruct --model none --out OUT SPAN": "none",
    "reconstruct --model truth --out OUT --start 2015-01-05 --end 2015-01-06 --data STORE": "2015",
    "reconstruct --model truth --out /proc/x SPAN": "/proc/x",
    "reconstruct --model co2net-plus --out OUT SPAN": "90 x 120",
    "bench nothing": "choose world",
    "evaluate --split none --data STORE": "choose test",
}


@pytest.mark.parametrize(("line", "says"), BAD_INPUT.items())
def test_bad_input_gets_one_line_and_exit_2(line, says, store, tmp_path, monkeypatch, capfd):
    """In this process, by the very function that the command calls."""
    line = line.replace("SPAN", "--start 2002-01-05 --end 2002-01-06 --data STORE")
    names = {"STORE": str(store), "OUT": str(tmp_path / "out.zarr")}
    monkeypatch.setattr(sys, "argv", ["co2net", *(names.get(word, word) for word in line.split())])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capfd.readouterr().err
    assert ended.value.code == 2, told
    assert told.strip().count("\n") == 0, told
    assert told.startswith("error:")
    assert says in told


def test_bad_input_of_a_process():
    done = co2net("data", "info", "/no/such.zarr")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: no store at /no/such.zarr")


def test_reconstruct_of_the_truth_is_the_truth_and_cf(store, tmp_path):
    import xarray as xr

    out = tmp_path / "truth.zarr"
    line = f"reconstruct --model truth --start 2002-01-05 --end 2002-01-06 --data {store}"
    inside(*line.split(), "--out", out)
    data = xr.open_zarr(out)
    assert data.co2.dims == ("time", "lat", "lon")
    assert data.co2.attrs["units"] == "umol mol-1"
    assert data.sizes["time"] == 16
    truth = xr.open_zarr(store).co2.sel(time=data.time)
    np.testing.assert_allclose(data.co2, truth, atol=0.01)


def train(store: Path, run: Path, *more: str) -> list[str]:
    words = "train --model co2net --preset XS --target absolute --steps 20 --batch 2 --seed 3"
    words += " --validate-every 10 --checkpoint-every 5"
    words += " --option patch=[6,6] --option towers=spatial"
    return [*words.split(), "--data", str(store), "--run", str(run), *more]


def test_a_method_without_a_network_is_fitted_and_reconstructs(store, tmp_path):
    import xarray

    run, out = tmp_path / "run", tmp_path / "fields.zarr"
    fit = ("train", "--model", "interpolation-window", "--data", store, "--run", run)
    assert (
        json.loads(inside(*fit, "--json").stdout)["frames"] == 59 * 8
    )  # January and February of 2002
    span = ("--start", "2001-12-05", "--end", "2001-12-06", "--out", out)
    inside("reconstruct", "--model", run, "--data", store, *span)
    fields = xarray.open_zarr(out)["co2"].values
    assert fields.shape == (16, 18, 24)
    assert np.isfinite(fields).all()
    again = inside(*fit, status=1).exception
    assert isinstance(again, UserError)
    assert "holds a run already" in str(again)


def test_a_killed_training_resumes_to_the_same_weights(store, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    inside(*train(store, whole))
    # It stops itself after its first checkpoint, and so is met in the middle.
    pausing = os.pathsep.join([str(Path(__file__).with_name("pausing")), str(ROOT)])
    environment = {**ENVIRONMENT, "PYTHONPATH": pausing}
    process = subprocess.Popen(
        command(*train(store, broken)), env=environment, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 300
    while not (broken / "state.safetensors").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (broken / "model.safetensors").exists(), "killed before the first validation"
    inside(*train(store, broken, "--resume"))
    first, second = (load_file(run / "model.safetensors") for run in (whole, broken))
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)


def test_a_training_in_the_background_on_the_command_line(store, tmp_path, monkeypatch):
    """Every command of jobs, each with --json; in this process, but for the job's own."""
    monkeypatch.setenv("CO2NET_RUNS", str(tmp_path / "runs"))

    def told(words: str) -> Any:
        return json.loads(inside(*words.split(), "--json").stdout)

    (tmp_path / "runs").mkdir()
    with (tmp_path / "runs" / ".device-cpu.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # so that it waits
        words = " ".join(train(store, tmp_path / "run"))
        row = told(words.replace("--steps 20", "--steps 2") + " --job --threads 1")
        assert (row["kind"], row["state"], row["spec"]["config"]["steps"]) == ("train", "queued", 2)
        assert [one["id"] for one in told("jobs list")] == [row["id"]]
        assert told("jobs show 1")["id"] == row["id"]
        assert told("jobs cancel 1")["state"] == "cancelled"
        assert told("jobs resume 1")["state"] == "queued"
    assert "succeeded: done" in inside("jobs", "logs", 1, "-f").output  # until it ends
    assert inside("jobs", "list").output.count("succeeded") == 1
    assert told("jobs logs 1")[-1]["share"] == 1.0
    assert (tmp_path / "run" / "model.safetensors").is_file()
    assert told("jobs rm 1") == {"removed": row["id"]}
    assert told("jobs list") == []
    missing = inside("jobs", "show", 1, status=1)
    assert str(missing.exception).startswith("no job '1' in")
