"""Benchmarks: what evaluations measured, with intervals, and the document's tables beside ours."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import panel as pn
from bokeh.models import ColumnDataSource, HoverTool, Range1d, Whisker
from panel.custom import Child

from co2net.evaluation.scores import Row
from dashboard.components import ONE_ROW, Part, css, dropdown, js
from dashboard.i18n import Translator
from dashboard.maps.layers import number
from dashboard.numbers import Numbers
from dashboard.pages import Page
from dashboard.plots import chart, paint, span
from dashboard.results import (
    GROUPS,
    KINDS,
    METRICS,
    SHIPPED,
    UNITLESS,
    Results,
    Selection,
    column_name,
    folders,
    kinds_of,
    percent,
    read_results,
    references,
    select,
)
from dashboard.service import Latest
from dashboard.state import World
from dashboard.theme import line

if TYPE_CHECKING:
    from dashboard.session import Session


WIDTHS = {
    "scores": 205, "kind": 175, "against": 140, "metric": 215, "period": 126, "places": 180,
}  # fmt: skip
"""Lists of the tool bar, and their widths in pixels."""


class BenchmarksPart(Part):
    """Tables and the chart.

    Told: ``table``, ``about``, ``ablations``, ``heading``, ``empty``.
    """

    chart = Child()

    _esm = js("news", "parts", "benchmarks")
    _stylesheets: ClassVar[list[str]] = css("base", "benchmarks")


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
            for name, width in WIDTHS.items()
        }
        self.toolbar = pn.FlexBox(
            *self._pick.values(),
            gap="8px",
            sizing_mode="stretch_width",
            margin=0,
            stylesheets=[ONE_ROW],
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
        now = self.session.state.details.get("scores", SHIPPED) if name == "scores" else getattr(
            self._selected(), name)  # fmt: skip
        if value != now:
            self.session.state.keep(**{name: str(value)})

    def _said(self, message: dict[str, Any]) -> None:
        if "sort" in message:
            key, chosen = str(message["sort"])[:60], self._selected()
            down = key == chosen.sort and not chosen.down
            self.session.state.keep(sort=key, order="down" if down else "")

    def _selected(self) -> Selection:
        return select(self._results, self.session.state.details)

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
        session, t, results = self.session, self.session.t, self._results
        chosen = self._selected()
        others = references(results) if chosen.kind == "margins" else ()
        held = {session.layer_name(key): key for key in others}
        for name, options in {
            "kind": {t(f"bench.kind_{key}"): key for key in kinds_of(results)},
            "against": held,
            "period": {
                f"{p} ({t.or_else(f'bench.role_{role}', role)})": p
                for p, role in chosen.periods.items()
            },
            "metric": {t(f"bench.{key}"): key for key in chosen.metrics},
            "places": {t(f"bench.places_{key}"): key for key in chosen.groups},
        }.items():
            self._pick[name].param.update(options=options, value=getattr(chosen, name) or None)
            self._pick[name].visible = bool(options)
        self.board.tell(
            empty="" if chosen.kind else t("bench.empty"),
            faults=list(results.faults),
            table=self._table(chosen) if chosen.kind else None,
            about=self._about(chosen),
            ablations=self._ablations(),
        )
        self._draw_chart(chosen)
        session.shell.tell(title=f"{self.title} · co2net")

    def _table(self, chosen: Selection) -> dict[str, Any]:
        session, t = self.session, self.session.t
        by = {(row.model, row.region): row for row in chosen.shown}
        best = {key: chosen.best(key) for key in chosen.columns}
        lines = [
            {
                "model": model,
                "label": session.layer_name(model),
                "colour": line(model, session.state.theme).colour,
                "cells": [
                    self._cell(chosen, by.get((model, key)), best[key]) for key in chosen.columns
                ],
            }
            for model in chosen.models
        ]
        return {
            "caption": self._caption(chosen),
            "hint": self._hint(chosen),
            "columns": [{"key": key, "label": column_name(key, t)} for key in chosen.columns],
            "rows": lines,
            "sort": chosen.sort,
            "order": "descending" if chosen.down else "ascending",
        }

    def _cell(self, chosen: Selection, row: Row | None, best: str) -> dict[str, Any]:
        if row is None:
            return {"value": "–", "interval": "", "best": False}
        signed = chosen.kind == "margins" or chosen.metric in ("bias", "change")
        words = [_interval(row)]
        if chosen.kind == "margins":
            share = percent(chosen.results, chosen.against, row)
            words += [] if math.isnan(share) else [f"{share:.0f} %"]
        return {
            "value": number(row.value, _digits(chosen.metric), signed=signed),
            "interval": " · ".join(word for word in words if word),
            "best": row.model == best,
        }

    def _caption(self, chosen: Selection) -> str:
        """What the table shows: score, unit, of what, how much of it, and whether simulated."""
        t, metric = self.session.t, chosen.metric
        words = [t(f"bench.{metric}") + ("" if metric in UNITLESS else " (ppm)")]
        if chosen.kind == "margins":
            words.insert(0, t("bench.less", model=self.session.layer_name(chosen.against)))
        elif chosen.kind != "scores":
            words.insert(0, t(f"bench.kind_{chosen.kind}"))
        words += [chosen.period] if chosen.period else []
        counts = sorted({row.n for row in chosen.shown if row.region in chosen.columns})
        if counts:
            key = {"cases": "days", "sites": "stations"}.get(chosen.kind, "frames")
            few = f"{counts[0]}–{counts[-1]}" if len(counts) > 3 else " / ".join(map(str, counts))
            words.append(t(f"bench.{key}", n=few))
        if chosen.simulated:
            words.append(t("map.simulated"))
        return " · ".join(words)

    def _hint(self, chosen: Selection) -> str:
        t = self.session.t
        if chosen.kind == "margins":
            return t("bench.margins_hint", model=self.session.layer_name(chosen.against))
        own = t.or_else(f"bench.{chosen.metric}_hint_{chosen.kind}", "")
        return own or t(f"bench.{chosen.metric}_hint")

    def _draw_chart(self, chosen: Selection) -> None:
        session, t, key = self.session, self.session.t, chosen.chosen
        by = {row.model: row for row in chosen.shown if row.region == key}
        models = [name for name in chosen.models if name in by][::-1]
        theme = session.state.theme
        values = [by[name].value for name in models]
        digits = _digits(chosen.metric)
        out = _far_out(values)
        labels = [session.layer_name(name) for name in models]
        for n in out:
            labels[n] += f" ▸ {number(values[n], digits)}"
        low = [_bound(by[name].low, by[name].value) for name in models]
        high = [_bound(by[name].high, by[name].value) for name in models]
        self._plot.y_range.factors = labels
        self._data.data = {
            "model": labels,
            "label": labels,
            "value": values,
            "low": low,
            "high": high,
            "colour": [line(name, theme).colour for name in models],
            "text": [f"{number(by[n].value, digits)} {_interval(by[n])}" for n in models],
        }
        unit = "" if chosen.metric in UNITLESS else " (ppm)"
        if chosen.metric:
            self._plot.xaxis.axis_label = t(f"bench.{chosen.metric}") + unit
        axis = self._plot.x_range
        assert isinstance(axis, Range1d)
        near = [[low[n], values[n], high[n]] for n in range(len(values)) if n not in out]
        span(axis, near, 0.1, zero=chosen.metric not in UNITLESS)
        paint(self._plot, theme)
        words = [column_name(key, t), chosen.period] if key else []
        if key and chosen.simulated:
            words.append(t("map.simulated"))
        self.board.tell(chart=" · ".join(word for word in words if word))

    def _about(self, chosen: Selection) -> list[list[str]]:
        """What made the scores, as pairs of words."""
        about, t = chosen.about, self.session.t
        if about is None:
            return []
        data = about.get("data") or {}
        made = about.get("provenance") or {}
        pairs = [
            (t("bench.data"), f"{t.told(data.get('title', ''))}, {data.get('version', '')}"),
            (t("bench.simulated"), t("bench.yes" if data.get("simulated") else "bench.no")),
            (t("bench.digest"), str(data.get("digest", ""))),
            (t("bench.command"), str(about.get("command", ""))),
            (t("bench.commit"), str(about.get("commit") or made.get("commit", ""))),
            (t("bench.created"), str(about.get("created", ""))),
            (t("bench.every"), str(about.get("every", ""))),
            (t("bench.how"), str(about.get("how", ""))),
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
                label = t.or_else(f"bench.row_{'_'.join(re.findall('[a-z]+', name))}", name)
                label += "" if len(periods) < 2 else f", {period}"
                setting = ", ".join(
                    _setting(one, t) for one in first.get("setting", "").split(", ")
                )
                rows.append({"name": label, "setting": setting, "cells": cells})
            data = self._results.origins[key].get("data") or {}
            words = [
                t("bench.table", name=key),
                t("bench.ours_on", title=t.told(data.get("title", "–"))),
            ]
            if data.get("simulated"):
                words.append(t("map.simulated"))
            out.append(
                {
                    "title": " · ".join(words),
                    "columns": [
                        f"{column_name(region, t)} · {t.or_else(f'bench.short_{metric}', metric)}"
                        for region, metric in metrics
                    ],
                    "rows": rows,
                }
            )
        return out


def _setting(text: str, t: Translator) -> str:
    """One setting of a row: what the evaluation calls it, or the name and value of an option."""
    known = t.told(text)
    name, _, value = text.partition(" ")
    if known != text or not value:
        return known
    wording = t.or_else(f"bench.option_{name}", "")
    return wording.format(value=t.or_else(f"bench.value_{value.lower()}", value)) or text


def _read(file: str) -> tuple[str, dict[str, Path], Results]:
    places = folders()
    file = file if file in places else SHIPPED
    return file, places, read_results(places[file])


def _digits(metric: str) -> int:
    return 3 if metric in UNITLESS else 2


def _far_out(values: Sequence[float]) -> set[int]:
    """Places of values beside which the others could not be told apart: each is more than 2.5 times
    the next in size. The chart names them beyond its edge; two values always stay.
    """
    sizes = np.nan_to_num(np.abs(np.asarray(values, dtype=np.float64)))
    order = [int(n) for n in np.argsort(-sizes, kind="stable")]
    count = 0
    while len(order) - count > 2 and sizes[order[count]] > 2.5 * sizes[order[count + 1]] > 0:
        count += 1
    return set(order[:count])


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


def _word(word: str, world: World) -> str:
    """A name of a file's; whether the file has it is seen when it is read."""
    if not word or len(word) > 60 or not word.isprintable():
        raise ValueError(word)
    return word


def _kind(word: str, world: World) -> str:
    if word not in KINDS:
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
        "kind": _kind,
        "against": _word,
        "metric": _metric,
        "period": _word,
        "places": _group,
        "sort": _word,
        "order": _order,
    },
)
