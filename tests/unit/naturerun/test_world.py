"""Months, restarts, archives and stores of the simulated world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from co2net.assets import data_path
from co2net.errors import UserError
from co2net.naturerun import World, WorldConfig, WorldSource, add_month, build_archive, build_demo
from co2net.naturerun.check import _Archive, _mass
from co2net.naturerun.stations import ObservationConfig, load_stations, observe
from co2net.naturerun.world import (
    Month,
    Restart,
    has_restarts,
    restart_before,
    write_restarts_label,
)
from co2net.schema import CO2, open_store, validate

CONFIG = WorldConfig(spin_up=0, initial=369.0)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One year from rest, with its restarts in the folder ``restarts``."""
    folder = tmp_path_factory.mktemp("world")
    build_archive(folder / "archive", CONFIG, (2000, 2000), folder / "restarts")
    write_restarts_label(folder / "restarts", CONFIG)
    return folder


@pytest.fixture(scope="module")
def source(built: Path) -> WorldSource:
    return WorldSource(built / "archive", CONFIG)


def test_restart_keeps_values_and_mass(tmp_path: Path) -> None:
    world = World()
    rng = np.random.default_rng(0)
    state = world.initial_state() + rng.normal(0, 5, (5, 90, 120))
    packed = Restart.pack(state, world.geometry.air)
    packed.save(tmp_path / "r.npz")
    again = Restart.load(tmp_path / "r.npz").unpack()
    assert np.array_equal(again, packed.unpack())
    assert np.abs(again - state).max() < 0.011
    mass = [(q * world.air).sum() for q in (state, again)]
    assert mass[1] / mass[0] == pytest.approx(1.0, abs=1e-13)


def test_month_from_restart_is_bit_identical(built: Path, source: WorldSource) -> None:
    *_, april = World(CONFIG).months(2000, 4, built / "restarts")
    first = int(np.searchsorted(source.time, np.datetime64("2000-04-01T01:30:00")))
    year = np.load(built / "archive" / "co2_2000.npy", mmap_mode="r")
    assert np.array_equal(CO2.pack(april.surface), year[first : first + 240])


def test_source_gives_fields_and_observations(source: WorldSource) -> None:
    index = np.array([5, 900, 5, 2900])
    fields = source.read(["co2", *source.variables], index)
    assert fields.shape == (8, 4, 90, 120)
    assert fields.dtype == np.float32
    assert np.array_equal(fields[:, 0], fields[:, 2])
    assert np.isfinite(fields).all()
    rows, columns = source.stations.cells(source.grid)
    noise = source.observations(index) - fields[0][:, rows, columns]
    assert 0.1 < noise.std() < 0.3
    assert np.array_equal(source.observations(index[1:2])[0], source.observations(index)[1])
    assert source.available.sum() == 2928
    assert source.attrs["simulated"] is True


def test_source_refuses_other_worlds_and_missing_years(built: Path, source: WorldSource) -> None:
    with pytest.raises(UserError, match="another world"):
        WorldSource(built / "archive", WorldConfig())
    with pytest.raises(UserError, match="no archive"):
        WorldSource(built)
    with pytest.raises(UserError, match="2005"):
        source.read(["co2"], np.array([15000]))
    with pytest.raises(UserError, match="has no ozone"):
        source.read(["ozone"], np.array([0]))


def test_demo_store_equals_the_archive(built: Path, source: WorldSource) -> None:
    path = built / "demo.zarr"
    said: list[float] = []
    build_demo(
        path, ["2000-02"], CONFIG, built / "restarts", workers=1,
        progress=lambda share, _: said.append(share),
    )  # fmt: skip
    add_month(path, "2000-04", CONFIG, built / "restarts")
    store = open_store(path)
    assert validate(store) == []
    frames = np.flatnonzero(store.available)
    assert frames.size == (1 + 29 + 1 + 30) * 8  # each with the day before it
    assert said[-1] == 1.0
    assert np.array_equal(store.read(["co2"], frames), source.read(["co2"], frames))
    assert np.array_equal(store.observations(frames), source.observations(frames))
    close = store.read(["air_temperature"], frames[:4]) - source.read(
        ["air_temperature"], frames[:4]
    )
    assert np.abs(close).max() < 0.01
    assert store.attrs["simulated"] is True
    with pytest.raises(UserError, match="YYYY-MM"):
        add_month(path, "1999-01", CONFIG, built / "restarts")


def test_interrupted_archive_goes_on(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second call takes the state from the last restart instead of starting anew."""
    restarts = built / "unlabelled"
    restarts.mkdir()
    state = World(CONFIG).state_at(2000, 11, built / "restarts")
    Restart.pack(state, World(CONFIG).geometry.air).save(restarts / "2001-01.npz")
    begun: list[tuple[int, int]] = []

    def run(self: World, state: np.ndarray, start: tuple[int, int], *_: object) -> list[Month]:
        begun.append(start)
        raise KeyboardInterrupt

    monkeypatch.setattr(World, "run", run)
    with pytest.raises(KeyboardInterrupt):
        build_archive(built / "archive", CONFIG, (2000, 2001), restarts)
    assert begun == [(2001, 1)]


def test_year_conserves_mass(built: Path) -> None:
    rows = {row.name: row for row in _mass(_Archive(built / "archive"))}
    assert rows["CO2 mass against integrated fluxes, worst year"].value < 1e-9
    assert all(row.ok for row in rows.values())


def test_shipped_restarts_belong_to_the_default_world() -> None:
    folder = data_path("restarts")
    assert has_restarts(folder, WorldConfig())
    files = list(folder.glob("*.npz"))
    assert len(files) == 21 * 6
    assert sum(file.stat().st_size for file in files) < 10e6
    state = World().state_at(2015, 7)
    assert 300 < state.min() < state.max() < 600


def test_restart_before_leaves_a_whole_month_ahead() -> None:
    assert restart_before(2000, 1) == (2000, 1)
    assert restart_before(2000, 2) == (2000, 1)
    assert restart_before(2000, 3) == (2000, 1)
    assert restart_before(2020, 1) == (2019, 11)
    assert restart_before(2020, 6) == restart_before(2020, 7) == (2020, 5)


def test_settings_have_a_fingerprint() -> None:
    assert WorldConfig().digest == WorldConfig().digest
    assert WorldConfig().digest != CONFIG.digest


def test_observations_are_seeded_and_have_gaps() -> None:
    truth = np.full((800, 96), 400.0, dtype=np.float32)
    index = np.arange(800)
    config = ObservationConfig(noise=0.5, gaps=0.2)
    seen = observe(truth, index, config)
    assert np.array_equal(seen, observe(truth, index, config), equal_nan=True)
    part = observe(truth[300:310], index[300:310], config)
    assert np.array_equal(part, seen[300:310], equal_nan=True)
    assert np.isnan(seen).mean() == pytest.approx(0.2, abs=0.05)
    assert np.nanstd(seen) == pytest.approx(0.5, rel=0.05)
    assert np.array_equal(observe(truth, index, ObservationConfig(noise=0)), truth)


def test_stations_lie_in_cells_of_their_own() -> None:
    stations = load_stations()
    assert len(stations) == 96
    cells = set(zip(*(c.tolist() for c in stations.cells(World().grid)), strict=True))
    assert len(cells) == 96
    assert {"MLO", "SPO", "BRW", "SMO", "ALT", "CGO"} <= set(stations.code)
