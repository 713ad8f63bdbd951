"""Three hundred damaged files: each gives one clear line, no traceback, no half store, no hang."""

from functools import wraps

import netCDF4
import numpy as np
import pytest

from co2net.datasets import carbontracker, cmip6, guard, obspack
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.schema import create_store, open_store
from tests.synthetic import SyntheticSource
from tests.unit.datasets.originals import write_cmip6, write_day, write_obspack

GRID = LatLonGrid.regular(6, 8)
HTML = b"<!DOCTYPE html><html><head><title>503 Service Unavailable</title></head></html>"


@pytest.fixture(scope="module")
def world():
    return SyntheticSource(GRID, "2002-01-01", "2002-01-01", sites=3)


@pytest.fixture(scope="module")
def originals(tmp_path_factory, world):
    """Kind -> a sound file."""
    folder = tmp_path_factory.mktemp("sound")
    co2 = world.read(["co2"], np.arange(2))[0] * 1e-6
    hours = np.arange("2002-01-01", "2002-01-02", np.timedelta64(1, "h"), dtype="M8[s]")
    return {
        "carbontracker": write_day(folder, "2002-01-01", world, levels=2),
        "cmip6": write_cmip6(
            folder, "co2", ["2002-01", "2002-02"], np.stack([co2, co2 * 1.01], axis=1),
            GRID.lat, np.sort(GRID.lon % 360),
        ),
        "obspack": write_obspack(folder, "MLO", hours, np.linspace(370, 380, 24)),
        "obspack text": write_obspack(
            folder, "BRW", hours, np.linspace(370, 380, 24), text=True, lat=71.3, lon=-156.6
        ),
    }  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory, world):
    path = tmp_path_factory.mktemp("store") / "s.zarr"
    create_store(path, GRID, world.time, world.stations, world.attrs)
    return path


# -- damages --------------------------------------------------------------------------------


def cut(path, rng):
    data = path.read_bytes()
    path.write_bytes(data[: int(rng.integers(0, len(data) - 1))])


def empty(path, rng):
    path.write_bytes(b"")


def page(path, rng):
    path.write_bytes(HTML * int(rng.integers(1, 400)))


def zeros(path, rng):
    path.write_bytes(bytes(path.stat().st_size))


def early_bytes(path, rng):
    _flip(path, rng, 6000)


def any_bytes(path, rng):
    _flip(path, rng, path.stat().st_size)


def _flip(path, rng, end):
    data = bytearray(path.read_bytes())
    for place in rng.integers(8, min(end, len(data)), int(rng.integers(1, 60))):
        data[place] = int(rng.integers(0, 256))
    path.write_bytes(data)


def _edit(change):
    @wraps(change)
    def damage(path, rng):
        with netCDF4.Dataset(path, "a") as data:
            data.set_auto_mask(False)
            change(data, rng)

    return damage


@_edit
def no_variable(data, rng):
    name = str(rng.choice([n for n in ("co2", "value", "time") if n in data.variables]))
    data.renameVariable(name, "something")


@_edit
def no_units(data, rng):
    names = [n for n in ("co2", "value", "time") if n in data.variables]
    data.variables[str(rng.choice(names))].delncattr("units")


@_edit
def absurd_units(data, rng):
    names = [n for n in ("co2", "value", "time") if n in data.variables]
    data.variables[str(rng.choice(names))].units = str(rng.choice(["parsec", "", "K", "1e99"]))


@_edit
def absurd_values(data, rng):
    name = "co2" if "co2" in data.variables else "value"
    data[name][:] = data[name][:] * float(rng.choice([1e6, 1e-6, 0.1, 1e30]))


@_edit
def holes(data, rng):
    name = "co2" if "co2" in data.variables else "value"
    data[name][:] = np.nan


@_edit
def strange_times(data, rng):
    with np.errstate(invalid="ignore"):  # where times are whole numbers
        data["time"][:] = data["time"][:] * float(rng.choice([-1e9, 1e30, np.nan]))


@_edit
def renamed_dimension(data, rng):
    known = [n for n in ("latitude", "lat", "obs", "longitude", "lon") if n in data.dimensions]
    name = str(rng.choice(known))
    data.renameDimension(name, "nowhere")
    for axis in ("latitude", "lat", "longitude", "lon", "time"):
        if axis in data.variables:
            data.variables[axis][:] = 1e4


@_edit
def swapped_latitudes(data, rng):
    axis = data[next(n for n in ("latitude", "lat") if n in data.variables)]
    axis[:] = axis[::-1]


@_edit
def turned_longitudes(data, rng):
    axis = data[next(n for n in ("longitude", "lon") if n in data.variables)]
    axis[:] = (axis[:] + float(rng.choice([0, 360, 720]))) % 360


MUST_FAIL = [
    *(empty, page, zeros, no_variable, no_units, absurd_units, absurd_values, holes),
    *(strange_times, renamed_dimension),
]
ORDERS = [swapped_latitudes, turned_longitudes]
"""Coordinates in another order are sound by themselves; the terrain shows when they are wrong."""
MAY_FAIL = [cut, early_bytes, any_bytes, *ORDERS]
"""Bytes that changed may leave values that are sound to every check, or may not matter."""
TEXT = [cut, empty, page, zeros, early_bytes, any_bytes]


def bring(kind, path, out, store, world):
    if kind == "carbontracker":
        carbontracker.prepare([path], out, stations=world.stations)
    elif kind == "cmip6":
        cmip6.prepare([path], out, stations=world.stations, grid=GRID)
    else:
        obspack.prepare([path], out, store=store, selection=obspack.Selection(()))


CASES = {
    **dict.fromkeys(("carbontracker", "cmip6", "obspack"), MUST_FAIL + MAY_FAIL),
    "obspack text": TEXT,
}


def test_there_are_three_hundred():
    assert sum(_count(damage) for damages in CASES.values() for damage in damages) >= 300


def _count(damage):
    if damage in (empty, zeros, page, *ORDERS):
        return 2
    return 13 if damage in MAY_FAIL else 6


@pytest.mark.parametrize("kind", CASES)
def test_every_damaged_file_is_one_line(tmp_path, originals, store, world, kind, monkeypatch):
    monkeypatch.setattr(guard, "SECONDS", 4)
    rng = np.random.default_rng(300)
    sound = originals[kind]
    path = tmp_path / sound.name
    for damage in CASES[kind]:
        for trial in range(_count(damage)):
            path.unlink(missing_ok=True)  # the library may hold a damaged file open, and locked
            path.write_bytes(sound.read_bytes())
            damage(path, rng)
            out = tmp_path / f"{damage.__name__}-{trial}.zarr"
            what = f"{kind}, {damage.__name__} {trial}"
            line = None
            try:
                bring(kind, path, out, store, world)
            except UserError as error:
                line = str(error)
            if line is None:
                assert damage not in MUST_FAIL, what
                if not kind.startswith("obspack"):
                    done = open_store(out)
                    held = np.flatnonzero(done.available)
                    assert held.size, what
                    assert np.isfinite(done.read(["co2"], held)).all(), what
            else:
                assert "\n" not in line, what
                assert str(path) in line or "none of the files holds" in line, f"{what}: {line}"
                assert not out.exists(), what
            hidden = [p.name for p in tmp_path.iterdir() if p.name.startswith(".")]
            assert not hidden, f"{what} leaves {hidden}"
