"""Observations on frames, kept and read back, and a source that reports them."""

import pickle

import numpy as np
import pytest
import xarray as xr

from co2net.background import Background
from co2net.errors import UserError
from co2net.evaluation.sites import Withheld
from co2net.grid import LatLonGrid
from co2net.jobs import Evaluate, Reconstruct, Train
from co2net.models.interpolation import StatisticalReconstructor, fit_statistical
from co2net.observations import Observations, ObservedSource, how_opened, observed, reopened
from co2net.schema import create_store, open_store, write_frames
from co2net.source import StationNetwork, noise_of
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


# -- in other processes -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def there(tmp_path_factory, world):
    """A store and what two of its six sites measured, on the disk."""
    folder = tmp_path_factory.mktemp("data")
    index = np.arange(64)
    names = ["co2", *world.variables]
    fields = dict(zip(names, world.read(names, index), strict=True))
    fields["surface_altitude"] = fields["surface_altitude"][0]
    create_store(folder / "w.zarr", world.grid, world.time[:64], world.stations, world.attrs)
    write_frames(folder / "w.zarr", 0, fields, world.observations(index))
    measured(world, ["S04", "S01"]).save(folder / "w.obs")
    return folder


def test_another_process_opens_the_same(there):
    source = observed(open_store(there / "w.zarr"), there / "w.obs")
    again = reopened(pickle.loads(pickle.dumps(how_opened(source))))
    index = np.arange(30)
    np.testing.assert_array_equal(again.observations(index), source.observations(index))
    assert again.attrs["digest"] == source.attrs["digest"]
    plain = reopened(how_opened(open_store(there / "w.zarr")))
    assert np.isfinite(plain.observations(index)).all()


def test_what_lies_on_no_disk_cannot_be_opened_elsewhere(world):
    for source in (world, ObservedSource(world, measured(world, ["S01"]))):
        with pytest.raises(UserError, match="reads the data set from a disk"):
            how_opened(source)


def test_jobs_take_measurements(there, monkeypatch):
    """Kriging from two sites that measured, and from the six of the data set."""
    monkeypatch.chdir(there)
    store = open_store("w.zarr")
    fit_statistical("interpolation", store, np.arange(48), there / "model", frames=8)
    span = {"model": "model", "start": "2002-01-08", "end": "2002-01-08", "data": "w.zarr"}
    fields = {}
    for name, given in (("measured", "w.obs"), ("own", None)):
        spec = Reconstruct(**span, observations=given, out=f"{name}.zarr").settled()
        monkeypatch.chdir("/")  # a job runs elsewhere
        spec.work(there, lambda share, text: None)
        monkeypatch.chdir(there)
        fields[name] = xr.open_zarr(f"{name}.zarr").co2.values
    assert np.isfinite(fields["measured"]).all()
    assert np.abs(fields["measured"] - fields["own"]).max() > 0.1
    silent = Train(data="w.zarr", observations="w.obs").source().observations(np.arange(8))
    assert np.isnan(silent[:, [0, 2, 3, 5]]).all()
    asked = Evaluate(data="w.zarr", observations="w.obs", periods=["2002"])._request()
    assert asked.observations == "w.obs"


# -- errors of the observations ---------------------------------------------------------------


def test_the_error_of_a_mean_is_that_of_its_values_over_the_root_of_their_number(world):
    made = measured(world, ["S04", "S01"], first=16)
    noise = ObservedSource(world, made).noise(np.array([3, 16, 40]))
    assert np.isnan(noise[0]).all()  # before the record
    there = made.count[[0, 24]] == 3
    np.testing.assert_allclose(noise[1:, [4, 1]][there], 0.5 / np.sqrt(3), rtol=1e-6)
    assert np.isnan(noise[:, [0, 2, 3, 5]]).all()
    assert noise_of(world, np.arange(3)) is None
    assert noise_of(Withheld(world, [1]), np.arange(3)) is None
    np.testing.assert_array_equal(
        Withheld(ObservedSource(world, made), [1]).noise(np.array([40])), noise[2:]
    )


@pytest.fixture(scope="module")
def noisy():
    """A year of a world, of whose twelve sites every other one errs by 6 ppm and says so."""
    world = SyntheticSource(LatLonGrid.regular(12, 18), "2001-12-01", "2002-03-10", sites=12)
    sites = world.stations
    error = np.where(np.arange(12) % 2, 6.0, 0.1).astype(np.float32)
    exact = world.observations(np.arange(world.time.size))
    rng = np.random.default_rng(3)
    values = (exact + error * rng.standard_normal(exact.shape)).astype(np.float32)
    about = {"title": "measured", "simulated": False}
    known = np.broadcast_to(error, values.shape).astype(np.float32)
    one = np.ones(values.shape, dtype=np.int32)
    given = Observations(sites, world.time, values, one, known, about)
    silent = Observations(sites, world.time, values, one, np.full_like(known, np.nan), about)
    return world, ObservedSource(world, given), ObservedSource(world, silent)


@pytest.mark.parametrize(
    ("name", "share"), [("interpolation", 0.8), ("kriging", 0.97), ("interpolation-window", 0.8)]
)
def test_reported_errors_give_better_fields(noisy, tmp_path, name, share):
    """Beside the same values without their errors; and the same bits where none is known."""
    world, told, untold = noisy
    model = fit_statistical(name, world, np.arange(640), tmp_path / name, frames=4)
    index = np.arange(660, 780, 9)
    truth = world.read(["co2"], index)[0]
    weights = world.grid.weights

    def rmse(source):
        return np.sqrt(np.mean((model.reconstruct(source, index) - truth) ** 2 * weights))

    assert rmse(told) < share * rmse(untold)
    plain = StatisticalReconstructor(name, model.background, model.method)
    np.testing.assert_array_equal(
        plain.reconstruct(untold, index),
        plain._estimate(*asked(plain, untold, index)),
    )


def asked(model, source, index):
    """Times and values as the method takes them, without a word of errors."""
    if model.frames == 1:
        return source.time[index], source.observations(index)
    window = index[:, None] + np.arange(1 - model.frames, 1)
    seen = source.observations(window.ravel()).reshape(*window.shape, -1)
    return source.time[index], seen


def test_covariances_of_measurements_hold_their_errors_already(noisy, tmp_path):
    world, told, _ = noisy
    model = fit_statistical("interpolation", told, np.arange(640), tmp_path / "m")
    assert model.background.notes["noise_included"] is True
    index = np.array([700])
    found = model.reconstruct(told, index)
    background = model.background
    np.testing.assert_array_equal(
        found, background.interpolate(told.time[index], told.observations(index))
    )
    assert "noise_included" not in Background.fit(world, np.arange(96)).notes


def test_an_endless_error_is_as_good_as_silence(noisy):
    world, told, _ = noisy
    background = Background.fit(world, np.arange(480))
    times, seen = told.time[[500]], told.observations(np.array([500]))
    silent, noise = seen.copy(), np.full_like(seen, np.nan)
    silent[0, 3], noise[0, 3] = np.nan, 1e6
    np.testing.assert_allclose(
        background.interpolate(times, seen, noise), background.interpolate(times, silent), atol=1e-2
    )
