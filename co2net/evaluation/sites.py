"""Stations held out: whole sites are withdrawn from the input, and the models are scored there.

The score at a site compares the field's value in the site's cell with what the site reports,
instrument noise included. Withdrawing goes by cell: a site that shares a cell with a withdrawn
one is withdrawn too, or it would give the answer away. Folds are compact patches of the sphere,
so that a withdrawn site's neighbours are mostly withdrawn with it; a random choice would leave
them in and flatter every method.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from co2net.errors import UserError
from co2net.evaluation.entrants import Entrant, Known
from co2net.evaluation.scores import BATCH, Period, load_part, parts_folder, save_part
from co2net.inference import source_digest
from co2net.source import FieldsOf, FieldSource, Index, StationNetwork
from co2net.windows import Split

Progress = Callable[[float, str], None]

SITE_METRICS: dict[str, str] = {
    "rmse": "umol mol-1",
    "bias": "umol mol-1",
    "correlation": "1",
}
"""Name and unit of every score of a site."""


class Withheld(FieldsOf):
    """A source whose stations at some sites never report.

    Implements `co2net.source.FieldSource`. The sites stay in the list of stations, as silent
    ones, so that what was learned for all of them can be used.

    Parameters
    ----------
    source
        The whole.
    sites : (n,) int
        Positions in ``source.stations``.
    """

    def __init__(self, source: FieldSource, sites: Sequence[int] | Index) -> None:
        super().__init__(source)
        self.sites = np.unique(np.asarray(sites, dtype=np.int64))
        codes = [source.stations.code[site] for site in self.sites]
        digest = sha256("\n".join([source_digest(source), *codes]).encode()).hexdigest()[:12]
        self.attrs: dict[str, Any] = {**source.attrs, "withheld": codes, "digest": digest}

    @property
    def stations(self) -> StationNetwork:
        """See `FieldSource.stations`."""
        return self._source.stations

    def observations(self, index: Index) -> NDArray[np.float32]:
        """See `FieldSource.observations`; NaN at the withheld sites."""
        values = np.array(self._source.observations(index), dtype=np.float32)
        values[:, self.sites] = np.nan
        return values


# -- which sites ----------------------------------------------------------------------------


def chosen_sites(source: FieldSource, withhold: str, seed: int = 0) -> Index:
    """Sites to withhold: a share of the cells that have any, or codes with commas.

    Raises
    ------
    UserError
        When the share is not between 0 and 1, a code is unknown, or no site would be left.
    """
    stations, cells = source.stations, _cells(source)
    try:
        share = float(withhold)
    except ValueError:
        codes = [code.strip() for code in withhold.split(",")]
        unknown = [code for code in codes if code not in stations.code]
        if unknown:
            raise UserError(
                f"withhold: there is no site {', '.join(unknown)[:60]}; give a share such as "
                f"0.1, or codes among {', '.join(stations.code[:5])}, ..."
            ) from None
        named = [number for number, code in enumerate(stations.code) if code in codes]
        chosen = np.unique(cells[named])
    else:
        if not 0 < share < 1:
            raise UserError(f"withhold {withhold}: a share lies between 0 and 1")
        unique = np.unique(cells)
        count = max(1, round(share * unique.size))
        chosen = np.random.default_rng(seed).choice(unique, count, replace=False)
    found = np.flatnonzero(np.isin(cells, chosen))
    if found.size == len(stations):
        raise UserError("withhold: no site would be left to reconstruct from; withhold fewer")
    return found


def folds(source: FieldSource, count: int = 10) -> list[Index]:
    """Sites of every fold: compact patches with about equally many cells; the same every time.

    The sites' cells, as points on the unit sphere, are halved again and again across their
    longest extent (their first principal axis).

    Raises
    ------
    UserError
        When there are fewer cells with sites than folds.
    """
    cells = _cells(source)
    unique = np.unique(cells)
    if not 2 <= count <= unique.size:
        raise UserError(f"folds {count}: choose 2 to {unique.size}, the cells that hold stations")
    row, column = np.unravel_index(unique, source.grid.shape)
    lat, lon = np.radians(source.grid.lat[row]), np.radians(source.grid.lon[column])
    points = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    patches = _patches(points, np.arange(unique.size), count)
    return [np.flatnonzero(np.isin(cells, unique[patch])) for patch in patches]


def _patches(points: NDArray[np.float64], members: Index, count: int) -> list[Index]:
    if count == 1:
        return [np.sort(members)]
    centred = points[members] - points[members].mean(axis=0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    axis = axis * np.sign(axis[np.argmax(np.abs(axis))])
    order = members[np.argsort(np.round(centred @ axis, 9), kind="stable")]
    left = count // 2
    cut = round(members.size * left / count)
    return [*_patches(points, order[:cut], left), *_patches(points, order[cut:], count - left)]


def _cells(source: FieldSource) -> Index:
    row, column = source.stations.cells(source.grid)
    return row * source.grid.shape[1] + column


# -- scores ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class SiteRow:
    """One score at one site.

    Parameters
    ----------
    model, seed : str
    withheld : int
        1 where the site was not among the input, 0 where it was.
    fold : int
        Fold that withholds the site; 0 where there is but one.
    code, lat, lon
        The site.
    metric, value
    n : int
        Frames at which the site reported.
    """

    model: str
    seed: str
    withheld: int
    fold: int
    code: str
    lat: float
    lon: float
    metric: str
    value: float
    n: int


def score_sites(
    source: FieldSource,
    asked: Sequence[Entrant],
    known: Mapping[str, Known],
    periods: Sequence[Period],
    years: Split,
    withhold: Sequence[Index],
    folder: Path,
    every: int = 1,
    progress: Progress | None = None,
) -> list[SiteRow]:
    """Score models at sites, once with all sites as input and once a fold without its sites.

    Parameters
    ----------
    withhold
        Sites of every fold, each in one fold at most; only these are scored.
    asked, known, periods, years, every, folder, progress
        As in `co2net.evaluation.scores.score`; all periods together make one score.

    Raises
    ------
    UserError
        When the data set holds no whole window of a period.
    """
    reach = max(one.reach for one in known.values())
    pieces = [period.index(source, years, every, reach) for period in periods]
    index = np.concatenate(pieces)
    if index.size == 0:
        raise UserError(
            f"periods {', '.join(p.name for p in periods)}: the data set holds no whole window"
        )
    scored = np.concatenate(withhold)
    observed = np.asarray(source.observations(index), dtype=np.float64)
    inputs = [source, *(Withheld(source, sites) for sites in withhold)]
    total, done = len(asked) * len(inputs) * index.size, 0
    out: list[SiteRow] = []
    for one in asked:
        estimates = []
        for number, given in enumerate(inputs):
            what = f"{one.label}, " + (f"without fold {number - 1}" if number else "all sites")

            def tell(frames: int, done: int = done, what: str = what) -> None:
                if progress is not None:
                    progress((done + frames) / total, what)

            path = parts_folder(folder) / f"{one.label}-sites-{number}.npz"
            key = {
                "data": source_digest(given),
                "model": known[one.label].info.digest,
                "frames": sha256(index.tobytes()).hexdigest()[:16],
                "batch": BATCH,
            }
            estimates.append(_at_sites(given, one, index, path, key, tell))
            done += index.size
        for fold, sites in enumerate(withhold):
            for hidden, values in ((0, estimates[0]), (1, estimates[fold + 1])):
                out += [
                    row
                    for site in sites
                    for row in _site_rows(source, one, hidden, fold, site,
                                          values[:, site], observed[:, site])
                ]  # fmt: skip
    order = {site: place for place, site in enumerate(np.sort(scored))}
    codes = source.stations.code
    return sorted(
        out,
        key=lambda r: (r.model, r.seed, r.withheld, r.fold, order[codes.index(r.code)]),
    )


def _at_sites(
    given: FieldSource,
    one: Entrant,
    index: Index,
    path: Path,
    key: Mapping[str, Any],
    tell: Callable[[int], None],
) -> NDArray[np.float64]:
    """(n, S): the reconstruction in the cells of all sites."""
    kept = load_part(path, key)
    if kept is not None:
        tell(index.size)
        return kept["values"]
    row, column = given.stations.cells(given.grid)
    values = np.empty((index.size, len(given.stations)))
    model = one.load()
    for start in range(0, index.size, BATCH):
        batch = slice(start, start + BATCH)
        values[batch] = model.reconstruct(given, index[batch])[:, row, column]
        tell(min(start + BATCH, index.size))
    save_part(path, key, {"values": values})
    return values


def _site_rows(
    source: FieldSource,
    one: Entrant,
    hidden: int,
    fold: int,
    site: int,
    values: NDArray[np.float64],
    observed: NDArray[np.float64],
) -> list[SiteRow]:
    stations = source.stations
    there = np.isfinite(observed)
    if not there.any():
        return []
    y, u = observed[there], values[there]
    found = {"rmse": float(np.sqrt(np.mean((u - y) ** 2))), "bias": float(np.mean(u - y))}
    if min(np.std(y), np.std(u)) > 1e-9:
        found["correlation"] = float(np.corrcoef(y, u)[0, 1])
    made = SiteRow(
        model=one.name,
        seed=one.seed,
        withheld=hidden,
        fold=fold,
        code=stations.code[site],
        lat=float(stations.lat[site]),
        lon=float(stations.lon[site]),
        metric="",
        value=0.0,
        n=y.size,
    )
    return [replace(made, metric=metric, value=value) for metric, value in found.items()]
