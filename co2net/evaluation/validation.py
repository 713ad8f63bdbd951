"""Models beside measurements: at the sites they read, at sites withheld, season, coasts apart.

The source's stations report measurements (`co2net.observations.ObservedSource`); what a model says
of a site is the value of the cell that holds it. Each site is scored once with all sites as
input and, where folds are asked for, once without the sites of its fold.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from co2net.assets import atomic_path, data_path
from co2net.errors import UserError
from co2net.evaluation.sites import Withheld, folds
from co2net.grid import great_circle_km
from co2net.models import Reconstructor
from co2net.source import FieldSource, Index, StationNetwork
from co2net.windows import complete_windows

Progress = Callable[[float, str], None]

COAST_KM = 150.0
"""Distance to the coastline (km) up to which a site is near a coast."""

_BATCH = 64
_MONTHS_OF_A_SEASON = 8


@dataclass(frozen=True)
class SiteScore:
    """A model at one site.

    Parameters
    ----------
    model, code
        Names.
    lat, lon : degrees
    near_coast
        Whether a coastline is within `COAST_KM`.
    withheld
        Whether the model did not read the site.
    n
        Frames with a measurement.
    rmse, bias
        Of model minus measurement (umol/mol).
    correlation
        Over those frames; NaN where one of them does not change.
    season_measured, season_model
        Peak to trough of the mean seasonal cycle, at the frames with a measurement (umol/mol); NaN
        with fewer than eight months of the year.
    season_rmse
        Of the difference of the two cycles (umol/mol).
    """

    model: str
    code: str
    lat: float
    lon: float
    near_coast: bool
    withheld: bool
    n: int
    rmse: float
    bias: float
    correlation: float
    season_measured: float
    season_model: float
    season_rmse: float


@dataclass(frozen=True)
class GroupScore:
    """Sites together: all, near coasts, or others; every measurement counts once.

    Parameters
    ----------
    model, group
        Names; the group is ``all``, ``near_coast`` or ``inland_and_ocean``.
    withheld
        As in `SiteScore`.
    sites, n
        Sites and measurements.
    rmse, bias
        Over all measurements (umol/mol).
    season_bias
        Median over sites of the model's seasonal amplitude minus the measured one (umol/mol).
    """

    model: str
    group: str
    withheld: bool
    sites: int
    n: int
    rmse: float
    bias: float
    season_bias: float


def near_coast(stations: StationNetwork, km: float = COAST_KM) -> NDArray[np.bool_]:
    """(S,): which sites lie within a distance of the shipped coastline."""
    with np.load(data_path("coastline", "coastline.npz"), allow_pickle=False) as file:
        lon, lat = file["points"].T / 100.0
    found = np.empty(len(stations), dtype=bool)
    for n, (y, x) in enumerate(zip(stations.lat, stations.lon, strict=True)):
        found[n] = great_circle_km(y, x, lat, lon).min() <= km
    return found


def seasonal_cycle(
    time: NDArray[np.datetime64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(12,) umol/mol: mean of every month of the year, less a straight line through the months.

    Parameters
    ----------
    time : (n,) datetime64
    values : (n,) umol/mol
        NaN where missing; a month of the year that has none is NaN.
    """
    there = np.isfinite(values)
    month, place = np.unique(time[there].astype("M8[M]"), return_inverse=True)
    cycle = np.full(12, np.nan)
    if month.size == 0:
        return cycle
    means = np.bincount(place, values[there]) / np.bincount(place)
    count = month.astype(np.int64)
    if np.unique(count // 12).size > 1:  # within a year a line would take the season with it
        means = means - np.polyval(np.polyfit(count, means, 1), count)
    for number in range(12):
        here = count % 12 == number
        if here.any():
            cycle[number] = means[here].mean()
    return cycle - np.nanmean(cycle)


def validate(
    model: Reconstructor,
    source: FieldSource,
    start: str,
    end: str,
    *,
    count: int = 0,
    every: int = 1,
    progress: Progress | None = None,
) -> list[SiteScore]:
    """Score a model at the sites of a source.

    Parameters
    ----------
    model
        Anything that reconstructs.
    source
        Its stations report measurements.
    start, end
        First and last ISO day, inclusive.
    count
        Folds of sites that are withheld in turn; 0: none.
    every
        Take every n-th frame.
    progress
        Told the share done and a text.

    Raises
    ------
    UserError
        When the span has no whole window, or no site reports in it.
    """
    index = _frames(model, source, start, end, every)
    measured = np.asarray(source.observations(index), dtype=np.float64)
    if not np.isfinite(measured).any():
        raise UserError(f"no site reports anything from {start} to {end}")
    sites = np.arange(len(source.stations))
    passes: list[tuple[FieldSource, Index, bool]] = [(source, sites, False)]
    if count:
        passes += [(Withheld(source, fold), fold, True) for fold in folds(source, count)]
    coast = near_coast(source.stations)
    scores = []
    for number, (given, scored, withheld) in enumerate(passes):
        said = _at_sites(model, given, index)
        for site in scored:
            row = _score(model.info.name, source, int(site), bool(coast[site]), withheld,
                         source.time[index], measured[:, site], said[:, site])  # fmt: skip
            if row is not None:
                scores.append(row)
        if progress is not None:
            progress((number + 1) / len(passes), f"fold {number}" if withheld else "all sites")
    return scores


def _frames(model: Reconstructor, source: FieldSource, start: str, end: str, every: int) -> Index:
    try:
        first, last = np.datetime64(start, "D"), np.datetime64(end, "D") + 1
    except ValueError:
        raise UserError(f"span {start} to {end}: write days as YYYY-MM-DD") from None
    index = complete_windows(source.available, model.frames)
    index = index[(source.time[index] >= first) & (source.time[index] < last)][::every]
    if index.size == 0:
        raise UserError(f"the data set holds no whole window from {start} to {end}")
    return index


def _at_sites(model: Reconstructor, source: FieldSource, index: Index) -> NDArray[np.float64]:
    """(n, S): the model in the sites' cells."""
    row, column = source.stations.cells(source.grid)
    parts = [
        model.reconstruct(source, index[start : start + _BATCH])[:, row, column]
        for start in range(0, index.size, _BATCH)
    ]
    return np.concatenate(parts).astype(np.float64)


def _score(
    name: str,
    source: FieldSource,
    site: int,
    coast: bool,
    withheld: bool,
    time: NDArray[np.datetime64],
    measured: NDArray[np.float64],
    said: NDArray[np.float64],
) -> SiteScore | None:
    there = np.isfinite(measured)
    if not there.any():
        return None
    y, u = measured[there], said[there]
    changes = min(np.std(y), np.std(u)) > 1e-9
    cycles = [seasonal_cycle(time[there], values) for values in (y, u)]
    amplitude = [float("nan"), float("nan")]
    apart = float("nan")
    if np.isfinite(cycles[0]).sum() >= _MONTHS_OF_A_SEASON:
        amplitude = [float(np.nanmax(cycle) - np.nanmin(cycle)) for cycle in cycles]
        apart = float(np.sqrt(np.nanmean((cycles[1] - cycles[0]) ** 2)))
    stations = source.stations
    return SiteScore(
        model=name,
        code=stations.code[site],
        lat=float(stations.lat[site]),
        lon=float(stations.lon[site]),
        near_coast=coast,
        withheld=withheld,
        n=int(y.size),
        rmse=float(np.sqrt(np.mean((u - y) ** 2))),
        bias=float(np.mean(u - y)),
        correlation=float(np.corrcoef(y, u)[0, 1]) if changes else float("nan"),
        season_measured=amplitude[0],
        season_model=amplitude[1],
        season_rmse=apart,
    )


def groups(scores: Sequence[SiteScore]) -> list[GroupScore]:
    """All sites together, and near coasts apart from the others."""
    found = []
    for model in dict.fromkeys(score.model for score in scores):
        for withheld in (False, True):
            ours = [s for s in scores if s.model == model and s.withheld == withheld]
            for group, members in (
                ("all", ours),
                ("near_coast", [s for s in ours if s.near_coast]),
                ("inland_and_ocean", [s for s in ours if not s.near_coast]),
            ):
                if members:
                    found.append(_group(model, group, withheld, members))
    return found


def _group(model: str, group: str, withheld: bool, members: Sequence[SiteScore]) -> GroupScore:
    n = np.array([s.n for s in members], dtype=np.float64)
    season = np.array([s.season_model - s.season_measured for s in members])
    season = season[np.isfinite(season)]
    return GroupScore(
        model=model,
        group=group,
        withheld=withheld,
        sites=len(members),
        n=int(n.sum()),
        rmse=float(np.sqrt(np.sum(n * np.square([s.rmse for s in members])) / n.sum())),
        bias=float(np.sum(n * np.array([s.bias for s in members])) / n.sum()),
        season_bias=float(np.median(season)) if season.size else float("nan"),
    )


def write_csv(scores: Iterable[SiteScore], path: str | Path) -> None:
    """One line a site and pass."""
    with atomic_path(path) as draft, draft.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, [field.name for field in fields(SiteScore)])
        writer.writeheader()
        for score in scores:
            row: dict[str, Any] = asdict(score)
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
