"""The ocean of the embedded world, with the pCO2 that its flux asks for.

The world's transport was given a flux through the sea's surface. This module turns the bulk
formula round: with the world's own wind, pressure and CO2 at every second frame of a month,

``pCO2_sea = (F + <g pCO2_air>) / <g>``, ``g = k K0 (1 - ice)``,

so that the flux that the formula gives from the world's store has the mean that the transport
was given. Two assumptions make that pressure a plausible one, and both are part of this ocean:

- `GUSTS`: the world's weather has no squalls, and its wind in the doldrums and near the poles is
  far too weak (mean squares of 5 to 20 m2 s-2 where satellites see 30 to 45). 5 m s-1 are added.
- `LIMIT`: the world's winters at 60 to 75 degrees are too cold for the flux that CarbonTracker
  has there. Ice covers what the cold would cover (`Sea.open_water`), but gives way so far that
  the flux needs no more than this difference between sea and air.
- `FLOOR`: on Arctic coasts in summer the world has whole bands' flux in a few ice-free cells, up
  to 70 mol m-2 yr-1 in a calm. Where that asks for a lower pressure than this, the transfer
  velocity is raised instead (`SeaState.exchange`): in 0.36 % of cells and months, on Arctic coasts
  in summer and autumn, and nowhere else.

The months are worked out once, from the 21 years of the world (`build`), and shipped.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from co2net.assets import atomic_path, data_path, provenance
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.naturerun.ocean import Sea
from co2net.naturerun.world import FIRST_YEAR, LAST_YEAR, World, WorldConfig, month_times
from co2net.ocean import flux
from co2net.ocean.fields import SeaState, as_month
from co2net.source import FieldSource, frame_index

Array = NDArray[np.float64]
Month = np.datetime64
Progress = Callable[[float, str], None]

GUSTS = 5.0
"""m s-1."""
LIMIT = 120.0
"""uatm."""
FLOOR = 150.0
"""uatm; waters of Arctic shelves after the spring bloom come near it."""
_EVERY = 2  # frames: every sixth hour
_STEP = 0.1  # uatm, of the packed pressures
_OPEN = 250  # steps of the packed open water
_RAISED = 20  # steps of the packed factor on the transfer velocity


def _flux_of_sea(sea: Sea, year: int, month: int) -> Array:
    """mol m-2 yr-1 of sea: what the transport is given."""
    return sea.flux(year, month) * (1e-6 * flux.SECONDS_A_YEAR)


class SimulatedOcean:
    """The embedded world's ocean as `co2net.ocean.fields.OceanFields`.

    Parameters
    ----------
    path
        File of `build`; by default the shipped one.

    Raises
    ------
    UserError
        When there is none, or it belongs to another world.
    """

    title = "simulated ocean of the co2net nature run"
    source = "bulk formula turned round, from the flux that the simulated transport was given"
    licence = "BSD-3-Clause"
    simulated = True
    reference_year: int | None = None
    climatological = False
    settings = flux.FluxSettings(gusts=GUSTS)
    note = (
        "simulated: temperature and salinity know latitude and season only; pCO2 is what the "
        "prescribed flux asks for"
    )

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(path) if path is not None else data_path("ocean", "world.npz")
        if not self.path.is_file():
            raise UserError(f"no simulated ocean at {self.path}; the program's data are not whole")
        with np.load(self.path, allow_pickle=False) as file:
            label = json.loads(str(file["label"]))
            self._cells = file["cells"]
            self._steps = np.cumsum(_joined(file["low"], file["high"]), axis=0)
            self._open = file["open"]
            self._raised = file["raised"]
        if label["digest"] != WorldConfig().digest:
            raise UserError(f"{self.path} belongs to another version of the simulated world")
        self.grid = LatLonGrid.ct()
        self.months = np.array(label["months"], dtype="datetime64[M]")

    @cached_property
    def sea(self) -> Sea:
        """Temperature, salinity and given flux."""
        return Sea(World())

    def belongs_to(self, source: FieldSource) -> bool:
        """Whether a data set is a store or an archive of this world."""
        return source.attrs.get("digest") == WorldConfig().digest and source.grid == self.grid

    def _place(self, month: Month) -> int:
        found = np.flatnonzero(self.months == as_month(month))
        if found.size == 0:
            raise UserError(
                f"the simulated ocean has no {month}; it has {self.months[0]} to {self.months[-1]}"
            )
        return int(found[0])

    def _spread(self, values: NDArray[np.floating]) -> Array:
        out = np.full(self.grid.shape, np.nan)
        out.ravel()[self._cells] = values
        return out

    def state(self, month: Month) -> SeaState:
        """The sea in a month; see `OceanFields.state`."""
        place = self._place(month)
        year, number = _year_month(month)
        raised = self._raised[place]
        return SeaState(
            pco2=self._spread(self._steps[place] * _STEP),
            sst=self.sea.sst(year, number),
            salinity=self.sea.salinity,
            ice=1.0 - self._spread(self._open[place] / _OPEN),
            exchange=self._spread(raised / _RAISED) if (raised > _RAISED).any() else None,
        )

    def month_flux(self, month: Month) -> Array:
        """mol m-2 yr-1 of sea, NaN on land: the flux that the transport was given in a month."""
        self._place(month)
        return _flux_of_sea(self.sea, *_year_month(month))


def own_ocean(source: FieldSource) -> SimulatedOcean | None:
    """The simulated ocean, where a data set is of the embedded world; else None."""
    if source.attrs.get("digest") != WorldConfig().digest:
        return None
    ocean = SimulatedOcean()
    return ocean if ocean.belongs_to(source) else None


def _year_month(month: Month) -> tuple[int, int]:
    number = int(as_month(month).astype(int))
    return number // 12 + 1970, number % 12 + 1


# -- making it ----------------------------------------------------------------------------------


def build(source: FieldSource, out: Path, progress: Progress | None = None) -> Path:
    """Work out the pressures of every month and write them.

    Parameters
    ----------
    source
        All years of the embedded world, with co2 and weather.
    out
        ``.npz`` file: cells (S,) of the sea, pCO2 in steps of 0.1 uatm as differences from month
        to month, low and high bytes apart, the open water in 250ths, and the factor on the
        transfer velocity in 20ths.
    progress
        Told the share done, and the month.
    """
    sea = Sea(World())
    months = np.arange(
        np.datetime64(f"{FIRST_YEAR}-01", "M"), np.datetime64(f"{LAST_YEAR + 1}-01", "M")
    )
    cells = np.flatnonzero(sea.share > 0)
    steps = np.empty((months.size, cells.size), dtype=np.int64)
    open_ = np.empty((months.size, cells.size), dtype=np.uint8)
    raised = np.empty((months.size, cells.size), dtype=np.uint16)
    for n, month in enumerate(months):
        pco2, clear, factor = solve(sea, source, *_year_month(month))
        steps[n] = np.round(pco2.ravel()[cells] / _STEP)
        open_[n], raised[n] = clear.ravel()[cells], factor.ravel()[cells]
        if progress is not None:
            progress((n + 1) / months.size, str(month))
    change = np.diff(steps, axis=0, prepend=0)
    zigzag = np.where(change >= 0, 2 * change, -2 * change - 1)
    label = {
        "digest": WorldConfig().digest,
        "months": months.astype(str).tolist(),
        "gusts": GUSTS,
        "limit": LIMIT,
        "floor": FLOOR,
        "law": SimulatedOcean.settings.law,
        "made_by": provenance(),
    }
    with atomic_path(out) as draft, draft.open("wb") as handle:
        np.savez_compressed(
            handle,
            label=np.array(json.dumps(label)),
            cells=cells.astype(np.int32),
            low=(zigzag & 255).astype(np.uint8),
            high=(zigzag >> 8).astype(np.uint16),
            open=open_,
            raised=raised,
        )
    return out


def _joined(low: NDArray[np.uint8], high: NDArray[np.uint16]) -> NDArray[np.int64]:
    zigzag = low.astype(np.int64) + 256 * high.astype(np.int64)
    return np.where(zigzag % 2 == 0, zigzag // 2, -(zigzag + 1) // 2)


def solve(
    sea: Sea, source: FieldSource, year: int, month: int
) -> tuple[Array, NDArray[np.uint8], NDArray[np.uint16]]:
    """pCO2 of the sea in a month, uatm, its open water in 250ths, and the factor on the transfer
    velocity in 20ths; (H, W) each, NaN and 0 on land."""
    wanted = _flux_of_sea(sea, year, month)
    sst, salinity = sea.sst(year, month), sea.salinity
    k0, vapour = flux.solubility(sst, salinity), flux.vapour_pressure(sst, salinity)
    settings = SimulatedOcean.settings
    index = frame_index(source, month_times(year, month)[::_EVERY])
    conducts, brings = np.zeros(sea.grid.shape), np.zeros(sea.grid.shape)
    names = ("co2", "air_pressure", "air_temperature", "surface_altitude")
    for part in np.array_split(index, 4):
        co2, pressure, temperature, altitude, east, north = source.read(
            [*names, "eastward_wind", "northward_wind"], part
        )
        k = flux.transfer_velocity(settings.law, sst, settings.wind_speed(east, north))
        g = flux.conductance(k, k0)
        dry = flux.sea_level_pressure(pressure, altitude, temperature) / flux.ATMOSPHERE - vapour
        conducts += g.sum(axis=0)
        brings += (g * co2 * dry).sum(axis=0)
    conducts, brings = conducts / index.size, brings / index.size
    needed = np.abs(wanted) / (conducts * LIMIT)
    clear = np.clip(np.maximum(sea.open_water(year, month), needed), 0.0, 1.0)
    packed = np.ceil(np.nan_to_num(clear) * _OPEN).astype(np.uint8)
    share = np.where(packed > 0, packed, np.nan) / _OPEN
    air, difference = brings / conducts, wanted / (conducts * share)
    factor = np.where(air + difference < FLOOR, difference / (FLOOR - air), 1.0)
    raised = np.ceil(np.nan_to_num(factor) * _RAISED - 1e-9).astype(np.uint16)
    return air + difference * _RAISED / np.maximum(raised, 1), packed, raised
