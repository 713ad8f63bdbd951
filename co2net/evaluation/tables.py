"""The document's tables on the data set at hand: trains what a row needs, or collects it.

``data/benchmarks/document.yml`` says what every row is and what the document measured. Runs lie
in a folder each, named after everything that decides them, so that rows that several tables
share are trained once, and a table broken off goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from co2net.assets import data_path
from co2net.background import Background
from co2net.errors import UserError
from co2net.evaluation.entrants import Entrant, survey
from co2net.evaluation.scores import Part, Period, Row, rows, score
from co2net.inference import source_digest
from co2net.source import FieldSource
from co2net.windows import Split

Progress = Callable[[float, str], None]

DEFAULT_BUDGET = "200 steps"
SHIPPED = "shipped"
"""Budget that trains nothing and takes the checkpoints and runs that are there."""

_UNITS = ("steps", "epochs", "minutes")
_MONTHLY = np.timedelta64(20, "D")
_DECIDE = ("model", "target", "frames", "interval", "wind_loss")


class TrainingStopped(Exception):
    """A training was asked to end before it was done; run again, it goes on."""


@dataclass(frozen=True)
class TableRow:
    """A row of a table.

    Parameters
    ----------
    name
    train
        Settings of `co2net.training.TrainConfig`, base and row together.
    document : region -> values
        The document's, in the order of the table's metrics; empty where it gives none.
    """

    name: str
    train: Mapping[str, Any]
    document: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Table:
    """A table of the document.

    Parameters
    ----------
    key, title, note
    metrics, regions : tuple of str
    rows
    data : str
        The data set behind the document's values.
    """

    key: str
    title: str
    note: str
    metrics: tuple[str, ...]
    regions: tuple[str, ...]
    rows: tuple[TableRow, ...]
    data: str


def table_names() -> list[str]:
    """Keys of the tables."""
    return [str(key) for key in _document()["tables"]]


def table(key: str, monthly: bool = False) -> Table:
    """A table for three-hourly data (the document's CarbonTracker) or monthly (its CMIP6).

    Raises
    ------
    UserError
        When there is none of the name, or the document has it for the other data only.
    """
    document = _document()
    found = document["tables"].get(key)
    if found is None:
        raise UserError(f"table '{key[:20]}': choose {', '.join(document['tables'])}")
    side = "cmip6" if monthly else "ct"
    made = [
        TableRow(
            str(row["row"]),
            _sided(_merged(found["base"], row["train"]), side),
            row.get(side, {}),
        )
        for row in found["rows"]
    ]
    if not any(row.document for row in made):
        raise UserError(f"table {key} of the document is for three-hourly data")
    return Table(
        key, found["title"], found.get("note", ""), tuple(found["metrics"]),
        tuple(found["regions"]), tuple(made), document["data"][side],
    )  # fmt: skip


def is_monthly(source: FieldSource) -> bool:
    """Whether a data set holds months, as CMIP6 does."""
    return bool(source.step >= _MONTHLY)


def _document() -> dict[str, Any]:
    path = data_path("benchmarks", "document.yml")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _merged(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with others on top; ``options`` are merged."""
    out = {**base, **more}
    if "options" in base and "options" in more:
        out["options"] = {**base["options"], **more["options"]}
    return out


def _sided(settings: Mapping[str, Any], side: str) -> dict[str, Any]:
    return {
        name: value[side] if isinstance(value, dict) and side in value else value
        for name, value in settings.items()
    }


# -- training or collecting -----------------------------------------------------------------


def parse_budget(text: str) -> dict[str, float]:
    """``"200 steps"`` as a setting of `co2net.training.TrainConfig`; epochs or minutes as well.

    Raises
    ------
    UserError
        When it is none.
    """
    found = re.fullmatch(rf"\s*(\d+(?:\.\d+)?)\s*({'|'.join(_UNITS)})\s*", text)
    if not found or float(found[1]) <= 0:
        raise UserError(f"budget '{text[:40]}': write 200 steps, 2 epochs, 30 minutes or {SHIPPED}")
    number, unit = float(found[1]), found[2]
    if unit == "steps":
        if not number.is_integer():
            raise UserError(f"budget '{text[:40]}': a number of steps is whole")
        return {unit: int(number)}
    return {unit: number}


def run_folder(root: Path, source: FieldSource, config: Mapping[str, Any]) -> Path:
    """Where the run of settings on a data set lies."""
    decides = json.dumps({"data": source_digest(source), **config}, sort_keys=True, default=str)
    return root / f"{config['model']}-{hashlib.sha256(decides.encode()).hexdigest()[:10]}"


def trained(
    source: FieldSource,
    years: Split,
    settings: Mapping[str, Any],
    root: Path,
    progress: Progress | None = None,
    cache_dir: Path | None = None,
) -> Path:
    """The folder of a finished run with these settings; trains it, or goes on, where need be.

    Raises
    ------
    TrainingStopped
        When the training was asked to end.
    UserError
        When a setting is wrong or does not fit the data.
    """
    from co2net import training
    from co2net.training.state import STATE_FILE

    config = training.TrainConfig.from_dict({"split": years.name, **settings})
    folder = run_folder(root, source, config.to_dict())
    if (folder / STATE_FILE).is_file():
        done = training.resume(source, folder, progress, years=years, cache_dir=cache_dir)
    else:
        for left in ("config.json", "metrics.jsonl"):  # of a start that reached no checkpoint
            (folder / left).unlink(missing_ok=True)
        done = training.train(config, source, folder, progress, years=years, cache_dir=cache_dir)
    if not done.finished:
        raise TrainingStopped
    return folder


def collected(source: FieldSource, row: TableRow, runs: Path) -> Path | None:
    """The checkpoint trained as a row asks, on this very data set; None without one.

    It is looked for among the shipped ones and the runs in ``runs``. Options of the network that
    no table is about may differ, as size and budget may. Of several the one with the shortest
    name is taken.
    """
    from co2net import models

    wanted = {"frames": 8, "interval": 1, "target": None, **row.train}
    ablated = {
        name
        for one in _document()["tables"].values()
        for r in one["rows"]
        for name in r["train"].get("options", {})
    }
    usual = models.info(wanted["model"]).options
    options = {k: v for k, v in {**usual, **row.train.get("options", {})}.items() if k in ablated}
    found = []
    places = [data_path("checkpoints"), runs]
    for path in sorted(path for place in places for path in place.glob("*/config.json")):
        if not (path.parent / "model.safetensors").is_file():
            continue
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            train = {**saved["train"], "target": saved["target"]}
            has = {k: v for k, v in {**usual, **saved["options"]}.items() if k in ablated}
            same = saved["data"]["digest"] == source.attrs.get("digest")
        except (ValueError, KeyError, TypeError):
            continue
        if same and has == options and all(train.get(k) == wanted.get(k) for k in _DECIDE):
            found.append(path.parent)
    return min(found, key=lambda folder: (len(folder.name), folder.name)) if found else None


@dataclass(frozen=True)
class TableResult:
    """Ours beside the document's.

    Parameters
    ----------
    table
    settings : row -> str
        In a few words what was trained; absent where nothing was.
    rows : row -> scores
    """

    table: Table
    settings: Mapping[str, str]
    rows: Mapping[str, tuple[Row, ...]]


def make_table(
    source: FieldSource,
    key: str,
    periods: Sequence[Period],
    years: Split,
    masks: Mapping[str, NDArray[np.float64]],
    out: Path,
    runs: Path,
    budget: str = DEFAULT_BUDGET,
    base: Mapping[str, Any] | None = None,
    every: int = 9,
    background: Background | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    cache_dir: Path | None = None,
) -> TableResult:
    """Train or collect the rows of a table, and score them on the same frames.

    Parameters
    ----------
    key
        Of `table_names`.
    periods, years, masks, every, background
        As in `co2net.evaluation.scores.score`.
    out, runs
        Folder of the results, and of the runs.
    budget
        See `parse_budget`, or `SHIPPED`.
    base
        Training settings on top of all rows, such as the preset.
    seed
        Of the intervals.
    progress
        Told the share done; trainings are most of it.
    cache_dir
        Folder for normalised frames that the trainings share.

    Raises
    ------
    TrainingStopped
        When a training was asked to end.
    UserError
        When a setting is wrong, nothing is there to collect, or a model cannot be scored.
    """
    asked = table(key, is_monthly(source))
    missing = [region for region in asked.regions if region not in masks]
    if missing:
        raise UserError(f"table {key}: the grid has no cell in {', '.join(missing)}")
    amount = None if budget == SHIPPED else parse_budget(budget)
    share = 0.0 if amount is None else 0.9
    entrants, settings, names = [], {}, {}
    for number, row in enumerate(asked.rows):

        def tell(done: float, text: str, number: int = number, name: str = row.name) -> None:
            if progress is not None:
                progress(share * (number + done) / len(asked.rows), f"{name}: {text}")

        if amount is None:
            folder = collected(source, row, runs)
        else:
            wanted = _merged({**row.train, **amount}, base or {})
            folder = trained(source, years, wanted, runs, tell, cache_dir)
        if folder is not None:
            settings[row.name] = _in_words(folder)
            names[row.name] = folder.name
            entrants.append(_entrant(folder))
    if not entrants:
        raise UserError(f'table {key}: nothing that is trained serves; give --budget "200 steps"')
    unique = list({one.label: one for one in entrants}.values())

    def told(done: float, text: str) -> None:
        if progress is not None:
            progress(share + (1 - share) * done, text)

    parts = score(
        source, unique, survey(source, unique), periods, years,
        {region: masks[region] for region in asked.regions}, out, every, background, told,
    ).parts  # fmt: skip
    return TableResult(
        asked,
        settings,
        {name: _rows_of(parts, folder, asked, seed) for name, folder in names.items()},
    )


def _rows_of(parts: Sequence[Part], name: str, asked: Table, seed: int) -> tuple[Row, ...]:
    mine = [part for part in parts if part.entrant.name == name]
    return tuple(row for row in rows(mine, seed) if row.metric in asked.metrics)


def _entrant(folder: Path) -> Entrant:
    from co2net import models

    return Entrant(folder.name, "", lambda: models.load(folder))


def _in_words(folder: Path) -> str:
    """What a run or checkpoint is, in a few words."""
    from co2net import models

    saved = json.loads((folder / "config.json").read_text(encoding="utf-8"))["train"]
    reached = models.load(folder).info.trained_on
    words = [f"preset {saved['preset']}", f"{reached['windows']} windows", f"seed {saved['seed']}"]
    words += [f"{name} {value}" for name, value in saved["options"].items()]
    return ", ".join(words)


# -- as a table -----------------------------------------------------------------------------


TABLE_FIELDS = ("table", "row", "model", "setting", "region", "period", "metric", "value", "low",
                "high", "n", "document")  # fmt: skip
"""Columns of the tidy table."""


def table_lines(result: TableResult) -> list[dict[str, Any]]:
    """Tidy rows: ours with interval, and the document's value of the same region and metric."""
    out = []
    asked = result.table
    for row in asked.rows:
        for found in result.rows.get(row.name, ()):
            values = row.document.get(found.region, ())
            place = asked.metrics.index(found.metric)
            out.append(
                {
                    "table": asked.key,
                    "row": row.name,
                    "model": row.train["model"],
                    "setting": result.settings[row.name],
                    "region": found.region,
                    "period": found.period,
                    "metric": found.metric,
                    "value": found.value,
                    "low": found.low,
                    "high": found.high,
                    "n": found.n,
                    "document": values[place] if place < len(values) else float("nan"),
                }
            )
    return out


def table_markdown(result: TableResult, data: str, simulated: bool) -> str:
    """Ours beside the document's, with the warning that they are of different data sets."""
    asked, lines = result.table, table_lines(result)
    periods = list(dict.fromkeys(line["period"] for line in lines))
    text = [
        f"### Table {asked.key}: {asked.title}",
        "",
        f"Ours: {data}{' (simulated)' if simulated else ''}, with 95 % intervals. The document's: "
        f"{asked.data}. They are "
        "different data sets: compare orders and signs, and no number.",
        "",
    ]
    if asked.note:
        text += [" ".join(asked.note.split()), ""]
    if any(row.name not in result.rows for row in asked.rows):
        text += ["A dash: nothing trained in that way is there.", ""]
    value = {(n["row"], n["region"], n["metric"], n["period"]): n for n in lines}
    for region in asked.regions:
        for number, metric in enumerate(asked.metrics):
            unit = "" if metric.startswith("acc") else " (ppm)"
            text += [
                f"{region}, {metric}{unit}:",
                "",
                f"| | trained | {' | '.join(f'ours {p}' for p in periods)} | document |",
                "|---" * (len(periods) + 3) + "|",
            ]
            for row in asked.rows:
                cells = []
                for period in periods:
                    line = value.get((row.name, region, metric, period))
                    cells.append("–" if line is None else _spread(line))
                theirs = row.document.get(region, ())
                cells.append(f"{theirs[number]:.2f}" if number < len(theirs) else "–")
                setting = result.settings.get(row.name, "–")
                text.append(f"| {row.name} | {setting} | {' | '.join(cells)} |")
            text.append("")
    return "\n".join(text[:-1]) + "\n"


def _spread(line: Mapping[str, Any]) -> str:
    if not np.isfinite(line["low"]):
        return f"{line['value']:.3f}"
    return f"{line['value']:.3f} ({line['low']:.3f} to {line['high']:.3f})"
