"""Is a store sound: layout, units, ranges, gaps, stations, and CO2 beside NOAA's global means."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from co2net.assets import data_path
from co2net.datasets.building import gap_lines, gaps_between
from co2net.errors import UserError
from co2net.schema import CHUNK, LAYOUT_VERSION, VARIABLES, StoreSource, even_steps, open_store
from co2net.source import Index

Progress = Callable[[float, str], None]

TOLERANCE_PPM = 4.0
"""Difference of a year's ocean mean to NOAA's that is still sound (umol/mol)."""
FREE_TOLERANCE_PPM = 30.0
"""The same for a model that runs free, whose emissions make their own CO2."""

_SAMPLE = 2000
_MEANS = {  # bounds of a sound area mean, in the store's units
    "air_pressure": (9.3e4, 1.02e5),
    "specific_humidity": (0.003, 0.02),
    "air_temperature": (270.0, 300.0),
    "eastward_wind": (-8.0, 8.0),
    "northward_wind": (-5.0, 5.0),
    "geopotential_height": (-100.0, 1500.0),
    "surface_altitude": (50.0, 500.0),
}
_TERRAIN_M = 500.0


@dataclass(frozen=True)
class YearMean:
    """A year's ocean mean beside NOAA's.

    Parameters
    ----------
    year, months
        The year, and how many of its months both have.
    store, noaa
        Means over those months (umol/mol).
    """

    year: int
    months: int
    store: float
    noaa: float

    @property
    def difference(self) -> float:
        """Store minus NOAA (umol/mol)."""
        return self.store - self.noaa


@dataclass(frozen=True)
class Report:
    """What `verify` found.

    Parameters
    ----------
    store
        The store.
    frames, checked
        Frames that hold data, and those whose values were read.
    missing
        Variable -> share of the values that are missing.
    years
        Ocean means beside NOAA's.
    notes
        What is worth knowing and no fault: gaps, absent variables.
    faults
        What is wrong; empty when the store is sound.
    """

    store: str
    frames: int
    checked: int
    missing: dict[str, float]
    years: tuple[YearMean, ...]
    notes: tuple[str, ...]
    faults: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        years = [
            {"year": y.year, "months": y.months, "store": round(y.store, 3),
             "noaa": round(y.noaa, 3), "difference": round(y.difference, 3)}
            for y in self.years
        ]  # fmt: skip
        return {
            "store": self.store,
            "sound": not self.faults,
            "frames": self.frames,
            "checked": self.checked,
            "missing": self.missing,
            "years": years,
            "notes": list(self.notes),
            "faults": list(self.faults),
        }

    def lines(self) -> list[str]:
        """For people: one line a fact."""
        text = [f"{self.store}: {self.frames} frames, {self.checked} of them read"]
        text += [f"note: {note}" for note in self.notes]
        if self.years:
            apart = [abs(year.difference) for year in self.years]
            worst = self.years[int(np.argmax(apart))]
            text.append(
                f"ocean mean CO2 less NOAA's global mean: {worst.difference:+.2f} ppm at most, in "
                f"{worst.year} ({len(self.years)} years)"
            )
        text += [f"FAULT: {fault}" for fault in self.faults]
        return [*text, f"{len(self.faults)} faults" if self.faults else "sound"]


@cache
def noaa_means() -> dict[str, float]:
    """``YYYY-MM`` -> global mean of marine surface CO2 (umol/mol), NOAA GML."""
    with data_path("noaa_global_co2.csv").open(encoding="utf-8", newline="") as handle:
        rows = csv.DictReader(handle)
        return {f"{int(r['year']):04d}-{int(r['month']):02d}": float(r["co2"]) for r in rows}


def verify(path: str | Path, full: bool = False, progress: Progress | None = None) -> Report:
    """Check a store.

    Parameters
    ----------
    path
        The store.
    full
        Read every frame; by default a sample of some 2000, spread over all.
    progress
        Told the share done and a text.

    Raises
    ------
    UserError
        When there is no store to check.
    """
    store = open_store(path)
    faults: list[str] = []
    notes: list[str] = []
    try:
        time, grid, held = store.time, store.grid, np.flatnonzero(store.available)
    except (UserError, KeyError, ValueError, TypeError) as error:
        return Report(str(path), 0, 0, {}, (), (), (f"axes: {error}",))
    faults += _layout(store, time)
    if held.size == 0:
        return Report(str(path), 0, 0, {}, (), (), (*faults, "available: no frame holds data"))
    notes += _gaps(store, time)
    faults += _stations(store)
    chosen = held if full or held.size <= _SAMPLE else _sample(held)
    missing: dict[str, float] = {}
    ocean = grid.weights * (1 - grid.land_fraction)
    ocean = ocean / ocean.sum() if ocean.sum() > 0 else grid.weights / grid.weights.sum()
    series = np.full(chosen.size, np.nan)
    spread = 0.0
    names = ("co2", *store.variables)
    for number, name in enumerate(names):
        seen = _Seen(name, grid.weights / grid.weights.sum())
        static = VARIABLES[name].static
        blocks = [chosen[:1]] if static else _blocks(chosen)
        place = 0
        try:
            for count, block in enumerate(blocks):
                values = store.read([name], block)[0]
                seen.add(values)
                if name == "co2":
                    series[place : place + block.size] = np.einsum("nhw,hw->n", values, ocean)
                    spread = max(spread, _spread(values.reshape(block.size, -1)))
                    place += block.size
                if progress is not None:
                    progress((number + (count + 1) / len(blocks)) / len(names), name)
        except (ValueError, RuntimeError, OSError, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())[:100]
            faults.append(f"{name}: cannot be read ({reason})")
            continue
        missing[name] = seen.missing
        faults += seen.faults(store)
        if name == "surface_altitude":
            faults += _terrain(values[0], grid.land_fraction)
    if "co2" in missing and spread <= VARIABLES["co2"].scale * 1.01:
        faults.append("co2: is the same everywhere in every frame; there is nothing to reconstruct")
    years = _years(time[chosen], series)
    free = bool(store.attrs.get("free_running"))
    limit = FREE_TOLERANCE_PPM if free else TOLERANCE_PPM
    for year in years:
        if abs(year.difference) > limit:
            faults.append(
                f"co2: ocean mean of {year.year} is {year.store:.1f}, NOAA's global mean "
                f"{year.noaa:.1f} umol/mol; more than {limit:g} apart"
            )
    if not years:
        notes.append("no month lies within NOAA's global means (1979-2024): CO2 was not compared")
    if store.attrs.get("absent_variables"):
        notes.append(f"absent: {', '.join(store.attrs['absent_variables'])}")
    return Report(
        str(path), held.size, chosen.size, missing, years, tuple(notes), tuple(faults)
    )  # fmt: skip


def _spread(flat: NDArray[np.float32]) -> float:
    """Largest range over the cells of a frame; 0 where all is missing."""
    there = np.isfinite(flat).any(axis=1)
    if not there.any():
        return 0.0
    return float((np.nanmax(flat[there], axis=1) - np.nanmin(flat[there], axis=1)).max())


def _layout(store: StoreSource, time: NDArray[np.datetime64]) -> list[str]:
    faults = []
    if (np.diff(time) <= np.timedelta64(0, "s")).any():
        faults.append("time: does not ascend")
    elif not even_steps(time):
        faults.append("time: steps are not equal")
    for name in ("title", "source", "version", "licence", "simulated"):
        if name not in store.attrs:
            faults.append(f"attributes: {name} is missing")
    if store.attrs.get("layout_version") != LAYOUT_VERSION:
        faults.append(
            f"attributes: layout_version is {store.attrs.get('layout_version')}, "
            f"not {LAYOUT_VERSION}"
        )
    return faults


def _gaps(store: StoreSource, time: NDArray[np.datetime64]) -> list[str]:
    """Stretches of days (of months, in a monthly store) that are not whole."""
    unit = "M" if time.size > 1 and time[1] - time[0] >= np.timedelta64(28, "D") else "D"
    stamp = time.astype(f"M8[{unit}]")
    first = stamp.min()
    place = (stamp - first).astype(np.int64)
    want = np.bincount(place)
    whole = np.bincount(place, weights=store.available) == want
    lines = gap_lines(gaps_between(whole, first))
    if len(lines) > 4:
        return [*lines[:3], f"{len(lines)} gaps in all, {int((~whole).sum())} days or months"]
    return lines


def _stations(store: StoreSource) -> list[str]:
    try:
        stations = store.stations
    except (KeyError, ValueError, TypeError) as error:
        return [f"stations: cannot be read ({error})"]
    faults = []
    if len(set(stations.code)) != len(stations):
        faults.append("stations: a code is there twice")
    if not np.array_equal(store.station_time, store.time):
        faults.append("stations: their times are not those of the fields")
    for code, lat, lon in zip(stations.code, stations.lat, stations.lon, strict=True):
        try:
            store.grid.cell(lat, lon)
        except UserError:
            faults.append(f"stations: {code} at {lat:g}, {lon:g} lies outside the grid")
    values = store.observations(_sample(np.flatnonzero(store.available)))
    known = values[np.isfinite(values)]
    co2 = VARIABLES["co2"]
    if known.size == 0:
        faults.append("stations: none reports anything")
    elif known.min() < co2.low or known.max() > co2.high:
        faults.append(f"stations: CO2 is {known.min():g} to {known.max():g} {co2.units}")
    return faults


class _Seen:
    """Range, missing share and area mean of a variable."""

    def __init__(self, name: str, weights: NDArray[np.float64]) -> None:
        self.name, self._weights = name, weights
        self._low, self._high = np.inf, -np.inf
        self._count = self._gone = 0
        self._sum = self._frames = 0.0

    def add(self, values: NDArray[np.float32]) -> None:
        there = np.isfinite(values)
        self._count += values.size
        self._gone += int(values.size - there.sum())
        if there.any():
            self._low = min(self._low, float(values[there].min()))
            self._high = max(self._high, float(values[there].max()))
        whole = there.reshape(values.shape[0], -1).all(axis=1)
        self._sum += float(np.einsum("nhw,hw->", values[whole], self._weights))
        self._frames += float(whole.sum())

    @property
    def missing(self) -> float:
        return self._gone / max(1, self._count)

    def faults(self, store: StoreSource) -> list[str]:
        variable = VARIABLES[self.name]
        found = []
        units = store.units(self.name)
        if units != variable.units:
            found.append(f"{self.name}: units are {units!r}, not {variable.units!r}")
        if self._gone:
            found.append(f"{self.name}: {self.missing:.2%} of the values are missing")
        if self._low < variable.low or self._high > variable.high:
            found.append(
                f"{self.name}: {self._low:g} to {self._high:g} {variable.units} is out of range"
            )
        if self.name in _MEANS and self._frames:
            low, high = _MEANS[self.name]
            mean = self._sum / self._frames
            if not low <= mean <= high:
                found.append(
                    f"{self.name}: area mean {mean:g} {variable.units} is not of this Earth "
                    f"({low:g} to {high:g})"
                )
        return found


def _terrain(altitude: NDArray[np.float32], land: NDArray[np.float64]) -> list[str]:
    """Whether high ground lies on land; a grid upside down or half a turn off does not."""
    high = altitude > _TERRAIN_M
    if not high.any() or land.max() == 0:
        return []
    share = float(land[high].mean())
    if share < 0.7:
        return [
            f"surface_altitude: only {share:.0%} of the ground above {_TERRAIN_M:g} m is land; "
            "latitudes or longitudes are swapped"
        ]
    return []


def _years(time: NDArray[np.datetime64], series: NDArray[np.float64]) -> tuple[YearMean, ...]:
    known = noaa_means()
    month = time.astype("M8[M]")
    pairs: dict[int, list[tuple[float, float]]] = {}
    for stamp in np.unique(month):
        values = series[month == stamp]
        if str(stamp) in known and np.isfinite(values).any():
            pair = (float(np.nanmean(values)), known[str(stamp)])
            pairs.setdefault(int(str(stamp)[:4]), []).append(pair)
    return tuple(
        YearMean(year, len(found), *(float(mean) for mean in np.mean(found, axis=0)))
        for year, found in sorted(pairs.items())
    )


def _sample(index: Index) -> Index:
    """Up to `_SAMPLE` of the frames, spread evenly."""
    if index.size <= _SAMPLE:
        return index
    return index[np.linspace(0, index.size - 1, _SAMPLE).astype(np.int64)]


def _blocks(index: Index) -> list[Index]:
    """Frames that lie in the same chunks of the store together."""
    cuts = np.flatnonzero(np.diff(index // CHUNK[0])) + 1
    return np.split(index, cuts)
