"""Which sites and values are wanted, their averages on frames, and the datasets of a site."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from co2net.assets import data_path
from co2net.datasets.obspack.reader import HOURS, Clock, Dataset
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.schema import CO2, even_steps
from co2net.source import StationNetwork

HEIGHT_M = 25.0
"""Height above ground (m) to which intakes are compared: the middle of CarbonTracker's level 0."""

_MOBILE_FRAMES = 12
_MOBILE_CEILING_M = 500.0
_CONTINUOUS = ("surface-insitu", "tower-insitu")


@dataclass(frozen=True)
class Selection:
    """Which sites and values are wanted.

    Parameters
    ----------
    sites
        Codes, in the order of the result, with or without a record; None: the 96 surface sites of
        ``data/stations.csv``, the document's choice; empty: every site that has a record.
    region
        A key of `co2net.regions`; sites outside are left out.
    years
        Least number of years (twelve months with a value) that a site needs.
    mobile
        Whether mobile platforms are taken too.
    local
        Whether values flagged as of local influence (``obs_flag`` 0) count.
    hours
        First and last hour of the day, such as (12, 16); None: all. It may run over midnight.
    clock
        Whose hours: ``utc``, ``local`` (standard) or ``solar`` time.
    height
        Height above ground (m) to which intakes are compared.
    """

    sites: tuple[str, ...] | None = None
    region: str | None = None
    years: float = 0.0
    mobile: bool = False
    local: bool = False
    hours: tuple[float, float] | None = None
    clock: Clock = "local"
    height: float = HEIGHT_M


def selection_of(given: Selection | Mapping[str, Any] | None) -> Selection:
    """A selection, also from JSON; UserError where that has strange settings."""
    if given is None or isinstance(given, Selection):
        return given or Selection()
    lists = {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
    try:
        return Selection(**{**given, **lists})
    except TypeError as error:
        raise UserError(f"selection: {error}") from error


def parse_sites(text: str | None) -> tuple[str, ...] | None:
    """Codes with commas; ``all`` is every site, None the document's."""
    if text is None:
        return None
    return () if text == "all" else tuple(code.strip() for code in text.split(",") if code.strip())


def parse_hours(text: str | None) -> tuple[float, float] | None:
    """First and last hour of the day, written ``12-16``.

    Raises
    ------
    UserError
        When it is written otherwise.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,2}(?:\.\d+)?)-(\d{1,2}(?:\.\d+)?)", text)
    if not found or max(float(found[1]), float(found[2])) > 24 or found[1] == found[2]:
        raise UserError(f"hours '{text[:20]}': write the first and the last, such as 12-16")
    return float(found[1]), float(found[2])


def parse_clock(text: str) -> Clock:
    """``utc``, ``local`` or ``solar``; UserError otherwise."""
    for clock in get_args(Clock):
        if text == clock:
            return text  # type: ignore[return-value]
    raise UserError(f"clock '{text[:20]}': choose {', '.join(get_args(Clock))}")


@dataclass(frozen=True, eq=False)
class Frames:
    """The time axis, and which frame a time lies in.

    Parameters
    ----------
    time : (N,) datetime64[s]
        Centres, or labels of months.
    monthly
        Whether a frame is a calendar month.
    """

    time: NDArray[np.datetime64]
    monthly: bool

    @classmethod
    def of(cls, time: NDArray[np.datetime64]) -> Frames:
        """The frames of a time axis."""
        if not even_steps(time):
            raise UserError("the store's time steps are not equal; `co2net data verify` says more")
        steps = np.unique(np.diff(time))
        return cls(
            time, bool(steps.size > 1 or (steps.size and steps[0] >= np.timedelta64(28, "D")))
        )

    @property
    def hours(self) -> float:
        """Length of a frame."""
        if self.monthly:
            return HOURS["month"]
        return float((self.time[1] - self.time[0]) / np.timedelta64(3600, "s"))

    def index(self, time: NDArray[np.datetime64]) -> NDArray[np.int64]:
        """(n,): frame of each time; -1 before the first and after the last."""
        if self.monthly:
            place = (time.astype("M8[M]") - self.time[0].astype("M8[M]")).astype(np.int64)
        else:
            step = self.time[1] - self.time[0]
            start = self.time[0] - step // 2
            place = (time - start) // step
        return np.where((place >= 0) & (place < self.time.size), place, -1).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Averages:
    """A dataset at one site, on frames: (frame index, mean, count, spread), ascending."""

    code: str
    dataset: Dataset
    lat: float
    lon: float
    altitude: float
    frame: NDArray[np.int64]
    mean: NDArray[np.float64]
    count: NDArray[np.int64]
    spread: NDArray[np.float64]

    def rank(self, height: float) -> tuple[Any, ...]:
        """Place in the order of preference; the least is taken first."""
        one = self.dataset
        apart = abs(one.intake - height) if np.isfinite(one.intake) else np.inf
        return (
            one.project not in _CONTINUOUS,
            apart,
            not one.laboratory.upper().startswith("NOAA"),
            -self.frame.size,
            one.name,
        )


@dataclass(frozen=True, eq=False)
class Site:
    """A site of the result, its datasets in the order of preference; none without a record."""

    code: str
    name: str
    lat: float
    lon: float
    altitude: float
    parts: tuple[Averages, ...]

    @property
    def scales(self) -> set[str]:
        return {part.dataset.scale for part in self.parts if part.dataset.scale}


def _known_sites() -> StationNetwork:
    return StationNetwork.from_csv(
        data_path("stations.csv"), "96 surface sites of ObsPack GLOBALVIEWplus"
    )


def codes(selection: Selection) -> tuple[str, ...]:
    """Wanted codes in order; empty for all."""
    if selection.sites is None:
        return _known_sites().code
    wanted = tuple(code.upper() for code in selection.sites)
    if len(set(wanted)) != len(wanted):
        raise UserError("a site is wanted twice; name each once")
    return wanted


def unwanted(
    dataset: Dataset,
    selection: Selection,
    wanted: Sequence[str],
    frames: Frames,
    grid: LatLonGrid,
    bounds: NDArray[np.float64] | None,
) -> str | None:
    """Why a dataset is not taken; None when it is."""
    if dataset.mobile and not selection.mobile:
        return f"a mobile platform ({dataset.project}); --mobile takes it"
    if not dataset.mobile and wanted and dataset.code not in wanted:
        return f"site {dataset.code} is not wanted"
    if dataset.hours > frames.hours * 1.01:
        return f"averages over {dataset.hours:g} h do not fit frames of {frames.hours:g} h"
    if dataset.mobile:
        return None
    try:
        row, column = grid.cell(dataset.lat, dataset.lon)
    except UserError:
        return f"site {dataset.code} lies outside the grid"
    if bounds is not None and bounds[int(row), int(column)] == 0:
        return f"site {dataset.code} lies outside {selection.region}"
    return None


def averages(
    dataset: Dataset, selection: Selection, frames: Frames, grid: LatLonGrid
) -> list[Averages]:
    """The dataset on frames: one site, or, of a mobile platform, one a cell."""
    keep = dataset.good & (selection.local | ~dataset.local)
    keep &= (dataset.value >= CO2.low) & (dataset.value <= CO2.high)
    if selection.hours is not None:
        first, last = selection.hours
        hour = dataset.clock_hours(selection.clock)
        inside = (hour >= first) & (hour < last)
        keep &= inside if first <= last else (hour >= first) | (hour < last)
    keep &= frames.index(dataset.time) >= 0
    about = dataset.take(np.zeros(dataset.value.size, dtype=bool))  # its values are not kept
    if not dataset.mobile:
        part = _average(dataset.take(keep), dataset.code, about, frames)
        return [part] if part.frame.size else []
    keep &= dataset.altitudes <= _MOBILE_CEILING_M
    keep &= np.isfinite(dataset.lats + dataset.lons)
    chosen = dataset.take(keep)
    if not chosen.value.size:
        return []
    rows, columns = grid.cell(chosen.lats, chosen.lons)
    parts = []
    for row, column in np.unique(np.stack([rows, columns], axis=1), axis=0):
        here = chosen.take((rows == row) & (columns == column))
        lat, lon = grid.lat[row], grid.lon[column]
        code = f"{dataset.code}@{lat:+05.1f}{lon:+06.1f}"
        part = _average(here, code, about, frames)
        if part.frame.size >= _MOBILE_FRAMES:
            parts.append(replace(part, lat=float(lat), lon=float(lon)))
    return parts


def _average(chosen: Dataset, code: str, about: Dataset, frames: Frames) -> Averages:
    frame, place, size = np.unique(
        frames.index(chosen.time), return_inverse=True, return_counts=True
    )
    mean = np.bincount(place, chosen.value, minlength=frame.size) / np.maximum(size, 1)
    square = np.bincount(place, (chosen.value - mean[place]) ** 2, minlength=frame.size)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.where(size > 1, np.sqrt(square / (size - 1)), np.nan)
    single = size[place] == 1
    spread[place[single]] = chosen.spread[single]
    return Averages(
        code=code,
        dataset=about,
        lat=about.lat,
        lon=about.lon,
        altitude=about.altitude,
        frame=frame,
        mean=mean,
        count=size,
        spread=spread,
    )


def merge(
    used: Mapping[str, Sequence[Averages]],
    selection: Selection,
    wanted: Sequence[str],
    frames: Frames,
) -> list[Site]:
    """Sites in order, their datasets by preference; those with too few years are left out."""
    network = _known_sites()
    places = {code: place for place, code in enumerate(network.code)}
    mobile = sorted(code for code in used if "@" in code)
    order = [*(wanted or sorted(code for code in used if "@" not in code)), *mobile]
    sites = []
    for code in order:
        parts = tuple(sorted(used.get(code, ()), key=lambda part: part.rank(selection.height)))
        if selection.years and _months(parts, frames) < 12 * selection.years:
            continue
        if parts:
            best = parts[0]
            site = Site(code, best.dataset.site, best.lat, best.lon, best.altitude, parts)
        elif selection.region is None and code in places:
            n = places[code]
            site = Site(
                code, network.name[n], network.lat[n], network.lon[n], network.altitude[n], ()
            )
        else:
            continue
        sites.append(site)
    return sites


def _months(parts: Sequence[Averages], frames: Frames) -> int:
    if not parts:
        return 0
    held = np.concatenate([part.frame for part in parts])
    return int(np.unique(frames.time[held].astype("M8[M]")).size)
