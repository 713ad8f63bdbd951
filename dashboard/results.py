"""Results of evaluations as they lie in folders: scores, margins, cases, sites, the document's."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from co2net.assets import data_path
from co2net.errors import UserError
from co2net.evaluation import report
from co2net.evaluation.cases import load_cases
from co2net.evaluation.network import read_sites
from co2net.evaluation.scores import ALL_SEEDS, Margin, Row
from co2net.evaluation.sites import SiteRow
from co2net.jobs import jobs
from co2net.jobs.folder import read_json
from dashboard.i18n import Translator

Entry = TypeVar("Entry")

SHIPPED = "shipped"
"""Name of the results that lie in ``data/benchmarks``."""
PLACES = {
    "main": ("global", "ocean", "land", "eurasia"),
    "latitude": (
        "lat_60N_90N", "lat_30N_60N", "lat_0_30N", "lat_30S_0", "lat_60S_30S", "lat_90S_60S",
    ),
    "sites": ("site_kept", "site_withheld"),
    "stations": ("station_cells", "no_station", "dist_0_500", "dist_500_1500", "dist_1500_up"),
}  # fmt: skip
"""Groups of regions; ``named`` are all others."""
GROUPS = (*PLACES, "named")
KINDS: dict[str, tuple[str, ...]] = {
    "scores": ("rmse_document", "rmse", "bias", "acc", "acc_climatology"),
    "margins": ("rmse_document", "rmse"),
    "cases": ("rmse", "correlation", "amplitude", "change"),
    "sites": ("rmse", "bias", "correlation"),
}
"""What a folder of results can hold, and the scores of each."""
METRICS = tuple(dict.fromkeys(metric for metrics in KINDS.values() for metric in metrics))
UNITLESS = ("acc", "acc_climatology", "correlation", "amplitude")
_HIGH = ("acc", "acc_climatology", "correlation")
_BANDS = {
    "lat_60N_90N": (60, 91), "lat_30N_60N": (30, 60), "lat_0_30N": (0, 30),
    "lat_30S_0": (-30, 0), "lat_60S_30S": (-60, -30), "lat_90S_60S": (-91, -60),
}  # fmt: skip


@dataclass(frozen=True)
class Results:
    """Results of an evaluation, as they lie in a folder.

    Parameters
    ----------
    rows
        Scores; empty where the folder has none.
    about
        What made them, the margins and the cases.
    margins
        How much nearer one model is than another, pair by pair.
    cases
        Scores of case studies; the case stands as the region.
    sites, sites_about
        Scores at stations, withheld and not, and what made them.
    tables
        Rows of the document's tables, as `co2net.evaluation.tables.table_lines` wrote them.
    origins : table -> provenance
        What made each of them.
    faults
        Files that could not be read, one line each.
    """

    rows: tuple[Row, ...] = ()
    about: Mapping[str, Any] | None = None
    margins: tuple[Margin, ...] = ()
    cases: tuple[Row, ...] = ()
    sites: tuple[SiteRow, ...] = ()
    sites_about: Mapping[str, Any] | None = None
    tables: tuple[dict[str, str], ...] = ()
    origins: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    faults: tuple[str, ...] = ()


def folders() -> dict[str, Path]:
    """Where results may lie: the shipped ones, and those of evaluations among the jobs."""
    found = {SHIPPED: data_path("benchmarks")}
    try:
        for job in jobs():
            for place in job.outputs().values():
                if (Path(place) / report.SCORES).is_file():
                    found[job.id] = Path(place)
    except UserError:
        pass  # a folder of jobs that cannot be read holds none for this page
    return found


def read_results(folder: Path) -> Results:
    """Read a folder of results; what is damaged is named and left out."""
    faults: list[str] = []
    rows: list[Row] = []
    about = None
    scores = folder / report.SCORES
    if scores.is_file():
        try:
            rows, about = report.read_rows(scores), report.read_about(scores)
        except UserError as error:
            faults.append(str(error))
    margins = _read(folder / report.MARGINS, _margin, faults)
    cases = _read(folder / report.CASES, _case, faults)
    sites: list[SiteRow] = []
    if (folder / report.STATIONS).is_file():
        try:
            sites = read_sites(folder / report.STATIONS)
        except UserError as error:
            faults.append(str(error))
    tables: list[dict[str, str]] = []
    origins: dict[str, Mapping[str, Any]] = {}
    for path in sorted((folder / "tables").glob("*.csv")):
        try:
            lines = _read_table(path)
            made = read_json(path.with_suffix(".json")) or {}
            origins |= {entry["table"]: made for entry in lines}
            tables += lines
        except UserError as error:
            faults.append(str(error))
    return Results(
        tuple(rows),
        about,
        tuple(margins),
        tuple(cases),
        tuple(sites),
        read_json(folder / report.STATIONS_ABOUT) if sites else None,
        tuple(tables),
        origins,
        tuple(faults),
    )


def _read(path: Path, read: Callable[[dict[str, str]], Entry], faults: list[str]) -> list[Entry]:
    """The lines of a table; none where it is absent or damaged, which is said."""
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            return [read(line) for line in csv.DictReader(handle)]
    except (ValueError, KeyError, TypeError, csv.Error, OSError):
        faults.append(str(UserError(f"{path} is no table of results; remove it")))
        return []


def _margin(line: dict[str, str]) -> Margin:
    values: dict[str, Any] = {name: line[name] for name in Margin.__annotations__}
    for name in ("difference", "low", "high", "percent", "percent_low", "percent_high"):
        values[name] = float(line[name] or "nan")
    return Margin(**{**values, "n": int(line["n"])})


def _case(line: dict[str, str]) -> Row:
    value = float(line["value"] or "nan")
    return Row(
        line["model"], line["seed"], "", "", line["case"], line["metric"], value,
        math.nan, math.nan, int(line["n"]),
    )  # fmt: skip


def _read_table(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            lines = list(csv.DictReader(handle))
    except (ValueError, csv.Error, OSError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    needed = {"table", "row", "region", "metric", "value", "document"}
    if not all(needed <= entry.keys() for entry in lines):
        raise UserError(f"{path} is no table of the document; remove it")
    return lines


def kinds_of(results: Results) -> list[str]:
    """Kinds of tables that a folder has."""
    there = {
        "scores": results.rows,
        "margins": results.margins,
        "cases": results.cases,
        "sites": results.sites,
    }
    return [kind for kind, rows in there.items() if rows]


def references(results: Results) -> list[str]:
    """Models that others can be held against, the nearest first."""
    better = Counter(margin.model for margin in results.margins)
    worse = {margin.other: 0 for margin in results.margins}
    return sorted(worse | better, key=lambda name: -better[name])


def rows_of(results: Results, kind: str, against: str = "") -> list[Row]:
    """A kind of table as rows of scores.

    Parameters
    ----------
    against
        Of margins: the model that the others are held against.
    """
    if kind == "margins":
        return _against(results.margins, against)
    if kind == "cases":
        return averaged(results.cases)
    if kind == "sites":
        return _over_sites(results.sites)
    return averaged(results.rows)


def _against(margins: Iterable[Margin], model: str) -> list[Row]:
    """By how much each other model's error is above one's."""
    out = []
    for one in margins:
        if model not in (one.model, one.other):
            continue
        first = one.model == model
        values = (-one.difference, -one.high, -one.low) if first else (
            one.difference, one.low, one.high)  # fmt: skip
        name = one.other if first else one.model
        out.append(Row(name, "", one.split, one.period, one.region, one.metric, *values, one.n))
    return out


def percent(results: Results, against: str, row: Row) -> float:
    """What the better of two models takes off the other's error (%); NaN where it is not known."""
    for one in results.margins:
        pair = {one.model, one.other} == {against, row.model}
        if pair and (one.period, one.region, one.metric) == (row.period, row.region, row.metric):
            return one.percent
    return math.nan


def _over_sites(sites: Sequence[SiteRow]) -> list[Row]:
    """Medians over the stations, and where the middle half of them lies."""
    values: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for one in sites:
        places = ["site_withheld" if one.withheld else "site_kept"]
        if one.withheld:
            places += [key for key, (south, north) in _BANDS.items() if south <= one.lat < north]
        for place in places:
            by = values.setdefault((one.model, place, one.metric), {})
            by.setdefault(one.code, []).append(one.value)
    out = []
    for (model, place, metric), by in values.items():
        means = np.array([np.mean(found) for found in by.values()])
        means = means[np.isfinite(means)]
        if means.size:
            low, middle, high = (float(v) for v in np.percentile(means, [25, 50, 75]))
            out.append(Row(model, "", "", "", place, metric, middle, low, high, means.size))
    return out


def averaged(rows: Iterable[Row]) -> list[Row]:
    """Of models with several seeds the mean over them (seed ``all``) alone."""
    rows = list(rows)
    joined = {(row.model, row.period) for row in rows if row.seed == ALL_SEEDS}
    return [r for r in rows if r.seed == ALL_SEEDS or (r.model, r.period) not in joined]


def regions_of(rows: Iterable[Row], group: str) -> list[str]:
    """Regions of a group that the rows have, in the group's order."""
    there = list(dict.fromkeys(row.region for row in rows))
    if group in PLACES:
        return [key for key in PLACES[group] if key in there]
    grouped = {key for keys in PLACES.values() for key in keys}
    return [key for key in there if key not in grouped]


def rank(value: float, metric: str) -> float:
    """Smaller is better, whatever the metric; what is not known comes last."""
    if math.isnan(value):
        return math.inf
    if metric == "amplitude":
        return abs(value - 1)
    return -value if metric in _HIGH else abs(value)


# -- what of it is shown ------------------------------------------------------------------------


@dataclass(frozen=True)
class Selection:
    """What an address shows of some results; where it says nothing, what suits them.

    Parameters
    ----------
    results
        The whole.
    kind
        Of `KINDS`; empty where there is nothing.
    against
        Of margins: the model that the others are held against.
    period, metric, places
        What the rows are filtered by.
    sort, down
        Column that orders the rows, ``model`` for their names, and whether from the bottom.
    """

    results: Results
    kind: str
    against: str
    period: str
    metric: str
    places: str
    sort: str
    down: bool

    @cached_property
    def rows(self) -> list[Row]:
        """All rows of the kind."""
        return rows_of(self.results, self.kind, self.against)

    @property
    def periods(self) -> dict[str, str]:
        """Periods, and what each was to the models."""
        return {row.period: row.split for row in self.rows if row.period}

    @property
    def metrics(self) -> list[str]:
        """Scores that the rows have."""
        there = {row.metric for row in self.rows}
        return [key for key in KINDS.get(self.kind, ()) if key in there]

    @property
    def groups(self) -> list[str]:
        """Groups of regions that the rows have; cases are no regions."""
        there = [] if self.kind == "cases" else GROUPS
        return [key for key in there if regions_of(self.rows, key)]

    @cached_property
    def shown(self) -> list[Row]:
        """Rows of the period and the score."""
        return [row for row in self.rows if (row.period, row.metric) == (self.period, self.metric)]

    @property
    def columns(self) -> list[str]:
        """Regions, or cases."""
        return _columns(self.shown, self.kind, self.places)

    @property
    def chosen(self) -> str:
        """The column that the chart shows."""
        there = self.columns
        return self.sort if self.sort in there else (there[0] if there else "")

    @property
    def models(self) -> list[str]:
        """Models in the order of the table."""
        models = list(dict.fromkeys(row.model for row in self.shown))
        if self.sort == "model":
            return sorted(models, reverse=self.down)
        value = {row.model: row.value for row in self.shown if row.region == self.sort}
        models.sort(key=lambda name: self.rank(value.get(name, math.nan)), reverse=self.down)
        return models

    def rank(self, value: float) -> float:
        """See `rank`; margins are ordered as they are."""
        if self.kind == "margins" or self.metric == "change":
            return math.inf if math.isnan(value) else value
        return rank(value, self.metric)

    def best(self, column: str) -> str:
        """The model that is best in a column; none where nothing is better than another."""
        if self.kind == "margins" or self.metric == "change":
            return ""
        there = [row for row in self.shown if row.region == column]
        return min(there, key=lambda row: self.rank(row.value)).model if there else ""

    @property
    def about(self) -> Mapping[str, Any] | None:
        """What made the rows."""
        return self.results.sites_about if self.kind == "sites" else self.results.about

    @property
    def simulated(self) -> bool:
        """Whether they are of a simulated world."""
        return bool(((self.about or {}).get("data") or {}).get("simulated", False))


def _columns(rows: Iterable[Row], kind: str, places: str) -> list[str]:
    if kind == "cases":
        return list(dict.fromkeys(row.region for row in rows))
    return regions_of(rows, places)


def select(results: Results, words: Mapping[str, str]) -> Selection:
    """What the words of an address (``kind``, ``against``, ...) show of some results."""

    def one(name: str, there: Sequence[str]) -> str:
        word = words.get(name, "")
        return word if word in there else (there[0] if there else "")

    kind = one("kind", kinds_of(results))
    against = one("against", references(results)) if kind == "margins" else ""
    every = Selection(results, kind, against, "", "", "", "", words.get("order") == "down")
    part = replace(
        every,
        period=one("period", list(every.periods)),
        metric=one("metric", every.metrics),
        places=one("places", every.groups),
    )
    columns = part.columns
    return replace(part, sort=one("sort", [*columns, "model"] if columns else []))


def column_name(key: str, t: Translator) -> str:
    """What a column is called: a region, a band of latitude, a case."""
    if key.startswith("lat_"):
        south, north = (_parallel(word) for word in key.split("_")[1:3])
        return f"{south} – {north}"
    cases = {case.key: case.title[t.language] for case in load_cases()}
    return t.or_else(f"region.{key}", t.or_else(f"bench.place_{key}", cases.get(key, key)))


def _parallel(word: str) -> str:
    return "0°" if word == "0" else f"{word[:-1]}°{word[-1]}"
