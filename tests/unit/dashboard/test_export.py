"""Exports of the page: the address says what, and bad ones are refused in one line."""

from io import BytesIO

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from co2net import export as library
from co2net.errors import UserError
from co2net.inference import Engine
from dashboard.export import make, offers, view
from dashboard.service import Service
from tests.browser.server import Waves, make_data
from tests.synthetic import SyntheticSource
from tests.unit.evaluation.fakes import GRID

AT = "time=2002-01-05T01:30"


@pytest.fixture(scope="module")
def service():
    source = SyntheticSource(GRID, "2002-01-01", "2002-01-31")
    models = [Waves("co2net", 0.5, source.grid), Waves("vit", 1.5, source.grid)]
    return Service(Engine(source, models=models))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The program's data with small cases and results."""
    return make_data(tmp_path_factory.mktemp("data") / "data")


@pytest.fixture(autouse=True)
def _small(monkeypatch, data):
    monkeypatch.setenv("CO2NET_DATA", str(data))
    monkeypatch.setattr(library.maps, "DPI", 30)
    monkeypatch.setattr(view, "MOST_ANIMATED", 3)


PAGES = {
    "explore": f"{AT}&show=vit&span=2&projection=platecarree",
    "compare": f"page=compare&{AT}&models=vit,co2net&span=2",
    "cases": "page=cases&case=wave&model=vit",
    "stations": "page=stations&station=S03",
    "benchmarks": "page=benchmarks",
}
EVERY = [
    (page, what, suffix)
    for page in PAGES
    for what, suffixes in offers(page).items()
    for suffix in suffixes
]


@pytest.mark.parametrize(("page", "what", "suffix"), EVERY)
def test_every_export_opens_and_says_what_it_is(service, tmp_path, page, what, suffix):
    name, content = make(service, what, suffix, PAGES[page])
    assert name.startswith("co2net_")
    assert name.endswith(f".{suffix}")
    if suffix == "png":
        with Image.open(BytesIO(content)) as image:
            assert "simulated: true" in image.text["Description"]
            assert image.text["Title"]
            assert len(image.convert("RGB").getcolors(1 << 20)) > 8
    elif suffix == "pdf":
        assert content.startswith(b"%PDF")
        assert b"/Subject" in content
    elif suffix == "gif":
        with Image.open(BytesIO(content)) as image:
            assert 1 < image.n_frames <= 3
            assert b"simulated: true" in image.info["comment"]
    elif suffix == "csv":
        head = [line for line in content.decode().splitlines() if line.startswith("#")]
        assert "# simulated: true" in head
        assert any(line.startswith("# source: ") for line in head)
        assert any("umol mol-1" in line for line in head)
    else:
        data = opened(content, tmp_path)
        assert data.attrs["simulated"] == "true"
        assert data.attrs["place"]
        assert "commit" in data.attrs["history"]
        assert all(one.attrs["units"] for one in data.data_vars.values())


def test_a_histogram_is_of_the_whole_region(service, tmp_path):
    query = f"{AT}&region=eurasia&models=vit"
    data = opened(make(service, "histogram", "nc", query)[1], tmp_path)
    width = data.co2_high - data.co2_low
    assert float((data.share_truth * width).sum()) == pytest.approx(100, abs=0.1)


def test_scatter_and_error_by_latitude_are_those_of_the_fields(service, tmp_path):
    query = f"page=compare&{AT}&models=vit&span=2"
    counts = opened(make(service, "scatter", "nc", query)[1], tmp_path)
    frames = 17
    assert 0.95 < float(counts.count_vit.sum()) / (frames * GRID.lat.size * GRID.lon.size) <= 1
    (tmp_path / "x.nc").unlink()
    errors = opened(make(service, "latitude", "nc", query)[1], tmp_path)
    wave = 1.5 * np.sin(3 * np.radians(GRID.lon))
    np.testing.assert_allclose(errors.rmse_vit, np.sqrt(np.mean(wave**2)), atol=1e-3)


def test_a_station_has_its_place_and_observations(service, tmp_path):
    data = opened(make(service, "series", "nc", "page=stations&station=S03")[1], tmp_path)
    n = service.source.stations.code.index("S03")
    assert float(data.lat) == pytest.approx(service.source.stations.lat[n])
    assert data.attrs["featureType"] == "timeSeries"
    index = np.searchsorted(service.source.time, data.time.values.astype("datetime64[s]"))
    expected = service.source.observations(index)[:, n]
    np.testing.assert_allclose(data.co2_observation, expected, rtol=1e-6)


def test_the_table_that_is_shown_and_all_of_it(service):
    query = "page=benchmarks&places=latitude&sort=lat_0_30N&order=down"
    text = make(service, "table", "csv", query)[1].decode()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines[0].startswith("model,period,place,score,units,value,low,high")
    assert [line.split(",")[0] for line in lines[1:]] == ["vit", "co2net", "interpolation"]
    every = make(service, "all", "csv", query)[1].decode()
    assert every.count("\n") > text.count("\n")


def test_figures_speak_the_pages_language_where_a_font_can(service, monkeypatch):
    seen = []
    draw = library.series_figure
    monkeypatch.setattr(
        library, "series_figure", lambda data, words: seen.append(words) or draw(data, words)
    )
    for fonts in (True, False):
        monkeypatch.setattr(library, "use_fonts", lambda fonts=fonts: fonts)
        make(service, "series", "png", f"{AT}&lang=zh&span=2&region=amazon")
    assert seen[0].title.startswith("亚马孙")
    assert "真值" in seen[0].labels["truth"]
    assert seen[1].title.startswith("Amazon")
    assert "no font with Chinese letters" in seen[1].note


def opened(content, tmp_path):
    (tmp_path / "x.nc").write_bytes(content)
    with xr.open_dataset(tmp_path / "x.nc") as data:
        return data.load()


def test_the_map_that_is_shown(service, tmp_path):
    name, content = make(service, "map", "nc", f"show=diff:vit&{AT}")
    assert name == "co2net_diff-vit_2002-01-05T01-30.nc"
    data = opened(content, tmp_path)
    wave = 1.5 * np.abs(np.sin(3 * np.radians(GRID.lon))).max()
    assert float(abs(data.co2_difference).max()) == pytest.approx(wave, abs=0.01)
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
    assert text.count("\n2002-01-0") == 17
    assert "co2_truth" in text
    assert "co2_vit" in text


def test_the_globe_with_wind_over_a_region(service):
    query = f"{AT}&lang=zh&region=eurasia&wind=1&projection=orthographic&span=2"
    assert make(service, "map", "png", query)[1].startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("what", "suffix", "query", "says"),
    [
        ("map", "exe", AT, "there is no export"),
        ("deliver", "png", AT, "there is no export"),
        ("map", "png", "show=../../etc", "cannot be used: show"),
        ("map", "nc", "show=vit&time=2002-01-01T01:30", "frames"),
        ("series", "csv", "page=cases&case=later", "lack 2002-02"),
        ("map", "png", "page=data", "there are none"),
    ],
)
def test_what_cannot_be_had_is_said(service, what, suffix, query, says):
    with pytest.raises(UserError, match=says):
        make(service, what, suffix, query)
