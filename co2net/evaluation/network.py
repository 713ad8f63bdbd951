"""The network as it stands: models and observations at the stations, month by month.

Every station is compared in the cell that holds it. The stations are input to the models here;
`co2net.evaluation.sites` withdraws them first, and `read_sites` reads what it wrote.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from co2net.errors import UserError
from co2net.evaluation.sites import SiteRow
from co2net.inference import Engine
from co2net.source import FieldSource, Index, whole_months

Progress = Callable[[float, str], None]
Float = NDArray[np.float64]


@dataclass(frozen=True)
class AtStations:
    """Observations and fields at the stations.

    Parameters
    ----------
    times : (n,) datetime64[s]
    observed : (n, S) umol/mol
        NaN where a station reports nothing.
    values : name -> (n, S) umol/mol
        NaN where a field cannot be had.
    """

    times: NDArray[np.datetime64]
    observed: Float
    values: dict[str, Float]

    def scores(self, name: str) -> dict[str, Float]:
        """Metric -> (S,): ``rmse``, ``bias`` (umol/mol) and ``correlation`` against observations.

        NaN where a station has fewer than two pairs, or does not vary.
        """
        return site_scores(self.observed, self.values[name])


def site_scores(observed: Float, values: Float) -> dict[str, Float]:
    """Scores of values against observations, station by station; see `AtStations.scores`.

    Parameters
    ----------
    observed, values : (n, S) umol/mol
    """
    both = np.isfinite(observed) & np.isfinite(values)
    n = both.sum(axis=0)
    enough = np.where(n >= 2, n, np.nan)
    error = np.where(both, values - observed, 0.0)
    y, u = np.where(both, observed, 0.0), np.where(both, values, 0.0)
    y = np.where(both, y - y.sum(axis=0) / enough, 0.0)
    u = np.where(both, u - u.sum(axis=0) / enough, 0.0)
    spread = np.sqrt((y**2).sum(axis=0) * (u**2).sum(axis=0))
    return {
        "rmse": np.sqrt((error**2).sum(axis=0) / enough),
        "bias": error.sum(axis=0) / enough,
        "correlation": (y * u).sum(axis=0) / np.where(spread > 1e-9, spread, np.nan),
    }


def frames_of_month(source: FieldSource, month: str, every: int = 1) -> Index:
    """Every n-th frame with data of a month (``YYYY-MM``).

    Raises
    ------
    UserError
        When the month is none, or the data hold no frame of it.
    """
    try:
        wanted = np.datetime64(month, "M")
    except ValueError:
        raise UserError(f"'{month[:20]}' is no month; write it as 2020-06") from None
    mine = (source.time.astype("datetime64[M]") == wanted) & source.available
    if not mine.any():
        raise UserError(f"the data hold nothing of {wanted}; choose another month or add it")
    return np.flatnonzero(mine)[::every].astype(np.int64)


def at_stations(
    engine: Engine,
    models: Sequence[str],
    index: Index,
    progress: Progress | None = None,
) -> AtStations:
    """Observations and models' values in the stations' cells.

    Parameters
    ----------
    models
        Names that the engine knows.
    index : (n,)
        Frames.
    progress
        Told the share done and the model; what it raises ends the work.
    """
    source = engine.source
    times = source.time[index]
    rows, columns = source.stations.cells(source.grid)
    values: dict[str, Float] = {}
    for number, name in enumerate(models):

        def tell(share: float, _: str, number: int = number, name: str = name) -> None:
            if progress is not None:
                progress((number + share) / len(models), name)

        found = np.full((index.size, len(source.stations)), np.nan)
        whole = np.flatnonzero(np.isin(times, engine.times(name)))
        for part in np.array_split(whole, max(1, -(-whole.size // 16))):
            if part.size:
                found[part] = engine.fields(name, times[part])[:, rows, columns]
            tell((part[-1] + 1) / index.size if part.size else 1.0, name)
        values[name] = found
    return AtStations(times, source.observations(index).astype(np.float64), values)


@dataclass(frozen=True)
class Cycle:
    """Means of months at the stations.

    Parameters
    ----------
    months : tuple of str
        ``YYYY-MM``, ascending.
    observed : (M, S) umol/mol
        Over the frames that were read.
    values : name -> (M, S) umol/mol
        Over the same frames as ``observed``, where the model has them.
    """

    months: tuple[str, ...]
    observed: Float
    values: dict[str, Float]


def cycle_of_year(
    engine: Engine,
    models: Sequence[str],
    year: int,
    every: int = 1,
    progress: Progress | None = None,
) -> Cycle:
    """Monthly means over the months of a year that the data hold whole.

    Observation and models are averaged over the same frames and hours: those at which all of the
    models can be had and the station reports.
    """
    months = tuple(m for m in whole_months(engine.source) if m[:4] == f"{year:04d}")
    size = len(engine.source.stations)
    observed = np.full((len(months), size), np.nan)
    values = {name: np.full((len(months), size), np.nan) for name in models}
    for n, month in enumerate(months):

        def tell(share: float, name: str, n: int = n) -> None:
            if progress is not None:
                progress((n + share) / len(months), name)

        index = frames_of_month(engine.source, month, every)
        found = at_stations(engine, models, index, tell)
        pairs = np.isfinite(found.observed)
        for one in found.values.values():
            pairs &= np.isfinite(one)
        count = pairs.sum(axis=0)
        count = np.where(count > 0, count, np.nan)
        observed[n] = np.where(pairs, found.observed, 0.0).sum(axis=0) / count
        for name, one in found.values.items():
            values[name][n] = np.where(pairs, one, 0.0).sum(axis=0) / count
    return Cycle(months, observed, values)


def read_sites(path: str | Path) -> list[SiteRow]:
    """Scores at withdrawn and kept sites, as ``co2net evaluate --folds`` writes them.

    Raises
    ------
    UserError
        When there are none, or the file is something else.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as handle:
            return [_site(line) for line in csv.DictReader(handle)]
    except FileNotFoundError:
        raise UserError(
            f"no scores of withdrawn stations at {path}; `co2net evaluate --folds 10` makes them"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is no table of scores at stations; remove it") from None


def _site(line: dict[str, str]) -> SiteRow:
    values: dict[str, Any] = dict(line)
    for name in ("lat", "lon", "value"):
        values[name] = float(line[name] or "nan")
    for name in ("withheld", "fold", "n"):
        values[name] = int(line[name])
    return SiteRow(**values)
