"""The simulated world: months of surface CO2 from weather, fluxes and transport."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from co2net.assets import atomic_path, data_path
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.naturerun.fluxes import FluxConfig, Fluxes
from co2net.naturerun.mixing import MixingConfig, exchange
from co2net.naturerun.transport import LAYERS_PA, MOLAR_MASS_AIR, Geometry, advance
from co2net.naturerun.weather import STREAM_SHAPE, Frames, Weather, WeatherConfig, days

WORLD_VERSION = "1.0"
"""Changes whenever the simulated values change."""

FIRST_YEAR, LAST_YEAR = 2000, 2020
FRAMES_A_DAY = 8
STEP_SECONDS = 10800
SUBSTEPS = 4
RESTART_MONTHS = (1, 3, 5, 7, 9, 11)
"""The state is rounded to a restart's precision at the start of these months."""
_RESTART_STEP = (0.02, 0.01, 0.01, 0.005, 0.005)  # umol/mol
_BATCH = 31 * FRAMES_A_DAY

Array = NDArray[np.float64]
Progress = Callable[[float, str], None]


def quiet(fraction: float, message: str) -> None:
    """A progress callback that says nothing."""


@dataclass(frozen=True)
class WorldConfig:
    """Everything that the world's values depend on.

    Parameters
    ----------
    initial : umol/mol
        CO2 everywhere when the spin-up begins.
    spin_up : int
        Years of spin-up before 2000.
    """

    weather: WeatherConfig = field(default_factory=WeatherConfig)
    flux: FluxConfig = field(default_factory=FluxConfig)
    mixing: MixingConfig = field(default_factory=MixingConfig)
    initial: float = 365.15
    spin_up: int = 3

    @property
    def digest(self) -> str:
        """Short fingerprint of the settings and of the world's version."""
        text = json.dumps([WORLD_VERSION, asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def month_times(year: int, month: int) -> NDArray[np.datetime64]:
    """Frames of a month: 01:30, 04:30 .. 22:30 UTC of every day."""
    start = np.datetime64(f"{year:04d}-{month:02d}", "M")
    first, last = start.astype("datetime64[s]"), (start + 1).astype("datetime64[s]")
    return np.arange(first + np.timedelta64(5400, "s"), last, np.timedelta64(STEP_SECONDS, "s"))


def time_axis() -> NDArray[np.datetime64]:
    """Every frame of the world, 2000-2020."""
    return np.arange(
        np.datetime64(f"{FIRST_YEAR}-01-01T01:30:00", "s"),
        np.datetime64(f"{LAST_YEAR + 1}-01-01", "s"),
        np.timedelta64(STEP_SECONDS, "s"),
    )


def _next(year: int, month: int) -> tuple[int, int]:
    return (year + 1, 1) if month == 12 else (year, month + 1)


@dataclass
class Month:
    """What a month of the run gives.

    Parameters
    ----------
    surface : (n, H, W) float32
        CO2 of the lowest layer at the frames, umol/mol.
    frames
        Weather of the month.
    flux : dict
        Component -> (H, W), mean flux, umol m-2 s-1.
    mass : (3,) float
        CO2 of the air (kg umol/mol) before and after, and what the surface added in between.
    courant : float
        Largest Courant number along latitude.
    """

    year: int
    month: int
    surface: NDArray[np.float32]
    frames: Frames
    flux: dict[str, Array]
    mass: tuple[float, float, float]
    courant: float


class World:
    """The simulated world.

    Parameters
    ----------
    config
        Settings; the shipped restarts belong to the default ones.
    """

    def __init__(self, config: WorldConfig | None = None) -> None:
        self.config = config or WorldConfig()
        self.grid = LatLonGrid.ct()
        self.weather = Weather(self.grid, self.config.weather)
        self.geometry = Geometry.of(self.grid)

    @cached_property
    def fluxes(self) -> Fluxes:
        """Surface fluxes."""
        return Fluxes(self.weather, self.config.flux)

    @property
    def air(self) -> Array:
        """(L, H, W) kg: air mass of the cells."""
        return np.repeat(self.geometry.air[:, :, None], self.grid.shape[1], axis=2)

    def initial_state(self) -> Array:
        """(L, H, W) umol/mol: the same everywhere, when the spin-up begins."""
        return np.full((len(LAYERS_PA), *self.grid.shape), self.config.initial)

    def run_month(self, state: Array, year: int, month: int) -> Month:
        """Advance the state over a month, in place.

        Parameters
        ----------
        state : (L, H, W) umol/mol
        year, month
            Years before 2000 have the fluxes of 2000.
        """
        times = month_times(year, month)
        t = days(times)
        frames = self.weather.frames(t)
        parts = self.fluxes.month(frames, year, month)
        flux = parts["land"] + parts["ocean"] + parts["fossil"]
        mixing = exchange(frames, self.weather, self.config.mixing)
        psi = self.weather.streamfunctions(t)
        zonal = self.weather.zonal_wind(t)
        meridional = self.weather.meridional_wind(t, self.grid.lat_edges)
        g = self.geometry
        surface = np.empty(flux.shape, dtype=np.float32)
        middle = np.empty(self.grid.shape)
        air = self.air
        diffusion = np.array(self.config.mixing.diffusion)
        courant = 0.0
        before = float((state * air).sum())
        for n in range(t.size):
            largest = advance(
                state, air, psi[n], STREAM_SHAPE, zonal[n], meridional[n], mixing[n], diffusion,
                flux[n], g.air, g.thickness, g.area, g.cos_edge, g.dphi, g.dlam,
                STEP_SECONDS / SUBSTEPS, SUBSTEPS, middle,
            )  # fmt: skip
            courant = max(courant, largest)
            surface[n] = middle
        if not courant < 1.0:
            raise FloatingPointError(
                f"{year}-{month:02d}: the wind crosses {courant:.2f} cells of latitude a step"
            )
        mean = {name: values.mean(axis=0, dtype=np.float64) for name, values in parts.items()}
        total = flux.sum(axis=0, dtype=np.float64) * g.area[:, None] * MOLAR_MASS_AIR
        mass = (before, float((state * air).sum()), float(total.sum() * STEP_SECONDS))
        return Month(year, month, surface, frames, mean, mass, courant)

    def run(
        self, state: Array, start: tuple[int, int], end: tuple[int, int], restarts: Path | None
    ) -> Iterator[Month]:
        """Run months one after the other, rounding the state where restarts lie.

        Parameters
        ----------
        state : (L, H, W) umol/mol
            At the start of the first month; advanced in place.
        start, end : (year, month)
            First and last month, inclusive.
        restarts
            Folder that receives restart files from 2000 on, or None.
        """
        year, month = start
        while (year, month) <= end:
            if month in RESTART_MONTHS:
                packed = Restart.pack(state, self.geometry.air)
                state[:] = packed.unpack()
                if restarts is not None and year >= FIRST_YEAR:
                    packed.save(restarts / f"{year:04d}-{month:02d}.npz")
            yield self.run_month(state, year, month)
            year, month = _next(year, month)

    def spin_up(self, progress: Progress = quiet) -> Array:
        """(L, H, W) umol/mol: the state at the start of 2000."""
        state = self.initial_state()
        first = FIRST_YEAR - self.config.spin_up
        total = 12 * self.config.spin_up
        for n, done in enumerate(self.run(state, (first, 1), (FIRST_YEAR - 1, 12), None)):
            progress((n + 1) / total, f"spin-up {done.year}-{done.month:02d}")
        return state

    def state_at(self, year: int, month: int, restarts: Path | None = None) -> Array:
        """State at the start of a restart month, from its file.

        Raises
        ------
        UserError
            When the world's settings are not those of the restarts, or the file is not there.
        """
        folder = restarts or data_path("restarts")
        check_restarts(folder, self.config)
        return Restart.load(folder / f"{year:04d}-{month:02d}.npz").unpack()

    def months(self, year: int, month: int, restarts: Path | None = None) -> Iterator[Month]:
        """The month, after those since the restart before the month that precedes it."""
        first = restart_before(year, month)
        return self.run(self.state_at(*first, restarts), first, (year, month), None)


def restart_before(year: int, month: int) -> tuple[int, int]:
    """Latest restart from which a run reaches a month with the whole of the month before it.

    Two or three months of run, of which the first window of the month needs the last day; there
    is nothing before January 2000.
    """
    before = max(year * 12 + month - 2, FIRST_YEAR * 12)
    start = before - before % 2  # restarts lie at the odd months
    return start // 12, start % 12 + 1


@dataclass(frozen=True)
class Restart:
    """A state rounded to a file's precision, its layers' masses kept exactly.

    Parameters
    ----------
    steps : (L, H, W) int32
        Whole multiples of the layer's step.
    offset : (L,) umol/mol
        Added to them; absorbs the rounding's effect on the layer's mean.
    """

    steps: NDArray[np.int32]
    offset: Array

    @classmethod
    def pack(cls, state: Array, air: Array) -> Restart:
        """Round a state; ``air`` (L, H) are the air masses of the cells."""
        step = np.array(_RESTART_STEP)[:, None, None]
        weight = air / (air.sum(axis=1, keepdims=True) * state.shape[2])
        mean = (state.sum(axis=2) * weight).sum(axis=1)
        steps = np.round((state - mean[:, None, None]) / step).astype(np.int32)
        error = ((steps * step).sum(axis=2) * weight).sum(axis=1)
        return cls(steps, mean - error)

    def unpack(self) -> Array:
        """(L, H, W) umol/mol."""
        return self.offset[:, None, None] + self.steps * np.array(_RESTART_STEP)[:, None, None]

    def save(self, path: Path) -> None:
        """Write a small ``.npz``: differences along longitude, low and high bytes apart."""
        change = np.diff(self.steps, axis=2, prepend=0).astype(np.int32)
        zigzag = np.where(change >= 0, 2 * change, -2 * change - 1).astype(np.uint32)
        if zigzag.max() > 65535:
            raise UserError(f"restart {path}: the state is too rough to store")
        low, high = (zigzag & 255).astype(np.uint8), (zigzag >> 8).astype(np.uint8)
        with atomic_path(path) as draft, draft.open("wb") as handle:
            np.savez_compressed(handle, low=low, high=high, offset=self.offset)

    @classmethod
    def load(cls, path: Path) -> Restart:
        """Read what `save` wrote."""
        if not path.is_file():
            raise UserError(f"no restart {path}; `co2net simulate` over all years writes them")
        with np.load(path, allow_pickle=False) as file:
            zigzag = file["low"].astype(np.int64) + 256 * file["high"].astype(np.int64)
            offset = file["offset"]
        change = np.where(zigzag % 2 == 0, zigzag // 2, -(zigzag + 1) // 2)
        return cls(np.cumsum(change, axis=2).astype(np.int32), offset)


def write_restarts_label(folder: Path, config: WorldConfig) -> None:
    """Say which world the restarts of a folder belong to."""
    with atomic_path(folder / "world.json") as draft:
        label = {"version": WORLD_VERSION, "digest": config.digest, "config": asdict(config)}
        draft.write_text(json.dumps(label, indent=1), encoding="utf-8")


def has_restarts(folder: Path, config: WorldConfig) -> bool:
    """Whether a folder holds the restarts of this world."""
    label = folder / "world.json"
    if not label.is_file():
        return False
    return json.loads(label.read_text(encoding="utf-8"))["digest"] == config.digest


def check_restarts(folder: Path, config: WorldConfig) -> None:
    """Raise a `UserError` unless a folder holds the restarts of this world."""
    if not has_restarts(folder, config):
        raise UserError(
            f"{folder} holds no restarts of this world (version {WORLD_VERSION}, settings "
            f"{config.digest}); simulate all years first, or use the default settings"
        )
