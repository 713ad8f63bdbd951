"""Observations on frames, kept and read back, and a source that reports them."""

import numpy as np
import pytest

from co2net.background import Background
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.observations import Observations, ObservedSource, observed
from co2net.schema import create_store
from co2net.source import StationNetwork
from tests.synthetic import SyntheticSource


@pytest.fixture(scope="module")
def world():
    return SyntheticSource(LatLonGrid.regular(10, 12), "2002-01-01", "2002-01-20", sites=6)


def measured(world, codes, first=0, noise=0.5, gaps=0.3, seed=1):
    """What some of the world's stations and others measured: noise, and gaps."""
    rng = np.random.default_rng(seed)
    time = world.time[first:]
    index = np.arange(first, world.time.size)
    known = {code: n for n, code in enumerate(world.stations.code)}
    truth = world.observations(index)
    values = np.stack(
        [truth[:, known[c]] if c in known else truth[:, 0] for c in codes], axis=1
    ).astype(np.float32)
    values += rng.normal(0, noise, values.shape).astype(np.float32)
    values[rng.random(values.shape) < gaps] = np.nan
    count = np.where(np.isnan(values), 0, 3).astype(np.int32)
    places = [known.get(c, 0) for c in codes]
    network = StationNetwork(
        code=tuple(codes),
        name=tuple(codes),
        lat=world.stations.lat[places],
        lon=world.stations.lon[places],
        altitude=np.zeros(len(codes)),
        network="measured",
    )
    about = {"title": "measured", "version": "1", "simulated": False}
    return Observations(network, time, values, count, np.full_like(values, 0.5), about)


def test_saved_and_read_back(tmp_path, world):
    made = measured(world, ["S03", "X01"])
    made.save(tmp_path / "o.zarr")
    back = Observations.open(tmp_path / "o.zarr")
    for name in ("time", "co2", "count", "spread"):
        np.testing.assert_array_equal(getattr(back, name), getattr(made, name))
    assert back.stations.code == ("S03", "X01")
    assert back.digest == made.digest
    assert back.attrs["provenance"]["co2net"]
    with pytest.raises(UserError, match="exists already"):
        made.save(tmp_path / "o.zarr")


def test_the_stations_of_a_store_are_observations_too(tmp_path, world):
    create_store(tmp_path / "w.zarr", world.grid, world.time, world.stations, world.attrs)
    assert Observations.open(tmp_path / "w.zarr").stations.code == world.stations.code


def test_no_observations_there(tmp_path):
    with pytest.raises(UserError, match="no store at"):
        Observations.open(tmp_path / "none")


def test_a_part_of_the_network_keeps_the_network(world):
    made = measured(world, ["S04", "S01"], first=16)
    source = ObservedSource(world, made)
    assert source.stations is world.stations
    got = source.observations(np.array([3, 16, 40]))
    assert np.isnan(got[0]).all()  # before the record
    np.testing.assert_array_equal(got[1:, 4], made.co2[[0, 24], 0])
    np.testing.assert_array_equal(got[1:, 1], made.co2[[0, 24], 1])
    assert np.isnan(got[:, [0, 2, 3, 5]]).all()
    np.testing.assert_array_equal(source.read(["co2"], [3]), world.read(["co2"], [3]))
    assert source.attrs["observations"] == "measured"
    assert source.attrs["digest"] != world.attrs.get("digest")


def test_other_sites_make_a_network_of_their_own(world):
    made = measured(world, ["S04", "X07"])
    source = ObservedSource(world, made)
    assert source.stations.code == ("S04", "X07")
    np.testing.assert_array_equal(source.observations(np.arange(5)), made.co2[:5])


def test_no_common_frame(world):
    made = measured(world, ["S01"])
    other = SyntheticSource(world.grid, "2010-01-01", "2010-01-02", sites=6)
    with pytest.raises(UserError, match="no frame in common"):
        ObservedSource(other, made)


def test_a_background_is_fitted_and_used_with_gaps(world):
    source = ObservedSource(world, measured(world, ["S00", "S01", "S02", "S03", "S04", "X1"]))
    background = Background.fit(source, np.arange(100))
    field = background.interpolate(source.time[100:110], source.observations(np.arange(100, 110)))
    truth = world.read(["co2"], np.arange(100, 110))[0]
    assert np.isfinite(field).all()
    assert np.sqrt(np.mean((field - truth) ** 2)) < truth.std()


def test_without_a_file_the_source_is_as_it_was(tmp_path, world):
    assert observed(world, None) is world
    measured(world, ["S01"]).save(tmp_path / "o.zarr")
    assert isinstance(observed(world, tmp_path / "o.zarr"), ObservedSource)
