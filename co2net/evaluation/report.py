"""Files of an evaluation: tidy tables, their provenance, and pages to read."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from co2net.assets import atomic_path
from co2net.errors import UserError
from co2net.evaluation.scores import ALL_SEEDS, Margin, Row
from co2net.evaluation.sites import SiteRow

DOCUMENT_REGIONS = ("global", "ocean", "eurasia")
"""Regions of the document's table 3-3."""
PLACES = (
    "land", "lat_60N_90N", "lat_30N_60N", "lat_0_30N", "lat_30S_0", "lat_60S_30S", "lat_90S_60S",
    "station_cells", "no_station", "dist_0_500", "dist_500_1500", "dist_1500_up",
)  # fmt: skip
"""Regions of the second table."""
MARGIN_REGIONS = ("global", "ocean", "land", "eurasia", "no_station", "dist_500_up",
                  "dist_500_1500", "dist_1500_up")  # fmt: skip
"""Regions in which models are compared pair by pair."""

SCORES, ABOUT, MARGINS = "scores.csv", "scores.json", "margins.csv"
CASES, CASE_SERIES = "cases.csv", "case_series.csv"
STATIONS, STATIONS_ABOUT = "stations.csv", "stations.json"
SECTIONS = ("scores.md", "cases.md", "stations.md")
"""Pages of a folder of results, in the order in which the whole page has them; tables follow."""


# -- tidy tables ----------------------------------------------------------------------------


def write_table(path: Path, lines: Iterable[Mapping[str, Any]], names: Sequence[str]) -> None:
    """Write a CSV file; numbers to five decimals, empty where there is none."""
    with atomic_path(path) as draft, draft.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _cell(line[name]) for name in names} for line in lines)


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.5f}" if np.isfinite(value) else ""
    return value


def write_rows(path: Path, rows: Sequence[Row] | Sequence[Margin] | Sequence[SiteRow]) -> None:
    """Write rows of one kind as a tidy table."""
    kinds: dict[str, type] = {SCORES: Row, MARGINS: Margin, STATIONS: SiteRow}
    names = [field.name for field in fields(kinds[path.name])]
    write_table(path, (asdict(row) for row in rows), names)


def write_about(path: Path, about: Mapping[str, Any]) -> None:
    """Write JSON."""
    with atomic_path(path) as draft:
        draft.write_text(json.dumps(about, indent=1, default=str) + "\n", encoding="utf-8")


def read_rows(path: str | Path) -> list[Row]:
    """The scores that `co2net evaluate` wrote; bounds are NaN where there is no interval.

    Raises
    ------
    UserError
        When there are none, or the file is something else.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as handle:
            return [_row(line) for line in csv.DictReader(handle)]
    except FileNotFoundError:
        raise UserError(f"no scores at {path}; `co2net evaluate` makes them") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is no table of scores; give another path or remove it") from None


def _row(line: Mapping[str, str]) -> Row:
    values: dict[str, Any] = dict(line)
    for name in ("value", "low", "high"):
        values[name] = float(line[name]) if line[name] else float("nan")
    return Row(**{**values, "n": int(line["n"])})


def read_about(path: str | Path) -> dict[str, Any]:
    """What made a table of scores: the JSON beside it.

    Raises
    ------
    UserError
        When it is missing or damaged.
    """
    try:
        about = json.loads(Path(path).with_suffix(".json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise UserError(f"{path}: its .json is missing or damaged ({error})") from None
    wanted = {"data", "command", "every", "models", "seeds", "periods", "frames"}
    if not wanted <= set(about) or not all("shipped" in m for m in about["models"].values()):
        raise UserError(f"{path}: its .json is of another version; score again or remove both")
    return about


# -- pages ----------------------------------------------------------------------------------


def scores_markdown(
    rows: Sequence[Row], margins: Sequence[Margin], about: Mapping[str, Any]
) -> str:
    """Tables by period: the document's regions, where else, and margins of the best model."""
    value = {(r.period, _label(r), r.region, r.metric): r for r in rows}
    lines: list[str] = []
    for period in dict.fromkeys(row.period for row in rows):
        mine = [row for row in rows if row.period == period]
        labels = list(dict.fromkeys(_label(row) for row in mine))
        labels.sort(key=lambda m: value[period, m, "global", "rmse_document"].value)
        lines += [
            f"## {period} ({mine[0].split})",
            "",
            f"{mine[0].n} frames, every {ordinal(about['every'])}. RMSE in ppm with its 95 % "
            "interval / ACC / ACC about the climatology.",
            "",
            f"| model | {' | '.join(DOCUMENT_REGIONS)} | bias (ppm) | amplitude |",
            "|---" * (len(DOCUMENT_REGIONS) + 3) + "|",
        ]
        best = _best(value, period, labels, DOCUMENT_REGIONS)
        for label in labels:
            cells = []
            for region in DOCUMENT_REGIONS:
                row = value.get((period, label, region, "rmse_document"))
                texts = [_score(row, bold=row is not None and row is best.get(region))]
                for metric in ("acc", "acc_climatology"):
                    other = value.get((period, label, region, metric))
                    texts.append("–" if other is None else f"{other.value:.3f}")
                cells.append(" / ".join(texts))
            shift = value[period, label, "global", "bias"].value
            moves = value.get((period, label, "global", "amplitude"))
            cells += [f"{shift:+.3f}", "–" if moves is None else f"{moves.value:.2f}"]
            lines.append(f"| {label} | {' | '.join(cells)} |")
        there = [p for p in PLACES if any(row.region == p for row in mine)]
        lines += [
            "",
            f"RMSE (ppm) elsewhere, {period}; distances are km from the nearest station:",
            "",
            f"| model | {' | '.join(there)} |",
            "|---" * (len(there) + 1) + "|",
        ]
        best = _best(value, period, labels, there)
        for label in labels:
            found = [value.get((period, label, place, "rmse_document")) for place in there]
            cells = [
                _plain(row, bold=row is not None and row is best.get(place))
                for place, row in zip(there, found, strict=True)
            ]
            lines.append(f"| {label} | {' | '.join(cells)} |")
        lines += ["", *_margin_lines(period, margins)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _label(row: Row) -> str:
    return f"{row.model} (all seeds)" if row.seed == ALL_SEEDS else (
        f"{row.model} (seed {row.seed})" if row.seed not in ("", "0") else row.model
    )  # fmt: skip


def _best(
    value: Mapping[tuple[str, str, str, str], Row],
    period: str,
    labels: Sequence[str],
    regions: Sequence[str],
) -> dict[str, Row]:
    out = {}
    for region in regions:
        found = [value.get((period, label, region, "rmse_document")) for label in labels]
        there = [row for row in found if row is not None]
        if there:
            out[region] = min(there, key=lambda row: row.value)
    return out


def _plain(row: Row | None, bold: bool) -> str:
    if row is None:
        return "–"
    return f"**{row.value:.3f}**" if bold else f"{row.value:.3f}"


def _score(row: Row | None, bold: bool) -> str:
    if row is None or not np.isfinite(row.low):
        return _plain(row, bold)
    return f"{_plain(row, bold)} ({row.low:.2f}–{row.high:.2f})"


def _margin_lines(period: str, margins: Sequence[Margin]) -> list[str]:
    """By how much the best model globally is below each other one."""
    mine = [m for m in margins if (m.period, m.metric) == (period, "rmse_document")]
    globe = [m for m in mine if m.region == "global"]
    if not globe:
        return []
    best = max({m.model for m in globe}, key=lambda name: sum(m.model == name for m in globe))
    others = [m.other for m in sorted(globe, key=lambda m: m.percent) if m.model == best]
    value = {(m.other, m.region): m for m in mine if m.model == best}
    there = [r for r in MARGIN_REGIONS if any(m.region == r for m in mine)]
    lines = [
        f"Per cent that {best} takes off each other model's RMSE, {period}, with paired 95 % "
        "intervals; a dash where it is not the better one:",
        "",
        f"| below | {' | '.join(there)} |",
        "|---" * (len(there) + 1) + "|",
    ]
    for other in others:
        cells = []
        for region in there:
            found = value.get((other, region))
            if found is None:
                cells.append("–")
            elif np.isfinite(found.percent_low):
                cells.append(
                    f"{found.percent:.1f} ({found.percent_low:.1f}–{found.percent_high:.1f})"
                )
            else:
                cells.append(f"{found.percent:.1f}")
        lines.append(f"| {other} | {' | '.join(cells)} |")
    return [*lines, ""]


def stations_markdown(rows: Sequence[SiteRow], about: Mapping[str, Any]) -> str:
    """Root of the mean square error over all withheld sites, with and without them as input."""
    lines = [
        "## Stations held out",
        "",
        f"{about['sites']} sites, {about['how']}; {about['frames']} frames of "
        f"{', '.join(about['periods'])}. Root mean square difference (ppm) between the field in a "
        "site's cell and what the site reports, its noise included: pooled over sites and "
        "frames, and the median site. `stations.csv` has every site.",
        "",
        "| model | withheld | median | as input | median |",
        "|---" * 5 + "|",
    ]
    found: dict[str, dict[int, list[SiteRow]]] = {}
    for row in rows:
        if row.metric == "rmse":
            label = f"{row.model}@{row.seed}" if row.seed not in ("", "0") else row.model
            found.setdefault(label, {}).setdefault(row.withheld, []).append(row)
    pooled = {
        (label, hidden): float(np.sqrt(np.average([r.value**2 for r in some],
                                                  weights=[r.n for r in some])))
        for label, both in found.items() for hidden, some in both.items()
    }  # fmt: skip
    for label in sorted(found, key=lambda name: pooled[name, 1]):
        cells = []
        for hidden in (1, 0):
            middle = float(np.median([row.value for row in found[label][hidden]]))
            cells += [f"{pooled[label, hidden]:.2f}", f"{middle:.2f}"]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def results_page(folder: Path, about: Mapping[str, Any]) -> str:
    """The page of a folder of results: what was measured on what, by which command, and tables.

    Parameters
    ----------
    folder
        Holds sections written by evaluations.
    about
        Provenance of the latest.
    """
    data = about["data"]
    simulated = (
        "**The world is simulated.** These are scores of an observing system simulation "
        "experiment: truth, weather and observations come from the nature run that this program "
        "ships, so they say how well a method rebuilds that world, and nothing about the real "
        "one. They are not the published model's and stand beside no number of its paper unless "
        "marked as another data set."
        if data["simulated"]
        else "Truth is the data set's own CO2, itself a model's product."
    )
    lines = [
        "# Results",
        "",
        "Generated; do not edit. Last made by",
        "",
        f"    {about['command']}",
        "",
        f"Data: {data['title']}, version {data['version']} ({data['digest']}), "
        f"{about['stations']} stations. Program: commit {about['commit']}. "
        f"{about['created'][:10]}. What every number means: [evaluation.md](evaluation.md).",
        "",
        simulated,
        "",
    ]
    if (folder / ABOUT).is_file() and (folder / SCORES).is_file():
        lines += _about_models(read_about(folder / SCORES), read_rows(folder / SCORES))
    for name in SECTIONS:
        if (folder / name).is_file():
            lines += [(folder / name).read_text(encoding="utf-8").rstrip("\n"), ""]
    tables = sorted((folder / "tables").glob("*.md"))
    if tables:
        lines += ["## The document's tables on this data set", ""]
        lines += [
            line for path in tables
            for line in (path.read_text(encoding="utf-8").rstrip("\n"), "")
        ]  # fmt: skip
    return "\n".join(lines[:-1]) + "\n"


def _about_models(about: Mapping[str, Any], rows: Sequence[Row]) -> list[str]:
    several = {name: seeds for name, seeds in about["seeds"].items() if len(seeds) > 1}
    lines = [
        "- RMSE is the project document's: the mean over frames of the root of the area-weighted "
        "mean square error.",
        "- ACC is the document's: anomalies about the truth's mean over the frames scored. Trend, "
        "season and the hour of the day count as anomalies, so it is high for any method that "
        "knows a climatology. The second ACC is about the climatology with the stations' level.",
        "- Amplitude is how much the cells' values move in time, the model's over the truth's.",
        "- Every model is scored on the same frames. Intervals draw weeks with replacement: they "
        "say what another sample of weather would change, not another training.",
        "- Seeds: "
        + ("; ".join(f"{name} {len(seeds)}" for name, seeds in several.items()) + "; all others one"
           if several else "one each")
        + ".",
        *_cautions(rows, about["models"]),
        "",
        "| model | preset | parameters | target | training |",
        "|---|---|---|---|---|",
    ]  # fmt: skip
    for name, part in about["models"].items():
        mark = "" if part["shipped"] else " †"
        lines.append(
            f"| {name}{mark} | {part['preset'] or '–'} | {part['parameters'] / 1e6:.2f} M "
            f"| {part['target'] or '–'} | {_training(part['trained_on'])} |"
        )
    lines.append("")
    absent = {n: part for n, part in about["models"].items() if not part["shipped"]}
    if absent:
        lines += ["† Not shipped; trained by", ""]
        lines += [f"    {part['trained_by'] or name}" for name, part in absent.items()]
        lines.append("")
    return lines


def _cautions(rows: Sequence[Row], models: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What the tables must not be read for."""
    windows = {part["trained_on"].get("windows") for part in models.values()} - {None}
    targets = {part["target"] for part in models.values() if part["target"]}
    lines = []
    if len(windows) > 1:
        lines.append(
            f"- The networks saw between {min(windows)} and {max(windows)} windows in training: "
            "their order here is no comparison of architectures."
        )
    if len(targets) > 1:
        lines.append(
            f"- Networks rebuild different targets ({', '.join(sorted(targets))}): compare those "
            "of one target to compare networks."
        )
    score = {
        (row.period, _label(row)): row.value
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


def ordinal(number: int) -> str:
    """``9th``; ``one`` for 1, to follow "every"."""
    if number == 1:
        return "one"
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 * (number // 10 % 10 != 1), "th")
    return f"{number}{suffix}"


# -- in the README --------------------------------------------------------------------------


READMES = {"en": "README.md", "zh": "README.zh.md"}
"""Language -> file that holds a table of results between `BLOCK`."""
BLOCK = ("<!-- results -->", "<!-- /results -->")

_HEADS = {"en": ("model", "target", "windows seen"), "zh": ("模型", "目标", "训练窗口数")}
_TARGETS = {
    "en": {"absolute": "absolute", "anomaly": "anomaly", "residual": "corrects interpolation"},
    "zh": {"absolute": "绝对值", "anomaly": "距平", "residual": "修正插值"},
}
_TITLES_ZH = {
    "climatology": "气候态加站点水平",
    "interpolation": "最优插值",
    "interpolation-window": "窗口最优插值",
    "kriging": "克里金插值",
}
_BELOW = {
    "en": "Global RMSE (ppm) and its 95 % interval; {frames} frames of {periods}; {title}, "
    "{version}; {seeds}.{absent} Made by `{command}` (commit {commit}).",
    "zh": "全球 RMSE（ppm）及其 95 % 区间；{periods} 年共 {frames} 帧；{title}，{version}；"
    "{seeds}。{absent}由 `{command}` 生成（提交 {commit}）。",
}
_SEEDS = {
    "en": ("one seed each", "several seeds of {names}: their means"),
    "zh": ("每个模型一个随机种子", "{names} 有多个随机种子，取平均"),
}
_ABSENT = {
    "en": " † Not shipped: [docs/results.md](docs/results.md) has the command that trains it.",
    "zh": "† 不随程序提供，训练命令见 [docs/results.md](docs/results.md)。",
}


def readme_block(rows: Sequence[Row], about: Mapping[str, Any], language: str) -> str:
    """The table of the README: global RMSE by model and period, the best in bold."""
    found: dict[str, dict[str, Row]] = {}
    several = {name for name, seeds in about["seeds"].items() if len(seeds) > 1}
    for row in rows:
        if (row.region, row.metric) == ("global", "rmse_document") and (
            row.model not in several or row.seed == ALL_SEEDS
        ):
            found.setdefault(row.model, {})[row.period] = row
    periods = list(about["periods"])
    names = sorted(found, key=lambda name: sum(row.value for row in found[name].values()))
    best = {p: min(found[name][p].value for name in names) for p in periods}
    lines = [
        f"| {' | '.join((*_HEADS[language], *periods))} |",
        "|---" * (len(periods) + len(_HEADS[language])) + "|",
    ]
    absent = False
    for name in names:
        part = next(p for key, p in about["models"].items() if key.partition("@")[0] == name)
        title = part["title"]
        if language == "zh":
            title = _TITLES_ZH.get(name, title)
        if part["preset"]:
            title += f" ({part['preset']})" if language == "en" else f"（{part['preset']}）"
        if not part["shipped"]:
            title, absent = f"{title} †", True
        target = _TARGETS[language].get(part["target"], "–")
        windows = part["trained_on"].get("windows", "–")
        cells = [_score(found[name][p], found[name][p].value == best[p]) for p in periods]
        lines.append(f"| {title} | {target} | {windows} | {' | '.join(cells)} |")
    single, many = _SEEDS[language]
    below = _BELOW[language].format(
        frames=sum(about["frames"].values()),
        periods=(" and " if language == "en" else "、").join(periods),
        title=about["data"]["title"],
        version=about["data"]["version"],
        seeds=many.format(names=", ".join(sorted(several))) if several else single,
        absent=_ABSENT[language] if absent else "",
        command=about["command"],
        commit=about["commit"],
    )
    return "\n".join([*lines, "", below])


def publish(root: Path, folder: Path) -> None:
    """Put the table of a folder of results into the READMEs, between their marks.

    Raises
    ------
    UserError
        When a README or its marks are missing.
    """
    rows, about = read_rows(folder / SCORES), read_about(folder / SCORES)
    for language, name in READMES.items():
        path = root / name
        try:
            before, _, rest = path.read_text(encoding="utf-8").partition(BLOCK[0])
        except FileNotFoundError:
            raise UserError(f"publish: there is no {path}") from None
        _, mark, after = rest.partition(BLOCK[1])
        if not mark:
            raise UserError(f"publish: {path} lacks the marks {' and '.join(BLOCK)}")
        block = readme_block(rows, about, language)
        with atomic_path(path) as draft:
            draft.write_text(f"{before}{BLOCK[0]}\n{block}\n{BLOCK[1]}{after}", encoding="utf-8")
