"""Benchmarks: what evaluations measured, with intervals, and the document's tables beside ours."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import panel as pn
from bokeh.models import ColumnDataSource, HoverTool, Range1d, Whisker
from panel.custom import Child

from co2net.assets import data_path
from co2net.errors import UserError
from co2net.evaluation import report
from co2net.evaluation.scores import ALL_SEEDS, Row
from co2net.jobs import jobs
from co2net.jobs.folder import read_json
from dashboard.components import Part, css, dropdown, js
from dashboard.maps.layers import number
from dashboard.numbers import Numbers
from dashboard.pages import Page
from dashboard.plots import chart, paint, span
from dashboard.service import Latest
from dashboard.state import World
from dashboard.theme import line

if TYPE_CHECKING:
    from dashboard.session import Session

SHIPPED = "shipped"
"""Name of the results that lie in ``data/benchmarks``."""
PLACES = {
    "main": ("global", "ocean", "land", "eurasia"),
    "latitude": (
        "lat_60N_90N", "lat_30N_60N", "lat_0_30N", "lat_30S_0", "lat_60S_30S", "lat_90S_60S",
    ),
    "stations": ("station_cells", "no_station", "dist_0_500", "dist_500_1500", "dist_1500_up"),
}  # fmt: skip
"""Groups of regions; ``named`` are all others."""
GROUPS = (*PLACES, "named")
METRICS = ("rmse_document", "rmse", "bias", "acc", "acc_climatology")
UNITLESS = ("acc", "acc_climatology")
_HIGH = ("acc", "acc_climatology")  # the higher the better; of the others the nearer to zero


class BenchmarksPart(Part):
    """Tables and the chart.

    Told: ``table``, ``about``, ``ablations``, ``heading``, ``empty``.
    """

    chart = Child()

    _esm = js("parts", "benchmarks")
    _stylesheets: ClassVar[list[str]] = css("base", "benchmarks")


# -- files ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Results:
    """Results of an evaluation, as they lie in a folder.

    Parameters
    ----------
    rows
        Scores; empty where the folder has none.
    about
        What made them.
    tables
        Rows of the document's tables, as `co2net.evaluation.tables.table_lines` wrote them.
    origins : table -> provenance
        What made each of them.
    faults
        Files that could not be read, one line each.
    """

    rows: tuple[Row, ...] = ()
    about: Mapping[str, Any] | None = None
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
    return Results(tuple(rows), about, tuple(tables), origins, tuple(faults))


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
    return -value if metric in _HIGH else abs(value)


# -- the page ---------------------------------------------------------------------------------


class BenchmarksView:
    """The page of one session."""

    furniture: frozenset[str] = frozenset()
    inspector_open = False

    def __init__(self, session: Session) -> None:
        self.session = session
        t = session.t
        self._results = Results()
        self._file = ""
        self._work: Latest[Any] = Latest(session.service.quick, session.deliver)
        self._plot = self._figure()
        self.board = BenchmarksPart(
            self._said,
            strings=t.section("bench"),
            chart=pn.pane.Bokeh(self._plot, sizing_mode="stretch_both"),
            sizing_mode="stretch_both",
        )
        self._pick = {
            name: dropdown(name, t(f"bench.{name}"), width, partial(self._picked, name), options={})
            for name, width in (("scores", 250), ("metric", 220), ("period", 130), ("places", 190))
        }
        self.toolbar = pn.FlexBox(
            *self._pick.values(), gap="8px", sizing_mode="stretch_width", margin=0
        )

    def _figure(self) -> Any:
        plot = chart("bench-chart", x_label="ppm", y_factors=[])
        self._data = ColumnDataSource(
            {k: [] for k in ("model", "value", "low", "high", "colour", "text", "label")}
        )
        self._whisker = Whisker(
            source=self._data,
            base="model",
            lower="low",
            upper="high",
            dimension="width",
            line_color="colour",
            line_width=2,
        )
        for head in (self._whisker.upper_head, self._whisker.lower_head):
            head.update(size=8, line_color="colour")
        plot.add_layout(self._whisker)
        dots = plot.scatter(
            "value", "model", source=self._data, size=10, fill_color="colour", line_color=None
        )
        plot.add_tools(HoverTool(renderers=[dots], tooltips=[("@label", "@text")]))
        plot.ygrid.visible = False
        return plot

    # -- choices ------------------------------------------------------------------------

    @property
    def title(self) -> str:
        """See `dashboard.pages.View`."""
        return self.session.t("page.benchmarks")

    def judged(self) -> tuple[str, ...]:
        """See `dashboard.pages.View`."""
        return ()

    def judged_now(self, numbers: Numbers) -> None:
        """See `dashboard.pages.View`."""

    def _picked(self, name: str, value: Any) -> None:
        if value is not None and value != self._choice().get(name):
            self.session.state.keep(**{name: str(value)})

    def _said(self, message: dict[str, Any]) -> None:
        if "sort" in message:
            key, chosen = str(message["sort"])[:60], self._choice()
            down = key == chosen["sort"] and chosen["order"] != "down"
            self.session.state.keep(sort=key, order="down" if down else "")

    def _choice(self) -> dict[str, str]:
        """What is shown: the words of the address, or what suits the file."""
        words, rows = self.session.state.details, self._results.rows
        periods = list(dict.fromkeys(row.period for row in rows))
        metrics = [key for key in METRICS if any(row.metric == key for row in rows)]
        groups = [key for key in GROUPS if regions_of(rows, key)]

        def one(name: str, there: Sequence[str]) -> str:
            word = words.get(name, "")
            return word if word in there else (there[0] if there else "")

        chosen = {
            "scores": words.get("scores", SHIPPED),
            "period": one("period", periods),
            "metric": one("metric", metrics),
            "places": one("places", groups),
        }
        places = regions_of(rows, chosen["places"])
        chosen["sort"] = one("sort", [*places, "model"] if places else [])
        chosen["order"] = words.get("order", "up")
        return chosen

    # -- following the state ------------------------------------------------------------

    def update(self, changed: set[str]) -> None:
        """See `dashboard.pages.View`."""
        if changed & {"theme"}:
            paint(self._plot, self.session.state.theme)
        file = self.session.state.details.get("scores", SHIPPED)
        if file != self._file or "models" in changed:
            self._work.submit(partial(_read, file), self._take)
        elif changed & {"details", "theme"}:
            self._draw()

    def _take(self, found: tuple[str, dict[str, Path], Results]) -> None:
        self._file, places, self._results = found
        t = self.session.t
        names = {
            (t("bench.shipped") if key == SHIPPED else t("bench.job", id=key)): key
            for key in places
        }
        self._pick["scores"].param.update(options=names, value=self._file)
        self._draw()

    def _draw(self) -> None:
        session, t, rows = self.session, self.session.t, averaged(self._results.rows)
        chosen = self._choice()
        periods = list(dict.fromkeys(row.period for row in rows))
        roles = {row.period: row.split for row in rows}
        metrics = [key for key in METRICS if any(row.metric == key for row in rows)]
        groups = [key for key in GROUPS if regions_of(rows, key)]
        for name, options in {
            "period": {
                f"{p} ({t.or_else(f'bench.role_{roles[p]}', roles[p])})": p for p in periods
            },
            "metric": {t(f"bench.{key}"): key for key in metrics},
            "places": {t(f"bench.places_{key}"): key for key in groups},
        }.items():
            self._pick[name].param.update(options=options, value=chosen[name] or None)
            self._pick[name].visible = bool(options)
        shown = [
            row for row in rows if (row.period, row.metric) == (chosen["period"], chosen["metric"])
        ]
        empty = t("bench.empty") if not rows else ""
        self.board.tell(
            empty=empty,
            faults=list(self._results.faults),
            table=self._table(shown, chosen) if rows else None,
            about=self._about(),
            ablations=self._ablations(),
        )
        self._draw_chart(shown, chosen)
        session.shell.tell(title=f"{self.title} · co2net")

    def place(self, key: str) -> str:
        """What a region is called."""
        t = self.session.t
        if key.startswith("lat_"):
            south, north = (_parallel(word) for word in key.split("_")[1:3])
            return f"{south} – {north}"
        return t.or_else(f"region.{key}", t.or_else(f"bench.place_{key}", key))

    def _models(self, shown: Sequence[Row], chosen: Mapping[str, str]) -> list[str]:
        """Models in the order of the table."""
        models = list(dict.fromkeys(row.model for row in shown))
        down = chosen["order"] == "down"
        if chosen["sort"] == "model":
            return sorted(models, reverse=down)
        value = {row.model: row.value for row in shown if row.region == chosen["sort"]}
        models.sort(
            key=lambda name: rank(value.get(name, math.nan), chosen["metric"]), reverse=down
        )
        return models

    def _table(self, shown: Sequence[Row], chosen: Mapping[str, str]) -> dict[str, Any]:
        session, t = self.session, self.session.t
        places = regions_of(shown, chosen["places"])
        metric = chosen["metric"]
        by = {(row.model, row.region): row for row in shown}
        best = {
            key: min(
                (row.model for row in shown if row.region == key),
                key=lambda name, key=key: rank(by[name, key].value, metric),  # type: ignore[misc]
                default="",
            )
            for key in places
        }
        lines = []
        for model in self._models(shown, chosen):
            cells = []
            for key in places:
                row = by.get((model, key))
                cells.append(
                    {
                        "value": "–" if row is None else number(row.value, _digits(metric)),
                        "interval": "" if row is None else _interval(row),
                        "best": model == best[key] and len(best) > 0,
                    }
                )
            lines.append(
                {
                    "model": model,
                    "label": session.layer_name(model),
                    "colour": line(model, session.state.theme).colour,
                    "cells": cells,
                }
            )
        counts = sorted({row.n for row in shown})
        unit = "" if metric in UNITLESS else " (ppm)"
        words = [f"{t(f'bench.{metric}')}{unit}", chosen["period"]]
        if counts:
            words.append(t("bench.frames", n=" / ".join(str(n) for n in counts)))
        if self._simulated():
            words.append(t("map.simulated"))
        return {
            "caption": " · ".join(words),
            "hint": t(f"bench.{metric}_hint"),
            "columns": [{"key": key, "label": self.place(key)} for key in places],
            "rows": lines,
            "sort": chosen["sort"],
            "order": "descending" if chosen["order"] == "down" else "ascending",
        }

    def _draw_chart(self, shown: Sequence[Row], chosen: Mapping[str, str]) -> None:
        session, t = self.session, self.session.t
        places = regions_of(shown, chosen["places"])
        key = chosen["sort"] if chosen["sort"] in places else (places[0] if places else "")
        by = {row.model: row for row in shown if row.region == key}
        models = [name for name in self._models(shown, chosen) if name in by][::-1]
        labels = [session.layer_name(name) for name in models]
        theme = session.state.theme
        values = [by[name].value for name in models]
        low = [_bound(by[name].low, by[name].value) for name in models]
        high = [_bound(by[name].high, by[name].value) for name in models]
        self._plot.y_range.factors = labels
        digits = _digits(chosen["metric"])
        self._data.data = {
            "model": labels,
            "label": labels,
            "value": values,
            "low": low,
            "high": high,
            "colour": [line(name, theme).colour for name in models],
            "text": [f"{number(by[n].value, digits)} {_interval(by[n])}" for n in models],
        }
        unit = "" if chosen["metric"] in UNITLESS else " (ppm)"
        if chosen["metric"]:
            self._plot.xaxis.axis_label = t(f"bench.{chosen['metric']}") + unit
        axis = self._plot.x_range
        assert isinstance(axis, Range1d)
        span(axis, [*values, *low, *high], 0.1, zero=chosen["metric"] not in UNITLESS)
        paint(self._plot, theme)
        words = [self.place(key), chosen["period"]] if key else []
        if key and self._simulated():
            words.append(t("map.simulated"))
        self.board.tell(chart=" · ".join(words))

    def _simulated(self) -> bool:
        about = self._results.about or {}
        return bool((about.get("data") or {}).get("simulated", False))

    def _about(self) -> list[list[str]]:
        """What made the scores, as pairs of words."""
        about, t = self._results.about, self.session.t
        if about is None:
            return []
        data = about.get("data") or {}
        made = about.get("provenance") or {}
        pairs = [
            (t("bench.data"), f"{data.get('title', '')}, {data.get('version', '')}"),
            (t("bench.simulated"), t("bench.yes" if data.get("simulated") else "bench.no")),
            (t("bench.digest"), str(data.get("digest", ""))),
            (t("bench.command"), str(about.get("command", ""))),
            (t("bench.commit"), str(about.get("commit") or made.get("commit", ""))),
            (t("bench.created"), str(about.get("created", ""))),
            (t("bench.every"), str(about.get("every", ""))),
            (t("bench.bootstrap"), _words(about.get("bootstrap"))),
        ]
        models = about.get("models") or {}
        for name, model in models.items() if isinstance(models, Mapping) else ():
            pairs.append((self.session.layer_name(str(name)), _words(model)))
        return [[name, text] for name, text in pairs if text]

    def _ablations(self) -> list[dict[str, Any]]:
        """The document's tables: ours and theirs, side by side."""
        t = self.session.t
        out = []
        keys = dict.fromkeys(entry["table"] for entry in self._results.tables)
        for key in keys:
            entries = [entry for entry in self._results.tables if entry["table"] == key]
            metrics = dict.fromkeys((entry["region"], entry["metric"]) for entry in entries)
            periods = list(dict.fromkeys(entry.get("period", "") for entry in entries))
            rows = []
            for name, period in dict.fromkeys((e["row"], e.get("period", "")) for e in entries):
                mine = {
                    (e["region"], e["metric"]): e
                    for e in entries
                    if (e["row"], e.get("period", "")) == (name, period)
                }
                first = next(iter(mine.values()))
                cells = []
                for pair in metrics:
                    found = mine.get(pair)
                    digits = _digits(pair[1])
                    cells.append(
                        {
                            "value": _number(found, "value", digits),
                            "interval": _file_interval(found, digits),
                            "document": _number(found, "document", 2),
                        }
                    )
                label = name if len(periods) < 2 else f"{name}, {period}"
                rows.append({"name": label, "setting": first.get("setting", ""), "cells": cells})
            data = self._results.origins[key].get("data") or {}
            words = [t("bench.table", name=key), t("bench.ours_on", title=data.get("title", "–"))]
            if data.get("simulated"):
                words.append(t("map.simulated"))
            out.append(
                {
                    "title": " · ".join(words),
                    "columns": [
                        f"{self.place(region)} · {t.or_else(f'bench.short_{metric}', metric)}"
                        for region, metric in metrics
                    ],
                    "rows": rows,
                }
            )
        return out


def _read(file: str) -> tuple[str, dict[str, Path], Results]:
    places = folders()
    file = file if file in places else SHIPPED
    return file, places, read_results(places[file])


def _digits(metric: str) -> int:
    return 3 if metric in UNITLESS else 2


def _interval(row: Row) -> str:
    if math.isnan(row.low) or math.isnan(row.high):
        return ""
    digits = _digits(row.metric)
    return f"[{number(row.low, digits)}, {number(row.high, digits)}]"


def _bound(bound: float, value: float) -> float:
    return value if math.isnan(bound) else bound


def _number(entry: Mapping[str, str] | None, name: str, digits: int) -> str:
    try:
        return number(float((entry or {}).get(name) or "nan"), digits)
    except ValueError:
        return number(math.nan, digits)


def _file_interval(entry: Mapping[str, str] | None, digits: int) -> str:
    low, high = _number(entry, "low", digits), _number(entry, "high", digits)
    return "" if "–" in (low, high) else f"[{low}, {high}]"


def _words(value: Any) -> str:
    """A value of the provenance on one line."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_words(one)}" for key, one in value.items() if one is not None)
    if isinstance(value, list | tuple):
        return ", ".join(_words(one) for one in value)
    return f"{value:g}" if isinstance(value, float) and np.isfinite(value) else str(value)


def _parallel(word: str) -> str:
    return "0°" if word == "0" else f"{word[:-1]}°{word[-1]}"


def _word(word: str, world: World) -> str:
    """A name of a file's; whether the file has it is seen when it is read."""
    if not word or len(word) > 60 or not word.isprintable():
        raise ValueError(word)
    return word


def _metric(word: str, world: World) -> str:
    if word not in METRICS:
        raise ValueError(word)
    return word


def _group(word: str, world: World) -> str:
    if word not in GROUPS:
        raise ValueError(word)
    return word


def _order(word: str, world: World) -> str:
    if word != "down":
        raise ValueError(word)
    return word


def _scores(word: str, world: World) -> str:
    if word not in folders():
        raise ValueError(word)
    return word


PAGE = Page(
    "benchmarks",
    BenchmarksView,
    {
        "scores": _scores,
        "metric": _metric,
        "period": _word,
        "places": _group,
        "sort": _word,
        "order": _order,
    },
)
