"""Exported files: they open, hold the fields of the store, and say what they are."""

import csv

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from co2net import export
from co2net.errors import UserError
from co2net.inference import Engine
from co2net.regions import region
from tests.browser.server import Waves
from tests.synthetic import SyntheticSource


@pytest.fixture(scope="module")
def engine():
    source = SyntheticSource(start="2002-01-01", end="2002-01-10")
    return Engine(source, models=[Waves("vit", 1.5, source.grid)])


def test_fields_are_those_of_the_store(engine, tmp_path):
    times = engine.source.time[20:24]
    path = export.save_data(export.fields_dataset(engine, "diff:vit", times), tmp_path / "a.nc")
    with xr.open_dataset(path) as data:
        assert data.co2_difference.dims == ("time", "lat", "lon")
        assert data.co2_difference.units == "umol mol-1"
        assert (data.lat.units, data.lon.units) == ("degrees_north", "degrees_east")
        np.testing.assert_array_equal(data.time.values.astype("datetime64[s]"), times)
        expected = engine.fields("vit", times) - engine.fields("truth", times)
        np.testing.assert_allclose(data.co2_difference, expected, atol=1e-4)
        assert data.attrs["Conventions"].startswith("CF-")
        assert data.attrs["simulated"] in ("true", "false")
        assert "vit" in data.attrs["models"]
        assert "commit" in data.attrs["history"]


def test_series_are_those_of_the_cell(engine, tmp_path):
    times = engine.source.time[4:40]
    data = export.series_dataset(engine, ["truth", "vit"], times, point=(10.2, 20.7))
    path = export.save_data(data, tmp_path / "s.csv")
    lines = path.read_text("utf-8").splitlines()
    head = [line for line in lines if line.startswith("#")]
    assert any(line.startswith("# place: 11 N, 19.5 E") for line in head)
    assert any("simulated" in line for line in head)
    assert any("umol mol-1" in line for line in head)
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    assert len(rows) == 36
    assert rows[0]["time"] == f"{times[0]}Z"
    assert rows[0]["co2_vit"] == ""  # its window is not there yet
    row, column = (int(v) for v in engine.grid.cell(10.2, 20.7))
    truth = engine.fields("truth", times)[:, row, column]
    np.testing.assert_allclose([float(r["co2_truth"]) for r in rows], truth, atol=1e-2)


def test_a_region_has_its_area_mean(engine):
    times = engine.source.time[10:12]
    data = export.series_dataset(engine, ["truth"], times, where="eurasia")
    weights = region("eurasia").mask(engine.grid) * engine.grid.area
    fields = engine.fields("truth", times)
    expected = (fields * weights).sum(axis=(1, 2)) / weights.sum()
    np.testing.assert_allclose(data.co2_truth, expected, rtol=1e-6)
    assert data.co2_truth.attrs["cell_methods"] == "area: mean"


@pytest.mark.parametrize("projection", ["robinson", "north", "orthographic"])
def test_figures_carry_what_they_show(engine, tmp_path, projection, monkeypatch):
    monkeypatch.setattr(export.maps, "DPI", 40)
    time = engine.source.time[20]
    values = engine.field("truth", time)
    panel = export.panel_of(engine, "truth", time, values, (360, 400))
    look = export.Look(projection, (40.0, 100.0), note="where it is from")
    attrs = export.about(engine, ["truth"], "global")
    figure = export.map_figure(engine, [panel], look)
    path = export.save_figure(figure, tmp_path / "map.png", attrs)
    with Image.open(path) as image:
        assert image.width >= 300
        assert "simulated" in image.text["Description"]
        assert len(image.convert("RGB").getcolors(1 << 20)) > 100
    if projection == "robinson":
        pdf = export.save_figure(figure, tmp_path / "map.pdf", attrs)
        assert pdf.read_bytes().startswith(b"%PDF")


def test_an_animation_has_a_frame_a_time(engine, tmp_path):
    def panel(layer, time, values):
        return export.panel_of(engine, layer, time, values, (360, 400))

    times = engine.source.time[20:23]
    attrs = {"place": "everywhere"}
    layers = ["truth", "vit"]
    path = export.animate(engine, layers, times, panel, tmp_path / "a.gif", attrs=attrs)
    with Image.open(path) as image:
        assert image.n_frames == 3
        assert image.info["comment"] == b"place: everywhere"
        assert image.width > image.height  # side by side
    with pytest.raises(UserError, match="at most"):
        export.animate(engine, ["truth"], np.repeat(times, 100), panel, tmp_path / "b.gif")


@pytest.mark.parametrize(
    "part", ["../../etc/passwd", "a/../b\\c", "x\0y\n", "box:-10,5,20,30", "é" * 200]
)
def test_names_of_files_are_harmless(part):
    name = export.file_name(part, suffix="nc")
    assert name.startswith("co2net")
    assert name.endswith(".nc")
    assert not set(name) & set('/\\:*?"<>| \0\n')
    assert ".." not in name.removesuffix(".nc")
    assert len(name) < 100


def test_other_formats_are_refused(engine, tmp_path):
    with pytest.raises(UserError, match="nc or csv"):
        export.save_data(xr.Dataset(), tmp_path / "a.xls")
