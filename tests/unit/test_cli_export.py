"""``co2net export``: the files that the page gives, without the page."""

import csv

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from typer.testing import CliRunner

from co2net import export
from co2net.cli import app
from co2net.errors import UserError
from co2net.schema import create_store, open_store, write_frames
from tests.synthetic import SyntheticSource
from tests.unit.evaluation.fakes import GRID


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    source = SyntheticSource(GRID, "2002-01-01", "2002-01-03")
    path = tmp_path_factory.mktemp("export") / "store.zarr"
    create_store(path, GRID, source.time, source.stations, source.attrs, ("air_temperature",))
    index = np.arange(source.time.size)
    fields = {name: source.read([name], index)[0] for name in ("co2", "air_temperature")}
    write_frames(path, 0, fields, source.observations(index))
    return path


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    monkeypatch.setenv("CO2NET_RUNS", str(tmp_path))
    monkeypatch.setattr(export.maps, "DPI", 30)


def run(*words):
    done = CliRunner().invoke(app, ["export", *map(str, words)])
    if isinstance(done.exception, UserError):
        raise done.exception
    assert done.exit_code == 0, done.output


def test_fields_and_a_figure_of_them(store, tmp_path):
    words = ("map", "--data", store, "--time", "2002-01-02T13:30Z")
    run(*words, "--layers", "truth,air_temperature", "--out", tmp_path / "a.nc")
    with xr.open_dataset(tmp_path / "a.nc") as data:
        names = {"co2_truth", "air_temperature"}
        assert set(data.data_vars) == names
        frame = np.flatnonzero(open_store(store).time == np.datetime64("2002-01-02T13:30"))
        truth = open_store(store).read(["co2"], frame)[0]
        np.testing.assert_allclose(data.co2_truth, truth, atol=1e-3)
    run(*words, "--region", "amazon", "--out", tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert "simulated: true" in image.text["Description"]


def test_a_series_at_a_point(store, tmp_path):
    words = ("series", "--data", store, "--start", "2002-01-02", "--end", "2002-01-02")
    run(*words, "--models", "truth", "--point", "10,20", "--out", tmp_path / "s.csv")
    text = (tmp_path / "s.csv").read_text("utf-8").splitlines()
    assert "# simulated: true" in text
    rows = list(csv.DictReader(line for line in text if not line.startswith("#")))
    assert [row["time"] for row in rows] == [f"2002-01-02T{h:02d}:30:00Z" for h in range(1, 24, 3)]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("map", "--time", "soon", "--out", "a.png"), "is no time"),
        (("map", "--time", "2002-01-02T13:30", "--layers", "nobody", "--out", "a.png"), "nobody"),
        (("series", "--start", "2002-01-01", "--end", "2002-01-02", "--point", "x",
          "--models", "truth", "--out", "a.csv"), "write it as"),
        (("case", "nowhere", "--out", "a.csv"), "there is no case"),
        (("map", "--time", "2002-01-02T13:30", "--out", "a.xls"), "nc or csv"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(store, words, says):
    with pytest.raises(UserError, match=says):
        run(*words, "--data", store)
