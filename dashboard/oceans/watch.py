"""Two panels of Oceans that watch over years: acidity at reefs, and El Nino."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, Span

from co2net.errors import UserError
from co2net.inference import TRUTH
from co2net.ocean import acidity, enso
from co2net.ocean.basins import reefs
from co2net.ocean.engine import Ocean
from dashboard.maps.figures import tooltip
from dashboard.maps.layers import number
from dashboard.oceans.charts import Lines, broken, interval, placed
from dashboard.oceans.layers import PHASES, SHOWN
from dashboard.oceans.panels import LEAST, Panel, Show, Subject, Tell
from dashboard.oceans.wording import OceanWording
from dashboard.plots import chart, paint, span
from dashboard.theme import TOKENS

_WARM, _COLD = "#D55E00", "#0072B2"


@dataclass
class ReefsFound:
    """What is watched at every reef, by name; and why a model is not there."""

    watches: dict[str, dict[str, acidity.ReefWatch]] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)


class AcidityPanel(Panel):
    """Reefs: saturation of aragonite and pH with trends, thresholds and risk."""

    key = "acidity"
    heights = (200, 150)

    def __init__(self, words: OceanWording) -> None:
        super().__init__(words)
        lang = words.session.state.lang
        self._lines = []
        for quantity in ("aragonite", "ph"):
            label = words.session.t(f"oceans.reef_{quantity}")
            plot = chart(f"ocean-{quantity}", y_label=label, time=lang)
            self._lines.append(Lines(plot, "@x{%Y-%m}", {"@x": "datetime"}))
            self.plots.append(plot)
        self._limits = [
            Span(location=limit, dimension="width", line_width=1.4, line_dash="dashed")
            for limit in acidity.RISK
        ]
        for limit in self._limits:
            self.plots[0].add_layout(limit)

    def asked(self, subject: Subject) -> tuple[Any, ...]:
        """See `Panel`."""
        return subject.models, subject.count

    def compute(self, ocean: Ocean, subject: Subject, tell: Tell, show: Show) -> None:
        """See `Panel`."""
        found = ReefsFound()
        keys = list(reefs())
        for n, name in enumerate(subject.names):

            def part(share: float, _: str, n: int = n, name: str = name) -> None:
                tell((n + share) / len(subject.names), name)

            part(0.0, "")
            try:
                watches = acidity.watch(ocean, name, progress=part)
            except UserError as error:
                if name == TRUTH:
                    raise
                found.faults[name] = str(error)
                continue
            found.watches[name] = dict(zip(keys, watches, strict=True))
            show(found)

    def draw(self, subject: Subject) -> dict[str, Any]:
        """See `Panel`."""
        words, t, theme = self.words, self.words.session.t, self.words.session.state.theme
        found: ReefsFound | None = self.found
        watches = {} if found is None else {k: v[subject.reef] for k, v in found.watches.items()}
        names = [name for name in subject.names if name in watches]
        labels = self._labels(names)
        axis = broken(watches[TRUTH].months) if watches else np.array([], "datetime64[M]")
        stamps = axis.astype("datetime64[ms]")
        for lines, quantity, digits in zip(self._lines, ("aragonite", "ph"), (2, 3), strict=True):
            values = {
                name: placed(axis, one.months, getattr(one, quantity))
                for name, one in watches.items()
            }
            lines.show(names, labels, stamps, values, "", digits)
            lines.paint(theme)
            if axis.size:
                first, last = (float(one) for one in stamps[[0, -1]].astype(np.int64))
                pad = max(0.02 * (last - first), 8.64e7)
                lines.plot.x_range.update(start=first - pad, end=last + pad)
                # The nearest threshold is on the axis, so that it can be seen how far it is.
                here = np.concatenate(list(values.values()))
                if quantity == "aragonite":
                    middle = float(np.nanmean(here))
                    near = min(acidity.RISK, key=lambda limit: abs(limit - middle))
                    here = np.append(here, near)
                span(lines.plot.y_range, here, LEAST[quantity])
        self.paint(theme)
        title = t("oceans.acidity_title", place=words.place(subject.reef))
        meta = self._meta(t("oceans.acidity_meta"))
        notes = [
            t(
                "oceans.risk_note",
                **dict(zip(("high", "middle", "low"), acidity.RISK, strict=True)),
            ),
            t("oceans.sea_follows"),
        ]
        if watches and not np.isfinite(watches[TRUTH].ph_trend.per_decade):
            notes.insert(0, t("oceans.no_reef_trend", years=f"{acidity.SHORTEST_TREND:.0f}"))
        return {
            "head": {"title": title, "meta": meta},
            "tables": self._tables(subject, names),
            "notes": notes,
            "choices": {},
        }

    def _tables(self, subject: Subject, names: Sequence[str]) -> list[dict[str, Any]]:
        t, found = self.words.session.t, self.found
        if found is None or not names:
            return []

        def trend(one: acidity.Trend, digits: int) -> str:
            if not np.isfinite(one.per_decade):
                return "–"
            reach = (one.high - one.low) / 2
            return f"{number(one.per_decade, digits, signed=True)} ±\u00a0{number(reach, digits)}"

        def risk(one: acidity.ReefWatch) -> str:
            return t(f"oceans.risk_{one.risk_label}")

        def cells(one: acidity.ReefWatch) -> list[str]:
            return [
                number(float(np.mean(one.aragonite[-12:])), 2),
                trend(one.aragonite_trend, 3),
                number(float(np.mean(one.ph[-12:])), 3),
                trend(one.ph_trend, 4),
                risk(one),
            ]

        columns = [
            t(f"oceans.reef_{key}") for key in ("aragonite", "aragonite_trend", "ph", "ph_trend",
                                                "risk")
        ]  # fmt: skip
        truth = found.watches.get(TRUTH, {})
        every = [
            {
                "label": self.words.place(key),
                "reef": key,
                "on": key == subject.reef,
                "cells": cells(one),
            }
            for key, one in truth.items()
        ]
        caption = t("oceans.reefs", name=self.words.session.layer_name(TRUTH))
        tables = [{"caption": caption, "columns": columns, "rows": every}]
        rows = [
            self._row(name, self._apart(found.watches[name][subject.reef], truth[subject.reef]))
            for name in names
            if name != TRUTH
        ]
        if rows:
            columns = [t(f"oceans.{key}") for key in ("months", "aragonite_apart", "ph_apart")]
            caption = t("oceans.reef_models", place=self.words.place(subject.reef))
            tables.insert(0, {"caption": caption, "columns": columns, "rows": rows})
        return tables

    @staticmethod
    def _apart(one: acidity.ReefWatch, truth: acidity.ReefWatch) -> list[str]:
        """How many months a model has, and its mean difference from the truth in them."""
        _, mine, its = np.intersect1d(one.months, truth.months, return_indices=True)
        return [
            f"{mine.size}",
            number(float(np.mean(one.aragonite[mine] - truth.aragonite[its])), 4, signed=True),
            number(float(np.mean(one.ph[mine] - truth.ph[its])), 5, signed=True),
        ]

    def paint(self, theme: str) -> None:
        """See `Panel`."""
        for lines in self._lines:
            lines.paint(theme)
        for limit in self._limits:
            limit.line_color = TOKENS[theme]["warn"]


@dataclass
class NinoFound:
    """The index, and how the tropical Pacific answers to it, by name."""

    nino: enso.Nino
    responses: dict[str, enso.Response] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)


def answering(quantity: str) -> str:
    """The quantity whose answer to El Nino is shown beside a map."""
    return "co2" if quantity in ("co2", "pco2_air") else "flux"


class NinoPanel(Panel):
    """El Nino: the index, and the regression of CO2 or flux on it by lag."""

    key = "nino"
    heights = (190, 210)

    def __init__(self, words: OceanWording) -> None:
        super().__init__(words)
        t, lang = words.session.t, words.session.state.lang
        index = chart("ocean-nino", y_label=t("oceans.nino_axis"), time=lang)
        self._index = ColumnDataSource({"x": [], "value": [], "colour": []})
        bars = index.vbar(
            "x", top="value", width=2.6e9, source=self._index, fill_color="colour", line_color=None
        )
        self._hover = HoverTool(renderers=[bars], mode="vline", formatters={"@x": "datetime"})
        index.add_tools(self._hover)
        self._spans = [
            Span(location=place, dimension="width", line_dash="dashed" if place else "solid")
            for place in (0.0, enso.THRESHOLD, -enso.THRESHOLD)
        ]
        for one in self._spans:
            index.add_layout(one)
        lags = chart("ocean-lags", t("oceans.lag_axis"))
        self._lines = Lines(lags, t("oceans.lag_of"), bands=True)
        self._none = Span(location=0, dimension="width", line_width=1)
        lags.add_layout(self._none)
        self.plots = [index, lags]

    def asked(self, subject: Subject) -> tuple[Any, ...]:
        """See `Panel`."""
        return answering(subject.quantity), subject.models, subject.count

    def compute(self, ocean: Ocean, subject: Subject, tell: Tell, show: Show) -> None:
        """See `Panel`."""
        quantity = answering(subject.quantity)
        found = NinoFound(enso.nino34(ocean))
        show(found)
        for n, name in enumerate(subject.names):

            def part(share: float, _: str, n: int = n, name: str = name) -> None:
                tell((n + share) / len(subject.names), name)

            part(0.0, "")
            try:
                found.responses[name] = enso.response(ocean, quantity, name, progress=part)
            except UserError as error:
                found.faults[name] = str(error)
            show(found)

    def draw(self, subject: Subject) -> dict[str, Any]:
        """See `Panel`."""
        words, t, theme = self.words, self.words.session.t, self.words.session.state.theme
        found: NinoFound | None = self.found
        quantity = answering(subject.quantity)
        responses = {} if found is None else found.responses
        names = [name for name in subject.names if name in responses]
        if found is not None:
            nino = found.nino
            x = nino.months.astype("datetime64[ms]")
            colours = np.where(nino.smoothed >= 0, _WARM, _COLD)
            self._index.data = {"x": x, "value": nino.smoothed, "colour": colours}
            first, last = (float(one) for one in x[[0, -1]].astype(np.int64))
            self.plots[0].x_range.update(start=first - 3e9, end=last + 3e9)
            span(self.plots[0].y_range, nino.smoothed, 2.4, zero=True)
        lags = responses[names[0]].lags.astype(float) if names else np.array([])
        shown = SHOWN[quantity]
        unit = f"{shown.unit}/K"
        self._lines.show(
            names,
            self._labels(names),
            lags,
            {name: one.slope for name, one in responses.items()},
            unit,
            3,
            {name: (one.low, one.high) for name, one in responses.items()},
        )
        self._lines.paint(theme)
        self.plots[1].yaxis.axis_label = unit
        if names:
            self.plots[1].x_range.update(start=-0.6, end=float(lags[-1]) + 0.6)
            ends = [[one.low, one.high] for one in responses.values()]
            span(self.plots[1].y_range, ends, 0.01, zero=True)
        self.paint(theme)
        notes = [t("oceans.nino_how", threshold=f"{enso.THRESHOLD:g}"), t("oceans.lag_how")]
        if found is not None:
            nino, told = found.nino, t.told
            sources = {one.source for one in found.responses.values()}
            notes[:0] = [
                *(
                    t("oceans.months_of", phase=t(f"oceans.{name}"), count=when.size,
                      months=words.months(when))
                    for name, when in (("warm", nino.months[nino.phase > 0]),
                                       ("cold", nino.months[nino.phase < 0]))
                ),
                t("oceans.composite_how"),
                *([t("oceans.nino_prescribed")] if words.session.service.simulated else []),
                t("oceans.nino_source", source=told(nino.source)),
                *(t("oceans.response_source", source=told(source)) for source in sorted(sources)),
            ]  # fmt: skip
            notes += words.faults(found.faults)
        sign = words.sign(quantity)
        return {
            "head": {
                "title": t("oceans.nino_title"),
                "meta": self._meta(words.place(enso.PACIFIC), words.quantity(quantity), sign),
            },
            "tables": self._tables(names, unit),
            "notes": notes,
            "choices": {"phase": subject.phase, "phases": ["", *PHASES]},
        }

    def _tables(self, names: Sequence[str], unit: str) -> list[dict[str, Any]]:
        t, found = self.words.session.t, self.found
        if not names:
            return []
        rows = []
        for name in names:
            one: enso.Response = found.responses[name]
            best = int(np.nanargmax(np.abs(one.correlation)))
            rows.append(
                self._row(
                    name,
                    [
                        number(one.warm, 2, signed=True),
                        number(one.cold, 2, signed=True),
                        interval(one.slope[best], one.low[best], one.high[best], 2),
                        f"{int(one.lags[best])}",
                        number(float(one.correlation[best]), 2, signed=True),
                    ],
                )
            )
        plain = unit.removesuffix("/K")
        columns = [
            f"{t('oceans.warm')} ({plain})",
            f"{t('oceans.cold')} ({plain})",
            f"{t('oceans.slope')} ({unit})",
            t("oceans.lag"),
            t("oceans.correlation"),
        ]
        return [{"caption": t("oceans.composites"), "columns": columns, "rows": rows}]

    def paint(self, theme: str) -> None:
        """See `Panel`."""
        self._lines.paint(theme)
        paint(self.plots[0], theme)
        for one in (*self._spans, self._none):
            one.line_color = TOKENS[theme]["muted"]
        self._hover.tooltips = tooltip("@x{%Y-%m}", [("Niño 3.4", "@value{0.00} K")], theme)
