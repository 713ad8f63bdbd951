"""Exports of the page: the address says what, and bad ones are refused in one line."""

import numpy as np
import pytest
import xarray as xr

from co2net import export as library
from co2net.errors import UserError
from co2net.inference import Engine
from dashboard.export import make
from dashboard.service import Service
from tests.browser.server import Waves
from tests.synthetic import SyntheticSource

AT = "time=2002-01-05T01:30"


@pytest.fixture(scope="module")
def service():
    source = SyntheticSource(start="2002-01-01", end="2002-01-10")
    models = [Waves("co2net", 0.5, source.grid), Waves("vit", 1.5, source.grid)]
    return Service(Engine(source, models=models))


def opened(content, tmp_path):
    (tmp_path / "x.nc").write_bytes(content)
    with xr.open_dataset(tmp_path / "x.nc") as data:
        return data.load()


def test_the_map_that_is_shown(service, tmp_path):
    name, content = make(service, "map", "nc", f"show=diff:vit&{AT}")
    assert name == "co2net_diff-vit_2002-01-05T01-30.nc"
    data = opened(content, tmp_path)
    assert float(abs(data.co2_difference).max()) == pytest.approx(1.5, abs=0.01)
    assert "2002-01-05T01:30" in str(data.time.values[0])


def test_all_maps_of_compare(service, tmp_path):
    data = opened(make(service, "map", "nc", f"page=compare&{AT}&models=vit,co2net")[1], tmp_path)
    names = {"co2_truth", "co2_vit", "co2_co2net", "co2_difference_vit", "co2_difference_co2net"}
    assert set(data.data_vars) == names
    np.testing.assert_allclose(data.co2_vit - data.co2_truth, data.co2_difference_vit, atol=1e-3)


def test_the_series_of_the_point(service):
    name, content = make(service, "series", "csv", f"{AT}&point=10,20&span=2")
    text = content.decode()
    assert name == "co2net_series_point10.0_20.0_2002-01-04.csv"
    assert text.count("\n2002-01-") == 17
    assert "co2_truth" in text
    assert "co2_vit" in text


@pytest.mark.parametrize("what", ["map", "series"])
def test_figures(service, monkeypatch, what):
    monkeypatch.setattr(library, "DPI", 30)
    query = f"{AT}&lang=zh&region=eurasia&wind=1&projection=orthographic&span=2"
    assert make(service, what, "png", query)[1].startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("what", "suffix", "query", "says"),
    [
        ("map", "exe", AT, "there is no export"),
        ("deliver", "png", AT, "there is no export"),
        ("map", "png", "show=../../etc", "cannot be used: show"),
        ("map", "nc", "show=vit&time=2002-01-01T01:30", "frames"),
    ],
)
def test_what_cannot_be_had_is_said(service, what, suffix, query, says):
    with pytest.raises(UserError, match=says):
        make(service, what, suffix, query)
