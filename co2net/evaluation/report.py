"""The report: scores of models by year and region, as a tidy table with its provenance.

Frames are taken every ``stride``-th, a fixed sample that visits every hour of the day when
``stride`` shares no factor with the frames of a day. A model's fields come straight from the
model, not through the engine, for a sample leaves most of every block unused.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from co2net.assets import atomic_path, provenance
from co2net.background import Background
from co2net.errors import UserError
from co2net.evaluation.metrics import METRICS, Scores
from co2net.inference import source_digest, window_length
from co2net.regions import region
from co2net.source import FieldSource, Index

if TYPE_CHECKING:
    from co2net.models.base import Reconstructor

Progress = Callable[[float, str], None]

REGIONS = ("global", "ocean", "eurasia")
"""The regions of the document's table."""
FIELDS = ("period", "model", "region", "metric", "unit", "value", "frames")
"""Columns of the table."""

_BATCH = 16  # frames a call: what a window's network holds in a few hundred MB


@dataclass(frozen=True)
class Row:
    """One score."""

    period: str
    model: str
    region: str
    metric: str
    unit: str
    value: float
    frames: int


@dataclass(frozen=True)
class Period:
    """Days to score on.

    Parameters
    ----------
    name : str
        Such as ``2020`` or ``2019-08``.
    role : str
        What the days were to the models: ``test``, ``validation`` or ``training``.
    stride : int
        Every how many frames one is scored.
    """

    name: str
    role: str
    stride: int = 1

    def index(self, source: FieldSource, frames: int) -> Index:
        """Frames to score: those of the year, month or day of which whole windows exist.

        Raises
        ------
        UserError
            When the name is no date, or the source holds nothing of it.
        """
        unit = {4: "Y", 7: "M", 10: "D"}.get(len(self.name))
        try:
            start = np.datetime64(self.name, unit)  # type: ignore[call-overload]
        except (ValueError, TypeError):
            raise UserError(f"period '{self.name}': write a year, month or day") from None
        chosen = (source.time >= start) & (source.time < start + 1)
        index = np.flatnonzero(chosen)[:: self.stride]
        available = np.concatenate([[0], np.cumsum(source.available)])
        first = index - frames + 1
        whole = first >= 0
        whole[whole] = available[index[whole] + 1] - available[first[whole]] == frames
        if not whole.any():
            raise UserError(f"period {self.name}: the data set holds no whole window of it")
        return index[whole].astype(np.int64)


def evaluate(
    source: FieldSource,
    models: Sequence[Reconstructor],
    periods: Sequence[Period],
    out: str | Path,
    background: Background | None = None,
    regions: Sequence[str] = REGIONS,
    progress: Progress | None = None,
) -> list[Row]:
    """Score models on periods; every model on exactly the same frames.

    Parameters
    ----------
    source
        Truth, weather and observations.
    models
        Reconstructors with distinct names.
    periods
        Of which the scores are kept apart.
    out
        ``NAME.csv``: the tidy table of `FIELDS`; ``NAME.json`` beside it says what made it, and
        lets an interrupted run go on: scores of a model and a period already there, on the same
        data with the same weights and frames, are taken over.
    background
        For ``acc_climatology``; without it that score is left out.
    regions
        Keys of `co2net.regions.region`.
    progress
        Told the share done, the model and the period.
    """
    names = [model.info.name for model in models]
    if len(set(names)) < len(names):
        raise UserError(f"evaluate: models need distinct names, not {', '.join(names)}")
    out = Path(out)
    masks = {key: region(key).mask(source.grid) for key in regions}
    frames = max(window_length(model) for model in models)
    about: dict[str, Any] = {
        "title": "Scores of reconstructions",
        "data": {key: source.attrs.get(key) for key in ("title", "version", "simulated", "digest")},
        "data_digest": source_digest(source),
        "background": None if background is None else background.digest,
        "stations": len(source.stations),
    }
    rows, about["parts"] = _resume(out, about)
    steps = [(period, model) for period in periods for model in models]
    for number, (period, model) in enumerate(steps):
        index = period.index(source, frames)
        key = f"{period.name} {model.info.name}"
        part = _plain(
            {
                **asdict(period),
                "model": model.info.name,
                "title": model.info.title,
                "digest": model.info.digest,
                "window": frames,
                "frames": int(index.size),
                "regions": list(regions),
                "preset": model.info.preset,
                "target": model.info.target,
                "parameters": model.info.parameters,
                "trained_on": model.info.trained_on,
            }
        )
        if about["parts"].get(key) == part:
            continue
        scores = Scores(source.grid, masks)
        for start in range(0, index.size, _BATCH):
            batch = index[start : start + _BATCH]
            truth = source.read(["co2"], batch)[0]
            usual = None
            if background is not None:
                usual = background.field(source.time[batch], source.observations(batch))
            scores.update(truth, model.reconstruct(source, batch), usual)
            if progress is not None:
                share = (number + min(1.0, (start + _BATCH) / index.size)) / len(steps)
                progress(share, f"{model.info.name}, {period.name}")
        rows = [row for row in rows if (row.period, row.model) != (period.name, model.info.name)]
        rows += [
            Row(period.name, model.info.name, key, metric, METRICS[metric], value, scores.frames)
            for key, values in scores.results().items()
            for metric, value in values.items()
            if np.isfinite(value)
        ]
        about["parts"][key] = part
        _write(out, rows, about)
    wanted = {(period.name, model.info.name) for period, model in steps}
    rows = [row for row in rows if (row.period, row.model) in wanted]
    parts = about["parts"].items()
    about["parts"] = {k: part for k, part in parts if (part["name"], part["model"]) in wanted}
    _write(out, rows, about)
    return rows


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON gives it back, to compare with what was written."""
    return json.loads(json.dumps(values, default=str))


def _resume(out: Path, about: Mapping[str, Any]) -> tuple[list[Row], dict[str, Any]]:
    """Rows and parts of an earlier run on the same data; none where there is none."""
    if not out.is_file() or not out.with_suffix(".json").is_file():
        return [], {}
    rows, before = read_rows(out), read_about(out)
    if any(before.get(key) != about[key] for key in ("data_digest", "background")):
        return [], {}
    return rows, before["parts"]


def _write(out: Path, rows: Sequence[Row], about: Mapping[str, Any]) -> None:
    with atomic_path(out) as draft, draft.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({**asdict(row), "value": f"{row.value:.5f}"} for row in rows)
    made = {**about, "made": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", "provenance": provenance()}
    with atomic_path(out.with_suffix(".json")) as draft:
        draft.write_text(json.dumps(made, indent=1, default=str) + "\n", encoding="utf-8")


def read_rows(path: str | Path) -> list[Row]:
    """The table that `evaluate` wrote.

    Raises
    ------
    UserError
        When there is none, or it is something else.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as handle:
            return [_row(line) for line in csv.DictReader(handle)]
    except FileNotFoundError:
        raise UserError(f"no scores at {path}; `co2net evaluate` makes them") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is no table of scores; give another path or remove it") from None


def _row(line: Mapping[str, str]) -> Row:
    values: dict[str, Any] = {**line, "value": float(line["value"]), "frames": int(line["frames"])}
    return Row(**values)


def read_about(path: str | Path) -> dict[str, Any]:
    """What made the table: the JSON beside it."""
    try:
        return json.loads(Path(path).with_suffix(".json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise UserError(f"{path}: its .json is missing or damaged ({error})") from None


# -- as a page ------------------------------------------------------------------------------


def markdown(rows: Sequence[Row], about: Mapping[str, Any], regions: Sequence[str]) -> str:
    """Tables by period, models down and regions across: RMSE, ACC and bias.

    The best of every column of RMSE is set in bold.
    """
    value = {(r.period, r.model, r.region, r.metric): r.value for r in rows}
    lines = []
    for period in dict.fromkeys(row.period for row in rows):
        parts = [part for part in about["parts"].values() if part["name"] == period]
        models = list(dict.fromkeys(row.model for row in rows if row.period == period))
        models.sort(key=lambda m: value[period, m, regions[0], "rmse_document"])
        first = parts[0]
        lines += [
            f"## {period} ({first['role']})",
            "",
            f"{first['frames']} frames, every {_ordinal(first['stride'])}. RMSE in ppm / ACC / "
            "ACC about the climatology.",
            "",
            "| model | " + " | ".join(regions) + " | bias (ppm) |",
            "|---" * (len(regions) + 2) + "|",
        ]
        best = {
            key: min(round(value[period, m, key, "rmse_document"], 3) for m in models)
            for key in regions
        }
        for model in models:
            cells = []
            for key in regions:
                score = value[period, model, key, "rmse_document"]
                text = f"{score:.3f}"
                text = f"**{text}**" if round(score, 3) == best[key] else text
                others = [
                    value.get((period, model, key, metric)) for metric in ("acc", "acc_climatology")
                ]
                cells.append(
                    " / ".join([text, *("–" if v is None else f"{v:.3f}" for v in others)])
                )
            shift = value[period, model, regions[0], "bias"]
            lines.append(f"| {model} | " + " | ".join(cells) + f" | {shift:+.3f} |")
        lines.append("")
    return "\n".join(lines[:-1]) + "\n"


def results_page(rows: Sequence[Row], about: Mapping[str, Any], command: str) -> str:
    """The page ``docs/results.md``: what was measured, on what, by which command, and tables.

    Parameters
    ----------
    rows, about
        What `read_rows` and `read_about` give.
    command
        That makes the table again.
    """
    data, made = about["data"], about["provenance"]
    regions = list(dict.fromkeys(row.region for row in rows))
    models = {part["model"]: part for part in about["parts"].values()}
    simulated = (
        "**The world is simulated.** These are scores of an observing system simulation "
        "experiment: truth, weather and observations come from the nature run that this program "
        "ships, so they say how well a method rebuilds that world, and nothing about the real "
        "one. They are not the published model's and stand beside no number of its paper."
        if data["simulated"]
        else "Truth is the data set's own CO2, itself a model's product."
    )
    lines = [
        "# Results",
        "",
        "Generated; do not edit. Made by",
        "",
        f"    {command}",
        "",
        f"Data: {data['title']}, version {data['version']} ({data['digest']}), "
        f"{about['stations']} stations. Program: co2net {made['co2net']}, commit {made['commit']}. "
        f"{about['made'][:10]}. The table in full is `data/benchmarks/results.csv`.",
        "",
        simulated,
        "",
        "- RMSE is the project document's: the mean over frames of the root of the area-weighted "
        "mean square error.",
        "- ACC is the document's: anomalies about the truth's mean over the frames scored. Trend, "
        "season and the hour of the day count as anomalies, so it is high for any method that "
        "knows a climatology. The second ACC is about the climatology with the stations' level.",
        "- Every model is scored on the same frames. One seed each: differences of a few "
        "hundredths of a ppm may be chance.",
        "- Climatology and interpolation use the observations of the frame alone; networks those "
        "of their window.",
        *_cautions(rows, models),
        "",
        "| model | preset | parameters | target | training |",
        "|---|---|---|---|---|",
    ]
    for name, part in models.items():
        lines.append(
            f"| {name} | {part['preset'] or '–'} | {part['parameters'] / 1e6:.2f} M "
            f"| {part['target'] or '–'} | {_training(part['trained_on'])} |"
        )
    return "\n".join([*lines, "", markdown(rows, about, regions)])


def _cautions(rows: Sequence[Row], models: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What the tables must not be read for."""
    windows = {part["trained_on"].get("windows") for part in models.values()} - {None}
    lines = []
    if len(windows) > 1:
        lines.append(
            f"- The networks saw between {min(windows)} and {max(windows)} windows in training: "
            "their order here is no comparison of architectures."
        )
    score = {
        (row.period, row.model): row.value
        for row in rows
        if (row.region, row.metric) == ("global", "rmse_document")
    }
    behind = [
        f"{model} ({period})"
        for (period, model), value in score.items()
        if value > score.get((period, "climatology"), np.inf)
    ]
    if behind:
        lines.append(f"- Worse than the climatology, globally: {', '.join(behind)}.")
    return lines


def _training(trained: Mapping[str, Any]) -> str:
    if "steps" in trained:
        minutes = trained.get("seconds", 0) / 60
        return f"{trained['steps']} steps, {trained['windows']} windows, {minutes:.0f} min"
    return f"{trained['years']}, every frame"


def _ordinal(number: int) -> str:
    if number == 1:
        return "one"
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 * (number // 10 % 10 != 1), "th")
    return f"{number}{suffix}"
