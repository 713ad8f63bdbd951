"""What is known of the sea: fields of a product, carried to other years.

A product has months of one year, of several, or of a climatology. Where a month of another year
is wanted, that of the nearest year is taken and its pCO2 raised by what the air's CO2 rose in
between: the sea is taken to follow the atmosphere, as in Takahashi et al. (2009,
doi:10.1016/j.dsr2.2008.12.009), who found a mean rise of the surface's pCO2 like the air's.
The rise of the air is that of NOAA's global marine surface (``data/noaa_global_co2.csv``), 1979
to 2024; beyond, its slope over the last or first ten years goes on.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from co2net.assets import data_path
from co2net.errors import UserError
from co2net.grid import LatLonGrid, area_mean
from co2net.naturerun.ocean import zonal_salinity
from co2net.ocean.flux import FluxSettings, vapour_pressure

Array = NDArray[np.float64]
Month = np.datetime64

QUANTITIES = ("pco2", "pco2_sd", "sst", "salinity", "ice", "alkalinity", "xco2")
"""What a product may hold; `pco2` and `sst` it must."""
_RANGES = {
    "pco2": (50.0, 2000.0),
    "pco2_sd": (0.0, 500.0),
    "sst": (-3.0, 45.0),
    "salinity": (0.0, 50.0),
    "ice": (0.0, 1.0),
    "alkalinity": (0.0, 4000.0),
    "xco2": (250.0, 800.0),
}
_TREND_YEARS = 10


def as_month(month: str | Month) -> Month:
    """A month as datetime64[M].

    Raises
    ------
    UserError
        When the text is none.
    """
    try:
        return np.array([month], dtype="datetime64[M]")[0]
    except ValueError:
        raise UserError(f"'{str(month)[:20]}' is no month; write it as 2020-06") from None


@dataclass(frozen=True)
class SeaState:
    """The sea's surface in a month; arrays (H, W) on the grid, NaN where nothing is known.

    Parameters
    ----------
    pco2 : uatm
    sst : degC
    salinity : 1
    ice : 0..1
    pco2_sd : uatm
        Standard error, where the product states one.
    alkalinity : umol kg-1
        Where the product has it; else it follows from temperature and salinity.
    exchange : 1
        Factor on the transfer velocity, where something besides the wind acts on it.
    """

    pco2: Array
    sst: Array
    salinity: Array
    ice: Array
    pco2_sd: Array | None = None
    alkalinity: Array | None = None
    exchange: Array | None = None


class OceanFields(Protocol):
    """Monthly fields of the sea on one grid: a product, or the embedded world's own.

    `climatological` says that the years do not differ but for their carried pCO2, and
    `reference_year` which year a product of one year stands for.
    """

    title: str
    source: str
    licence: str
    simulated: bool
    note: str
    settings: FluxSettings
    reference_year: int | None
    climatological: bool
    grid: LatLonGrid
    months: NDArray[np.datetime64]

    def state(self, month: Month) -> SeaState:
        """The sea in a month.

        Raises
        ------
        UserError
            When the month is none of `months`.
        """


class ProductFields:
    """Months of a product, on the grid of a data set.

    Parameters
    ----------
    values : name of `QUANTITIES` -> (n, H', W')
        On ``source_grid``, NaN where the product has nothing.
    months : (n,) datetime64[M]
        Of the values; those of a climatology bear the year that it stands for.
    source_grid, grid
        The product's cells, and those wanted: means over the part of them that has values.
    title, source, licence
        What it is.
    carry
        Whether months of other years are given, as the module says.

    Raises
    ------
    UserError
        When pCO2 or SST is missing, or values are not of the units that they should have.
    """

    simulated = False
    settings = FluxSettings()

    def __init__(
        self,
        values: dict[str, NDArray[Any]],
        months: NDArray[np.datetime64],
        source_grid: LatLonGrid,
        grid: LatLonGrid,
        title: str = "ocean product",
        source: str = "",
        licence: str = "",
        carry: bool = True,
    ) -> None:
        for name in ("pco2", "sst"):
            if name not in values:
                long = {"pco2": "pCO2 of the sea", "sst": "sea surface temperature"}[name]
                raise UserError(f"{title} has no {long}; name its variable as {name}=NAME")
        self.grid, self.title, self.source, self.licence = grid, title, source, licence
        self._held = np.asarray(months, dtype="datetime64[M]")
        if np.unique(self._held).size != self._held.size or self._held.size == 0:
            raise UserError(f"{title}: every month must be there once")
        self._values = {
            name: _sound(name, area_mean(field, source_grid, grid), title)
            for name, field in values.items()
        }
        years = self._held.astype("datetime64[Y]").astype(int) + 1970
        self.reference_year = int(years[0]) if np.unique(years).size == 1 else None
        self.climatological = np.unique(years).size < 3
        whole = np.unique(self._held.astype(int) % 12).size == 12
        self._carry = carry and whole
        self.months = np.sort(self._held)
        if self._carry:
            self.months = np.arange(np.datetime64("1970-01", "M"), np.datetime64("2041-01", "M"))
        self.note = self._describe()

    def _describe(self) -> str:
        parts = [f"months of {self._held.min()} to {self._held.max()}"]
        if self._carry:
            parts.append("in other years raised by the atmosphere's increase")
        if "salinity" not in self._values:
            parts.append("salinity: zonal means of the World Ocean Atlas")
        if "ice" not in self._values:
            parts.append("no ice given: the sea counts as open")
        return "; ".join(parts)

    def state(self, month: Month) -> SeaState:
        """The sea in a month; see `OceanFields.state`."""
        place, rise = self._place(as_month(month))
        got = {name: field[place] for name, field in self._values.items()}
        sst = got["sst"]
        salinity = got.get("salinity")
        if salinity is None:
            zonal = zonal_salinity(self.grid.lat)[:, None]
            salinity = np.where(np.isfinite(sst), zonal, np.nan)
        pco2 = got["pco2"]
        if rise:
            pco2 = pco2 + rise * (1.0 - vapour_pressure(sst, salinity))
        ice = np.nan_to_num(got["ice"]) if "ice" in got else np.zeros(self.grid.shape)
        return SeaState(pco2, sst, salinity, ice, got.get("pco2_sd"), got.get("alkalinity"))

    def xco2(self, month: Month) -> Array | None:
        """(H, W) umol mol-1: the product's own mole fraction of the air, where it has one."""
        if "xco2" not in self._values:
            return None
        place, rise = self._place(as_month(month))
        return self._values["xco2"][place] + rise

    def _place(self, month: Month) -> tuple[int, float]:
        """Position of the month that stands for a wanted one, and the air's rise since (ppm)."""
        exact = np.flatnonzero(self._held == month)
        if exact.size:
            return int(exact[0]), 0.0
        if month not in self.months:
            raise UserError(
                f"{self.title} has no {month}; it has {self.months[0]} to {self.months[-1]}"
            )
        same = np.flatnonzero((self._held - month).astype(int) % 12 == 0)
        nearest = same[np.argmin(np.abs((self._held[same] - month).astype(int)))]
        year, held = (int(str(m)[:4]) for m in (month, self._held[nearest]))
        return int(nearest), air_co2(year) - air_co2(held)


def _sound(name: str, values: Array, title: str) -> Array:
    """The values, where most of them lie in the range of their unit."""
    low, high = _RANGES[name]
    there = values[np.isfinite(values)]
    if there.size == 0:
        raise UserError(f"{title}: {name} has no values on this grid")
    middle = float(np.median(there))
    if not low <= middle <= high:
        raise UserError(
            f"{title}: {name} has a median of {middle:.4g}, outside {low:g} to {high:g}; "
            "check its units"
        )
    return values


@cache
def _record() -> tuple[Array, Array]:
    """Years and mean CO2 (umol mol-1) of the marine surface."""
    years: dict[int, list[float]] = {}
    with data_path("noaa_global_co2.csv").open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            years.setdefault(int(row["year"]), []).append(float(row["co2"]))
    whole = {year: np.mean(values) for year, values in years.items() if len(values) == 12}
    return np.array(list(whole), dtype=np.float64), np.array(list(whole.values()))


def air_co2(year: float) -> float:
    """Mean CO2 of the marine surface air in a year, umol mol-1; see the module for years beyond."""
    years, means = _record()
    if year > years[-1]:
        slope = (means[-1] - means[-1 - _TREND_YEARS]) / _TREND_YEARS
        return float(means[-1] + slope * (year - years[-1]))
    if year < years[0]:
        slope = (means[_TREND_YEARS] - means[0]) / _TREND_YEARS
        return float(means[0] + slope * (year - years[0]))
    return float(np.interp(year, years, means))
