"""Case studies: what ``data/cases.yml`` lists, their series over a region, and the scores of them.

Most are the document's dates and places; what happens there is what the data set holds. In the
simulated world the events were put in by hand, and no number is an observation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from string import Formatter
from typing import Any, Literal, Protocol, cast

import numpy as np
import yaml
from numpy.typing import ArrayLike, NDArray

from co2net.assets import data_path
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.inference import TRUTH
from co2net.regions import region
from co2net.source import FieldSource
from co2net.windows import PARTS, Split, split

Progress = Callable[[float, str], None]
Kind = Literal["event", "ocean", "comparison"]

KINDS: tuple[Kind, ...] = ("event", "ocean", "comparison")
LANGUAGES = ("en", "zh")

_KEYS = {"key", "title", "kind", "region", "start", "end", "months", "moments", "models", "text"}
_NEEDED = ("key", "title", "kind", "region", "start", "end", "text")
_OF_CASE = ("start", "end", "days", "region", "best")
_OF_SERIES = ("first", "last", "low", "high", "mean", "change", "low_day", "high_day")
_OF_MODEL = ("rmse", "correlation", "amplitude")
_PLACEHOLDER = re.compile(
    rf"{'|'.join(_OF_CASE)}"
    rf"|[a-z0-9_]+_({'|'.join((*_OF_SERIES, *_OF_MODEL))}|\d{{4}}_\d{{2}})"
)


# -- the list -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A case study.

    Parameters
    ----------
    key : str
        Name in addresses and files.
    title : language -> str
        ``en`` and ``zh``.
    kind : {'event', 'ocean', 'comparison'}
        A few days, the same over water, or months of several years side by side.
    region : str
        Key of `co2net.regions.region`.
    start, end : str
        ISO days, inclusive.
    months : tuple of str
        Of a comparison: YYYY-MM, ascending. Else empty.
    moments : tuple of str
        ISO times (UTC, seconds) of difference maps; a data set's nearest frame is meant.
    models : tuple of str
        What is shown first; empty: every model.
    text : language -> str
        With placeholders, see `fill`.
    """

    key: str
    title: Mapping[str, str]
    kind: Kind
    region: str
    start: str
    end: str
    months: tuple[str, ...]
    moments: tuple[str, ...]
    models: tuple[str, ...]
    text: Mapping[str, str]

    @property
    def spans(self) -> tuple[tuple[np.datetime64, np.datetime64], ...]:
        """First and last day of every stretch: one, or one a month of a comparison."""
        if not self.months:
            return ((np.datetime64(self.start, "D"), np.datetime64(self.end, "D")),)
        months = [np.datetime64(month, "M") for month in self.months]
        return tuple((m.astype("datetime64[D]"), (m + 1).astype("datetime64[D]") - 1)
                     for m in months)  # fmt: skip

    def roles(self, years: Split | None = None) -> dict[str, str]:
        """Year -> what it is to the models: train, validation, test or 'outside the split'."""
        years = years or split("carbontracker")
        days = np.concatenate([np.asarray(span) for span in self.spans])
        names = [*PARTS, "outside the split"]
        return {
            str(day)[:4]: names[part] for day, part in zip(days, years.part_of(days), strict=True)
        }

    def fill(self, language: str, values: Mapping[str, str]) -> str:
        """The text with its placeholders filled; a dash for what ``values`` lacks.

        Parameters
        ----------
        values
            Of `CaseSeries.placeholders`.
        """
        return self.text[language].format_map(_Dashes(values))


class _Dashes(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "–"


def load_cases(path: str | Path | None = None) -> tuple[Case, ...]:
    """Read the cases; None reads ``data/cases.yml``.

    Raises
    ------
    UserError
        When the file is missing or an entry is wrong: one line that names case and field.
    """
    path = data_path("cases.yml") if path is None else Path(path)
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"there are no cases at {path}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no YAML: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(entries, list):
        raise UserError(f"{path}: write a list of cases, each beginning with '- key:'")
    found = tuple(_case(entry, f"{path}, case {n}") for n, entry in enumerate(entries, start=1))
    keys = [case.key for case in found]
    twice = {key for key in keys if keys.count(key) > 1}
    if twice:
        raise UserError(f"{path}: key {', '.join(sorted(twice))} stands there twice")
    return found


def _case(entry: Any, where: str) -> Case:
    if not isinstance(entry, dict):
        raise UserError(f"{where}: write fields such as 'key: amazon-fires'")
    where = f"{where} ({str(entry.get('key'))[:40]})"
    absent = [name for name in _NEEDED if name not in entry]
    strange = sorted(str(name)[:40] for name in set(entry) - _KEYS)
    if absent or strange:
        fault = f"lacks {', '.join(absent)}" if absent else f"has unknown {', '.join(strange)}"
        raise UserError(f"{where} {fault}")
    key, kind = str(entry["key"]), entry["kind"]
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", key):
        raise UserError(f"{where}: a key is small letters, digits and hyphens")
    if kind not in KINDS:
        raise UserError(f"{where}: kind '{str(kind)[:40]}': choose {', '.join(KINDS)}")
    try:
        region(str(entry["region"]))
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    start, end = _time(entry["start"], "D", where, "start"), _time(entry["end"], "D", where, "end")
    if end < start:
        raise UserError(f"{where}: it ends before it starts")
    months = tuple(_time(m, "M", where, "months") for m in _list(entry, "months", where))
    if (kind == "comparison") != bool(months):
        raise UserError(f"{where}: a comparison, and nothing else, lists its months")
    if list(months) != sorted(set(months)) or any(not start[:7] <= m <= end[:7] for m in months):
        raise UserError(f"{where}: months must ascend, from start to end")
    moments = tuple(_time(m, "s", where, "moments") for m in _list(entry, "moments", where))
    text = _languages(entry, "text", where)
    for language, words in text.items():
        _check_placeholders(words, f"{where}, text {language}")
    return Case(
        key=key,
        title=_languages(entry, "title", where),
        kind=cast(Kind, kind),
        region=str(entry["region"]),
        start=start,
        end=end,
        months=months,
        moments=moments or _moments(start, end, months),
        models=tuple(str(name) for name in _list(entry, "models", where)),
        text=text,
    )


def _time(value: Any, unit: str, where: str, name: str) -> str:
    """A day (D), month (M) or second (s) as ISO text."""
    shape = {"D": r"\d{4}-\d\d-\d\d", "M": r"\d{4}-\d\d", "s": r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*"}
    text = str(value)
    try:
        if not re.fullmatch(shape[unit], text):
            raise ValueError
        return str(np.datetime64(text, unit))  # type: ignore[call-overload]
    except ValueError:
        like = {"D": "2020-06-03", "M": "2020-06", "s": "2020-06-03T13:30"}[unit]
        raise UserError(f"{where}: {name} '{text[:40]}': write it as {like}") from None


def _list(entry: Mapping[str, Any], name: str, where: str) -> list[Any]:
    values = entry.get(name) or []
    if not isinstance(values, list):
        raise UserError(f"{where}: {name} is a list, [a, b]")
    return values


def _languages(entry: Mapping[str, Any], name: str, where: str) -> dict[str, str]:
    values = entry[name]
    if not isinstance(values, dict) or set(values) != set(LANGUAGES) or not all(values.values()):
        raise UserError(f"{where}: {name} needs {' and '.join(LANGUAGES)}")
    return {language: str(values[language]).strip() for language in LANGUAGES}


def _check_placeholders(text: str, where: str) -> None:
    try:
        names = [name for _, name, _, _ in Formatter().parse(text) if name is not None]
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None
    for name in names:
        if not _PLACEHOLDER.fullmatch(name):
            raise UserError(f"{where}: there is no {{{name[:40]}}}; data/cases.yml lists them")


def _moments(start: str, end: str, months: tuple[str, ...]) -> tuple[str, ...]:
    noon = np.timedelta64(12 * 3600, "s")
    if months:
        days = [np.datetime64(month, "D") + 15 for month in months]
    else:
        first, last = np.datetime64(start, "D"), np.datetime64(end, "D")
        days = [first, first + (last - first) // 2, last]
    return tuple(dict.fromkeys(str(day.astype("datetime64[s]") + noon) for day in days))


# -- what happens in them -------------------------------------------------------------------


@dataclass(frozen=True)
class CaseSeries:
    """Daily means of a case over its region.

    Parameters
    ----------
    case
        Which.
    days : (D,) datetime64[D]
        Of a comparison the days of all its months.
    values : name -> (D,) umol/mol
        ``truth`` first, then the models.
    """

    case: Case
    days: NDArray[np.datetime64]
    values: dict[str, NDArray[np.float64]]

    @cached_property
    def scores(self) -> dict[str, dict[str, float]]:
        """Model -> score -> value; see `case_scores`."""
        truth = self.values[TRUTH]
        return {
            name: case_scores(truth, values, self.change)
            for name, values in self.values.items()
            if name != TRUTH
        }

    @property
    def best(self) -> str:
        """The model with the least error here."""
        return min(self.scores, key=lambda name: self.scores[name]["rmse"])

    def month(self, values: NDArray[np.float64], month: str) -> float:
        """Mean (umol/mol) of the days of a month."""
        return float(values[self.days.astype("datetime64[M]") == np.datetime64(month, "M")].mean())

    def change(self, values: NDArray[np.float64]) -> float:
        """Change over the case (umol/mol): last day less first, or last year's months less first's.

        Where a year lacks some of the first one's months, only those that both have count.
        """
        if not self.case.months:
            return float(values[-1] - values[0])
        years = {month[:4] for month in self.case.months}
        first, last = min(years), max(years)
        both = [
            m[5:]
            for m in self.case.months
            if f"{first}-{m[5:]}" in self.case.months and f"{last}-{m[5:]}" in self.case.months
        ]
        rises = [
            self.month(values, f"{last}-{m}") - self.month(values, f"{first}-{m}") for m in both
        ]
        return float(np.mean(rises)) if rises else float(values[-1] - values[0])  # fmt: skip

    def placeholders(self, language: str = "en") -> dict[str, str]:
        """What the texts of the case may name, as text; see the head of ``data/cases.yml``."""
        case, place = self.case, region(self.case.region)
        out = {
            "start": case.start,
            "end": case.end,
            "days": str(self.days.size),
            "region": place.name_zh if language == "zh" else place.name_en,
        }
        named = {name.replace("-", "_"): name for name in self.values}
        if self.scores:
            out["best"], named["best"] = self.best, self.best
        for prefix, name in named.items():
            values = self.values[name]
            low, high = int(np.argmin(values)), int(np.argmax(values))
            out |= {
                f"{prefix}_first": f"{values[0]:.1f}",
                f"{prefix}_last": f"{values[-1]:.1f}",
                f"{prefix}_low": f"{values[low]:.1f}",
                f"{prefix}_high": f"{values[high]:.1f}",
                f"{prefix}_mean": f"{values.mean():.1f}",
                f"{prefix}_change": f"{self.change(values):+.1f}",
                f"{prefix}_low_day": str(self.days[low]),
                f"{prefix}_high_day": str(self.days[high]),
            }
            for month in case.months:
                out[f"{prefix}_{month.replace('-', '_')}"] = f"{self.month(values, month):.1f}"
            for score, value in self.scores.get(name, {}).items():
                if score in _OF_MODEL and np.isfinite(value):
                    out[f"{prefix}_{score}"] = f"{value:.2f}"
        return out


CASE_METRICS: dict[str, str] = {
    "rmse": "umol mol-1",
    "correlation": "1",
    "amplitude": "1",
    "change": "umol mol-1",
    "change_error": "umol mol-1",
}
"""Name and unit of every score of a case."""


def case_scores(
    truth: NDArray[np.floating[Any]],
    values: NDArray[np.floating[Any]],
    change: Callable[[NDArray[Any]], float] = lambda series: float(series[-1] - series[0]),
) -> dict[str, float]:
    """Scores of a series of daily means against the truth's.

    ``rmse`` is the root of the mean square difference, ``correlation`` Pearson's, ``amplitude``
    the ratio of standard deviations (estimate over truth), ``change`` the estimate's change over
    the case and ``change_error`` that less the truth's. Correlation and amplitude are NaN where a
    series does not vary.

    Parameters
    ----------
    truth, values : (D,) umol/mol
    change
        Of a series: last less first day by default.
    """
    spread, own = float(np.std(truth)), float(np.std(values))
    varies = spread > 1e-9 and own > 1e-9
    moved = change(values)
    return {
        "rmse": float(np.sqrt(np.mean((values - truth) ** 2))),
        "correlation": float(np.corrcoef(truth, values)[0, 1]) if varies else float("nan"),
        "amplitude": own / spread if spread > 1e-9 else float("nan"),
        "change": moved,
        "change_error": moved - change(truth),
    }


class Fields(Protocol):
    """What gives regional means: `co2net.inference.Engine`, or models themselves."""

    @property
    def source(self) -> FieldSource: ...

    @property
    def grid(self) -> LatLonGrid: ...

    def times(self, what: str) -> NDArray[np.datetime64]:
        """Times that can be had."""

    def region_series(
        self,
        what: str,
        mask: NDArray[np.floating[Any]],
        times: ArrayLike,
        progress: Progress | None = None,
    ) -> NDArray[np.float32]:
        """(n,): area means over a region."""


def case_frames(
    fields: Fields, case: Case, models: Sequence[str] = (), every: int = 1
) -> NDArray[np.int64]:
    """Frames of a case, every n-th of each span, at which truth and all models can be had.

    Raises
    ------
    UserError
        When one of them is missing; of a comparison, when a month has none at all.
    """
    time = fields.source.time
    wanted = [np.flatnonzero((time >= a) & (time < b + 1))[::every] for a, b in case.spans]
    parts = wanted
    for name in (TRUTH, *models):
        parts = [part[np.isin(time[part], fields.times(name))] for part in parts]
    lost = sum(part.size for part in wanted) - sum(part.size for part in parts)
    first, last = case.spans[0][0], case.spans[-1][1]
    outside = not (
        first >= time[0].astype("datetime64[D]") and last < time[-1] + fields.source.step
    )
    if any(part.size == 0 for part in parts) or (not case.months and (lost or outside)):
        raise UserError(
            f"case {case.key}: the data set lacks frames of {case.start} to {case.end}, or those "
            "before them that models read"
        )
    return np.concatenate(parts).astype(np.int64)


def case_series(
    fields: Fields,
    case: Case,
    models: Sequence[str] = (),
    every: int = 1,
    progress: Progress | None = None,
) -> CaseSeries:
    """Area means over the case's region, averaged over the frames of each day.

    Parameters
    ----------
    fields
        Gives truth and models, usually a `co2net.inference.Engine`.
    models
        Names that it knows.
    every : int
        Take every n-th frame of each span; truth and models always at the same ones.
    progress
        Told the share done.

    Raises
    ------
    UserError
        When the data set lacks frames of the case, or the truth has gaps in it.
    """
    index = case_frames(fields, case, models, every)
    time = fields.source.time
    mask = region(case.region).mask(fields.grid)
    days, day = np.unique(time[index].astype("datetime64[D]"), return_inverse=True)
    names = [TRUTH, *models]
    values = {}
    for number, name in enumerate(names):

        def tell(share: float, _: str, number: int = number, name: str = name) -> None:
            if progress is not None:
                progress((number + share) / len(names), f"{case.key}, {name}")

        series = fields.region_series(name, mask, time[index], tell).astype(np.float64)
        if not np.isfinite(series).all():
            raise UserError(f"case {case.key}: {name} has gaps from {case.start} to {case.end}")
        values[name] = np.bincount(day, series) / np.bincount(day)
    return CaseSeries(case, days, values)


# -- as a page ------------------------------------------------------------------------------


def markdown(series: Sequence[CaseSeries]) -> str:
    """A table a case: first and last day, lowest, highest, and distance from the truth."""
    lines = [
        "## Case studies",
        "",
        "Dates and places are the document's where it has them; what happens there is the data "
        "set's own. In the simulated world the events were put in by hand. Daily means over the "
        "region, ppm. Change: last less first day, of a comparison the last year's months less "
        "the first year's; error: root mean square of the daily means; r: their correlation with "
        "the truth's; amplitude: ratio of their standard deviations, model over truth.",
        "",
    ]
    for item in series:
        case = item.case
        roles = ", ".join(f"{year}: {role}" for year, role in case.roles().items())
        lines += [
            f"### {case.title['en']}, {', '.join(case.months) or f'{case.start} to {case.end}'}",
            "",
            f"Region `{case.region}`; {roles}.",
            "",
            "| | first | last | lowest | highest | change | error | r | amplitude |",
            "|---" * 9 + "|",
        ]
        for name, values in item.values.items():
            cells = [f"{v:.1f}" for v in (values[0], values[-1], values.min(), values.max())]
            cells.append(f"{item.change(values):+.1f}")
            found = item.scores.get(name, {})
            cells += [
                f"{found[key]:.2f}" if np.isfinite(found.get(key, np.nan)) else "–"
                for key in ("rmse", "correlation", "amplitude")
            ]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines[:-1]) + "\n"
