"""Scoring models on periods: streamed, every model on the same frames, resumable.

What is scored is kept in the folder ``.parts`` of the results as sums by week, under a
fingerprint of data, weights and frames: killed and run again, an evaluation goes on where it
was and ends with the same bits, for frames are always computed in the same company.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from co2net.assets import atomic_path
from co2net.background import Background
from co2net.errors import UserError
from co2net.evaluation import bootstrap
from co2net.evaluation.entrants import Entrant, Known
from co2net.evaluation.metrics import METRICS, Scores, Sums
from co2net.inference import source_digest
from co2net.source import FieldSource, Index
from co2net.windows import PARTS, Split, complete_windows

Progress = Callable[[float, str], None]

BATCH = 16
"""Frames a call; what a window's network holds in a few hundred MB."""
OUTSIDE = "outside the split"
"""Role of years that the split does not name."""

_SAVE_SECONDS = 20.0
_KEPT_BYTES = 2**28  # truth and background of a period that are kept for the next model


@dataclass(frozen=True)
class Period:
    """Days to score on.

    Parameters
    ----------
    name : str
        A year, month, day, or ``FIRST/LAST`` with both days included.
    """

    name: str

    @property
    def span(self) -> tuple[np.datetime64, np.datetime64]:
        """First moment, and the first after it.

        Raises
        ------
        UserError
            When the name is none of these.
        """
        ends = self.name.split("/")
        try:
            if len(ends) > 2:
                raise ValueError
            parsed = []
            for text in (ends[0], ends[-1]):
                unit = {4: "Y", 7: "M", 10: "D"}[len(text)]
                parsed.append(np.datetime64(text, unit))  # type: ignore[call-overload]
            first, last = parsed[0].astype("datetime64[s]"), (parsed[1] + 1).astype("datetime64[s]")
            if last <= first:
                raise ValueError
        except (ValueError, TypeError, KeyError):
            raise UserError(
                f"period '{self.name[:40]}': write a year, month or day, or FIRST/LAST"
            ) from None
        return first, last

    def role(self, years: Split) -> str:
        """What the period was to the models: train, validation, test or `OUTSIDE`.

        Raises
        ------
        UserError
            When it reaches over two of them.
        """
        first, last = self.span
        count = (last - first) // np.timedelta64(1, "D")
        days = first.astype("datetime64[D]") + np.arange(count)
        parts = np.unique(years.part_of(days))
        if parts.size > 1:
            raise UserError(
                f"period {self.name} reaches from one part of the split into another; give its "
                "years one by one"
            )
        return [*PARTS, OUTSIDE][parts[0]]

    def index(self, source: FieldSource, years: Split, every: int, reach: int) -> Index:
        """Every n-th frame of the period, as far as its window lies wholly in the same part.

        May be empty.

        Parameters
        ----------
        every : int
            Counted from the period's first frame, so that the sample is the same whatever the
            windows' length; visits every hour of the day where it shares no factor with the
            frames of a day.
        reach : int
            Frames that a window spans.
        """
        role = [*PARTS, OUTSIDE].index(self.role(years))
        same = years.part_of(source.time) == (role if role < len(PARTS) else -1)
        first, last = self.span
        chosen = np.flatnonzero((source.time >= first) & (source.time < last))[::every]
        whole = complete_windows(same & source.available, reach)
        return np.intersect1d(chosen, whole).astype(np.int64)


def split_periods(source: FieldSource, years: Split, part: str) -> tuple[list[Period], list[str]]:
    """The years of a part that the data set has, one period each, and those that it lacks.

    Raises
    ------
    UserError
        When it has none of them.
    """
    if part not in PARTS:
        raise UserError(f"split '{part[:40]}': choose {', '.join(PARTS)}")
    inside = years.part_of(source.time) == PARTS.index(part)
    held = set(source.time[inside & source.available].astype("datetime64[Y]").astype(str))
    wanted = [str(year) for year in years.years(part)]  # type: ignore[arg-type]
    found = [Period(year) for year in wanted if year in held]
    if not found:
        raise UserError(
            f"the data set holds no frame of the {part} years {', '.join(wanted[:6])}; name "
            "--periods that it holds"
        )
    return found, [year for year in wanted if year not in held]


@dataclass(frozen=True)
class Part:
    """One model on one period.

    Parameters
    ----------
    entrant, period, role
        Whose, when, and what the period was to the models.
    sums
        By week and place.
    frames, missing : int
        Frames scored, and cells left out because the truth is unknown.
    """

    entrant: Entrant
    period: Period
    role: str
    sums: Sums
    frames: int
    missing: int


@dataclass(frozen=True)
class Scored:
    """All of an evaluation.

    Parameters
    ----------
    parts
        Models by periods.
    seconds : label -> (frames, seconds)
        What was computed this time.
    """

    parts: tuple[Part, ...]
    seconds: dict[str, tuple[int, float]]


class _Truth:
    """Truth and background of a period's frames, read once for all models where they fit."""

    def __init__(self, source: FieldSource, index: Index, background: Background | None) -> None:
        self.source, self.index, self.background = source, index, background
        size = index.size * np.prod(source.grid.shape) * 4 * (1 if background is None else 2)
        self._keep = size <= _KEPT_BYTES
        self._kept: dict[int, tuple[NDArray[Any], NDArray[Any] | None]] = {}

    def batch(self, start: int) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """(n, H, W) truth and background of the batch that begins at ``start``."""
        if start in self._kept:
            return self._kept[start]
        frames = self.index[start : start + BATCH]
        truth, usual = self.source.read(["co2"], frames)[0], None
        if self.background is not None:
            observed = self.source.observations(frames)
            usual = self.background.field(self.source.time[frames], observed)
        if self._keep:
            self._kept[start] = truth, usual
        return truth, usual


def score(
    source: FieldSource,
    asked: Sequence[Entrant],
    known: Mapping[str, Known],
    periods: Sequence[Period],
    years: Split,
    masks: Mapping[str, NDArray[np.float64]],
    folder: Path,
    every: int = 1,
    background: Background | None = None,
    progress: Progress | None = None,
) -> Scored:
    """Score models on periods, each on exactly the same frames.

    Parameters
    ----------
    source
        Truth, weather and observations.
    asked, known
        Models, and what `co2net.evaluation.entrants.survey` told of them.
    periods, years, every
        Which frames.
    masks
        Of `co2net.evaluation.places.places`.
    folder
        Results; ``.parts`` below it keeps what is done.
    background
        For ``acc_climatology``; without it that score is left out.
    progress
        Told the share done, the model and the period; what it raises ends the work.

    Raises
    ------
    UserError
        When the data set holds no whole window of a period.
    """
    reach = max(one.reach for one in known.values())
    truths, roles, keys = [], [], []
    about = {
        "data": source_digest(source),
        "background": None if background is None else background.digest,
        "masks": _digest(*masks, *(mask.tobytes() for mask in masks.values())),
        "batch": BATCH,
    }
    for period in periods:
        index = period.index(source, years, every, reach)
        if index.size == 0:
            raise UserError(
                f"period {period.name}: the data set holds no whole window of it ({reach} frames "
                "without a gap, in the same part of the split)"
            )
        truths.append(_Truth(source, index, background))
        roles.append(period.role(years))
        times = source.time[index].astype("datetime64[s]")
        keys.append({**about, "frames": _digest(times.tobytes())})
    total = len(asked) * sum(truth.index.size for truth in truths)
    parts: list[Part] = []
    spent: dict[str, tuple[int, float]] = {}
    done = 0
    store = parts_folder(folder)
    for one in asked:
        for period, role, truth, key in zip(periods, roles, truths, keys, strict=True):
            key = {**key, "model": known[one.label].info.digest, "reach": known[one.label].reach}
            path = store / f"{one.label}-{period.name.replace('/', '_')}.npz"

            def tell(
                frames: int, done: int = done, what: str = f"{one.label}, {period.name}"
            ) -> None:
                if progress is not None:
                    progress((done + frames) / total, what)

            found, computed, seconds = _part(source, one, truth, masks, path, key, tell)
            parts.append(Part(one, period, role, *found))
            before = spent.get(one.label, (0, 0.0))
            spent[one.label] = before[0] + computed, before[1] + seconds
            done += truth.index.size
    return Scored(tuple(parts), {label: row for label, row in spent.items() if row[0]})


def _part(
    source: FieldSource,
    one: Entrant,
    truth: _Truth,
    masks: Mapping[str, NDArray[np.float64]],
    path: Path,
    key: Mapping[str, Any],
    tell: Callable[[int], None],
) -> tuple[tuple[Sums, int, int], int, float]:
    """Sums, frames and missing cells of one model on one period; frames and seconds it took."""
    kept = load_part(path, key)
    if kept is not None and "regions" in kept:
        tell(truth.index.size)
        return _finished(kept), 0, 0.0
    week, weeks = bootstrap.weeks(source.time[truth.index])
    scores = Scores(source.grid, masks, blocks=weeks)
    start = 0
    if kept is not None:
        start = int(kept["next"])
        scores.restore(kept)
    first, model = start, one.load()
    began = saved = monotonic()
    for start in range(first, truth.index.size, BATCH):
        batch = slice(start, start + BATCH)
        values, usual = truth.batch(start)
        estimate = model.reconstruct(source, truth.index[batch])
        try:
            scores.update(values, estimate, usual, week[batch])
        except UserError as error:
            raise UserError(f"{one.label}: {error}") from None
        reached = min(start + BATCH, truth.index.size)
        if monotonic() - saved > _SAVE_SECONDS and reached < truth.index.size:
            save_part(path, key, {"next": np.array(reached), **scores.to_arrays()})
            saved = monotonic()
        tell(reached)
    sums = scores.sums()
    arrays = {f"sum_{name}": values for name, values in sums.values.items()}
    save_part(
        path,
        key,
        {
            "regions": np.array(sums.regions),
            "counts": np.array([scores.frames, scores.missing]),
            **arrays,
        },
    )
    return (sums, scores.frames, scores.missing), truth.index.size - first, monotonic() - began


def _finished(kept: Mapping[str, NDArray[Any]]) -> tuple[Sums, int, int]:
    values = {name[4:]: array for name, array in kept.items() if name.startswith("sum_")}
    frames, missing = (int(value) for value in kept["counts"])
    return Sums(tuple(str(name) for name in kept["regions"]), values), frames, missing


# -- keeping --------------------------------------------------------------------------------


def parts_folder(folder: Path) -> Path:
    """``.parts`` of a folder of results, which git is told to leave alone."""
    store = folder / ".parts"
    if not (store / ".gitignore").is_file():
        with atomic_path(store / ".gitignore") as draft:
            draft.write_text("*\n", encoding="utf-8")
    return store


def save_part(path: Path, key: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays under a fingerprint of what they follow from."""
    with atomic_path(path) as draft, draft.open("wb") as handle:
        np.savez(handle, allow_pickle=False, key=np.array(_canonical(key)), **arrays)


def load_part(path: Path, key: Mapping[str, Any]) -> dict[str, NDArray[Any]] | None:
    """What `save_part` wrote under the same fingerprint; None without it."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["key"]) != _canonical(key):
                return None
            return {name: file[name] for name in file.files if name != "key"}
    except (FileNotFoundError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def _canonical(key: Mapping[str, Any]) -> str:
    return json.dumps(key, sort_keys=True)


def _digest(*pieces: str | bytes) -> str:
    hasher = hashlib.sha256()
    for piece in pieces:
        hasher.update(piece.encode() if isinstance(piece, str) else piece)
        hasher.update(b"\0")
    return hasher.hexdigest()[:16]


# -- numbers --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One score with its interval; NaN bounds where there is none.

    Parameters
    ----------
    model, seed, split, period, region, metric : str
        ``seed`` is ``all`` for the mean over several.
    value, low, high : float
    n : int
        Frames.
    """

    model: str
    seed: str
    split: str
    period: str
    region: str
    metric: str
    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Margin:
    """By how much one model's error is below another's, over the same weeks.

    Parameters
    ----------
    model, other, split, period, region, metric : str
        Means over the seeds of each.
    difference, low, high : umol/mol
        The model's less the other's.
    percent, percent_low, percent_high : float
        100 (1 - model / other): what the model takes off the other's error.
    n : int
        Frames.
    """

    model: str
    other: str
    split: str
    period: str
    region: str
    metric: str
    difference: float
    low: float
    high: float
    percent: float
    percent_low: float
    percent_high: float
    n: int


ALL_SEEDS = "all"
"""Seed of a row that is the mean over several."""


def rows(parts: Sequence[Part], seed: int = 0) -> list[Row]:
    """Scores with 95 % intervals; of a model with several seeds also their mean.

    The interval of such a mean comes from draws of weeks and of seeds.
    """
    out: list[Row] = []
    for group in _groups(parts).values():
        drawn = [_drawn(part, seed) for part in group]
        for part, (values, samples) in zip(group, drawn, strict=True):
            out += _table(part, part.entrant.seed, values, samples)
        if len(group) > 1:
            means, samples = _mean(drawn, seed)
            out += _table(group[0], ALL_SEEDS, means, samples)
    return out


def margins(
    parts: Sequence[Part],
    regions: Sequence[str],
    metrics: Sequence[str] = ("rmse_document", "rmse"),
    seed: int = 0,
) -> list[Margin]:
    """Every pair of models, the better one first, with paired 95 % intervals."""
    groups = _groups(parts)
    means = {key: _mean([_drawn(part, seed) for part in group], seed)
             for key, group in groups.items()}  # fmt: skip
    out = []
    for (name, period), (values, samples) in means.items():
        part = groups[name, period][0]
        for (other, when), (theirs, their_samples) in means.items():
            if when != period or other == name:
                continue
            for metric in metrics:
                for number, region in enumerate(part.sums.regions):
                    a, b = values[metric][number], theirs[metric][number]
                    if region not in regions or not a < b:
                        continue
                    x = y = np.full(2, np.nan)
                    if samples is not None and their_samples is not None:
                        x = samples[metric][:, number]
                        y = their_samples[metric][:, number]
                    low, high = bootstrap.interval(x - y)
                    less, more = bootstrap.interval(100 * (1 - x / y))
                    out.append(
                        Margin(name, other, part.role, period, region, metric, a - b, float(low),
                               float(high), 100 * (1 - a / b), float(less), float(more),
                               int(part.sums.frames[number]))
                    )  # fmt: skip
    return out


_Values = dict[str, NDArray[np.float64]]


def _groups(parts: Sequence[Part]) -> dict[tuple[str, str], list[Part]]:
    found: dict[tuple[str, str], list[Part]] = {}
    for part in parts:
        found.setdefault((part.entrant.name, part.period.name), []).append(part)
    return found


def _drawn(part: Part, seed: int) -> tuple[_Values, _Values | None]:
    """Scores (R,), and those of draws of weeks (K, R) where there are weeks enough."""
    values = part.sums.scores()
    if part.sums.blocks < bootstrap.FEWEST_BLOCKS:
        return values, None
    return values, part.sums.scores(bootstrap.draws(part.sums.blocks, seed=seed))


def _mean(
    drawn: Sequence[tuple[_Values, _Values | None]], seed: int
) -> tuple[_Values, _Values | None]:
    """Means over seeds; their draws take seeds with replacement too."""
    values = {metric: np.mean([one[metric] for one, _ in drawn], axis=0) for metric in METRICS}
    samples = [sample for _, sample in drawn]
    if any(sample is None for sample in samples):
        return values, None
    weights = bootstrap.draws(len(drawn), seed=seed + 1) / len(drawn)  # (K, seeds)
    return values, {
        metric: np.einsum("ks,skr->kr", weights, np.stack([s[metric] for s in samples if s]))
        for metric in METRICS
    }


def _table(part: Part, seed: str, values: _Values, samples: _Values | None) -> list[Row]:
    out = []
    for metric in METRICS:
        low = high = np.full(len(part.sums.regions), np.nan)
        if samples is not None:
            low, high = bootstrap.interval(samples[metric])
        for number, region in enumerate(part.sums.regions):
            if np.isfinite(values[metric][number]):
                out.append(
                    Row(part.entrant.name, seed, part.role, part.period.name, region, metric,
                        float(values[metric][number]), float(low[number]), float(high[number]),
                        int(part.sums.frames[number]))
                )  # fmt: skip
    return out
