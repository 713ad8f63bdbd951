"""The panels beside the map of Oceans, and the first two: series and sinks.

A panel computes in a thread (`Panel.compute`), hands what it has to the session as it comes, and
draws it there (`Panel.draw`). All numbers are those of `co2net.ocean`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from bokeh.models import Span
from bokeh.plotting import figure
from numpy.typing import NDArray

from co2net.errors import UserError
from co2net.inference import TRUTH
from co2net.ocean import sink
from co2net.ocean.basins import basins, boxes
from co2net.ocean.engine import QUANTITIES, STRIDE, Ocean
from dashboard.maps.layers import number
from dashboard.maps.projection import format_point
from dashboard.oceans.charts import Bars, Lines, broken, placed
from dashboard.oceans.layers import SHOWN
from dashboard.oceans.wording import OceanWording
from dashboard.plots import chart, paint, span
from dashboard.theme import TOKENS, line

Float = NDArray[np.float64]
Months = NDArray[np.datetime64]
Tell = Callable[[float, str], None]
Show = Callable[[Any], None]

LEAST = {"ph": 0.02, "ph_error": 0.001, "aragonite": 0.1, "flux": 0.2, "ice": 0.1}
"""Least height of an axis, so that noise stays small."""


@dataclass(frozen=True)
class Subject:
    """What the panels are about.

    Parameters
    ----------
    quantity
        Of the map.
    month
        YYYY-MM; empty: the data hold no whole month.
    moment
        Frame of the map; None where it shows the month.
    place
        Key of a region.
    point
        Latitude and longitude, instead of the place.
    models
    reef
        Key of the chosen reef.
    phase
        Which composite the map shows; empty: none.
    every
        Whether series go over all months of the data.
    count
        Frames that the data hold; it changes when a month is added.
    """

    quantity: str
    month: str
    moment: int | None
    place: str
    point: tuple[float, float] | None
    models: tuple[str, ...]
    reef: str
    phase: str
    every: bool
    count: int

    @property
    def names(self) -> tuple[str, ...]:
        """The truth and the models."""
        return (TRUTH, *self.models)


class Panel:
    """One panel of a session."""

    key: ClassVar[str]
    heights: ClassVar[tuple[int, ...]]
    """Pixels of its charts."""

    def __init__(self, words: OceanWording) -> None:
        self.words = words
        self.plots: list[figure] = []
        self.found: Any = None
        self.subject: Subject | None = None
        """What `found` is about."""

    @property
    def titles(self) -> list[str]:
        """What its charts are called."""
        t = self.words.session.t
        return [t(f"oceans.chart_{self.key}_{n}") for n in range(len(self.plots))]

    def of_models(self, subject: Subject) -> bool:
        """Whether models have a part in it."""
        return True

    def asked(self, subject: Subject) -> tuple[Any, ...]:
        """What the result depends on."""
        raise NotImplementedError

    def compute(self, ocean: Ocean, subject: Subject, tell: Tell, show: Show) -> None:
        """Work out the result in a thread; ``show`` gets it as it grows."""
        raise NotImplementedError

    def draw(self, subject: Subject) -> dict[str, Any]:
        """Draw `found`; gives ``head``, ``tables``, ``notes`` and ``choices`` to be told."""
        raise NotImplementedError

    def paint(self, theme: str) -> None:
        """Colours of the charts."""

    # -- for subclasses -----------------------------------------------------------------

    def _labels(self, names: Sequence[str]) -> list[str]:
        return [self.words.session.layer_name(name) for name in names]

    def _row(self, name: str, cells: Sequence[str]) -> dict[str, Any]:
        """A row of a table, for the truth or a model."""
        theme = self.words.session.state.theme
        return {
            "label": self.words.session.layer_name(name),
            "colour": line(name, theme).colour,
            "cells": list(cells),
        }

    def _meta(self, *parts: str) -> str:
        return " · ".join([*(part for part in parts if part), *self.words.simulated()])


@dataclass
class SeriesFound:
    """Series of names, and the means of the month.

    Parameters
    ----------
    x : (n,) datetime64
    values : name -> (n,)
    means : name -> mean over the place and the month
    months
        Whether the series is one of monthly means.
    """

    x: NDArray[np.datetime64]
    months: bool
    values: dict[str, Float] = field(default_factory=dict)
    means: dict[str, float] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)


class SeriesPanel(Panel):
    """Series of the truth and the models over the place or at the point."""

    key = "series"
    heights = (230,)

    def __init__(self, words: OceanWording) -> None:
        super().__init__(words)
        plot = chart("ocean-series", time=words.session.state.lang)
        self._lines = Lines(plot, "@x{%F %H:%M} UTC", {"@x": "datetime"})
        plot.yaxis.formatter.use_scientific = False
        self._now = Span(dimension="height", line_width=1.5, line_color="#ff2d78", visible=False)
        plot.add_layout(self._now)
        self.plots = [plot]

    def of_models(self, subject: Subject) -> bool:
        """See `Panel`."""
        return QUANTITIES[subject.quantity].of_model

    def _names(self, subject: Subject) -> tuple[str, ...]:
        """Whose series are drawn; of an error, those that can have one."""
        if subject.quantity == "ph_error":
            return subject.models or (TRUTH,)
        return subject.names if self.of_models(subject) else (TRUTH,)

    def _monthly(self, subject: Subject) -> bool:
        return subject.every or QUANTITIES[subject.quantity].monthly_only

    def asked(self, subject: Subject) -> tuple[Any, ...]:
        """See `Panel`."""
        names = subject.models if self.of_models(subject) else ()
        where = subject.point or subject.place
        return subject.quantity, subject.month, where, names, self._monthly(subject), subject.count

    def compute(self, ocean: Ocean, subject: Subject, tell: Tell, show: Show) -> None:
        """See `Panel`."""
        monthly, quantity, point = self._monthly(subject), subject.quantity, subject.point
        names = self._names(subject)
        all_months = ocean.months()
        if monthly:
            x = np.array(all_months, dtype="datetime64[M]")
        else:
            x = ocean.times()
            wanted = subject.month or str(x[-1].astype("datetime64[M]"))
            x = x[x.astype("datetime64[M]") == np.datetime64(wanted, "M")][::STRIDE]
        found = SeriesFound(x, monthly)
        weights = ocean.weights(subject.place) if point is None else None
        for n, name in enumerate(names):

            def part(share: float, _: str, n: int = n, name: str = name) -> None:
                tell((n + share) / len(names), name)

            tell(n / len(names), name)
            try:
                there = ocean.months(name)
                if monthly:
                    kept = [month for month in all_months if month in there]
                    series = self._months(ocean, subject, name, kept, part)
                    found.values[name] = placed(x, np.array(kept, "datetime64[M]"), series)
                elif point is None:
                    found.values[name] = ocean.series(quantity, name, subject.place, x, part)
                else:
                    found.values[name] = ocean.point(quantity, name, *point, x, part)
                if subject.month in there and (weights is not None or point is not None):
                    means = self._months(ocean, subject, name, [subject.month], part)
                    found.means[name] = float(means[0])
            except UserError as error:
                if name == TRUTH:
                    raise
                found.faults[name] = str(error)
            show(found)

    def _months(
        self, ocean: Ocean, subject: Subject, name: str, months: list[str], tell: Tell
    ) -> Float:
        if subject.point is None:
            return ocean.month_series(subject.quantity, name, subject.place, months, tell)
        cell = ocean.grid.cell(*subject.point)
        values = [ocean.month(subject.quantity, name, month, tell)[cell] for month in months]
        return np.array(values, dtype=np.float64)

    def draw(self, subject: Subject) -> dict[str, Any]:
        """See `Panel`."""
        words, quantity = self.words, subject.quantity
        shown, found = SHOWN[quantity], self.found
        names = self._names(subject)
        x = np.array([], "datetime64[ms]") if found is None else found.x
        values = {} if found is None else found.values
        if found is not None and found.months and x.size:
            axis = broken(x)
            values = {name: placed(axis, x, one) for name, one in values.items()}
            x = axis
        stamps = x.astype("datetime64[ms]")
        labels = self._labels(names)
        self._lines.show(names, labels, stamps, values, shown.unit, shown.digits)
        self._lines.paint(words.session.state.theme)
        plot = self.plots[0]
        if x.size:
            first, last = (float(one) for one in stamps[[0, -1]].astype(np.int64))
            pad = max(0.03 * (last - first), 4.32e7)
            plot.x_range.update(start=first - pad, end=last + pad)
            least = LEAST.get(quantity, 2.0)
            span(plot.y_range, [one for one in values.values() if one.size], least)
        plot.yaxis.axis_label = words.measured(quantity)
        moment = subject.moment is not None and found is not None and not found.months
        self._now.visible = moment
        if subject.moment is not None:
            time = words.session.service.source.time[subject.moment]
            self._now.location = float(time.astype("datetime64[ms]").astype(np.int64))
        faults = {} if found is None else found.faults
        return {
            "head": self._head(subject),
            "tables": self._tables(subject, names),
            "notes": [
                *words.faults(faults),
                *self._notes(subject),
            ],
            "choices": self._choices(subject) | {"clear": subject.point is not None},
        }

    def _choices(self, subject: Subject) -> dict[str, Any]:
        """Whether the series can be that of the month or of all months."""
        if QUANTITIES[subject.quantity].monthly_only or not subject.month:
            return {"reach": ""}
        return {"reach": "all" if subject.every else "month"}

    def _head(self, subject: Subject) -> dict[str, str]:
        words, t = self.words, self.words.session.t
        place = (
            words.place(subject.place)
            if subject.point is None
            else t("oceans.cell", point=format_point(*subject.point))
        )
        when = (
            t("oceans.all_months")
            if self._monthly(subject)
            else words.month(subject.month)
            if (subject.month)
            else ""
        )
        measured, sign = words.measured(subject.quantity), words.sign(subject.quantity)
        return {"title": place, "meta": self._meta(measured, when, sign)}

    def _tables(self, subject: Subject, names: Sequence[str]) -> list[dict[str, Any]]:
        t, found, shown = self.words.session.t, self.found, SHOWN[subject.quantity]
        if found is None or not found.means:
            return []
        truth, apart = found.means.get(TRUTH, np.nan), TRUTH in names
        rows = [
            self._row(
                name,
                [
                    number(found.means[name], shown.digits + 1, signed=shown.diverging),
                    "" if name == TRUTH
                    else number(found.means[name] - truth, shown.digits + 1, signed=True),
                ][: 1 + apart],
            )
            for name in names
            if name in found.means
        ]  # fmt: skip
        unit = f" ({shown.unit})" if shown.unit else ""
        return [
            {
                "caption": t("oceans.mean_over", month=self.words.month(subject.month)),
                "columns": [t(f"oceans.{key}") + unit for key in ("mean_value", "less_truth")][
                    : 1 + apart
                ],
                "rows": rows,
            }
        ]

    def _notes(self, subject: Subject) -> list[str]:
        t = self.words.session.t
        notes = []
        if self.found is not None and self.found.months:
            notes.append(t("oceans.months_there", count=self.found.x.size))
            if np.diff(self.found.x.astype(int)).max(initial=0) > 1:
                notes.append(t("oceans.no_trend"))
        else:
            notes.append(t("oceans.sampled", every=STRIDE))
        if QUANTITIES[subject.quantity].monthly_only:
            notes.append(t("oceans.monthly_only"))
        if subject.quantity == "ph_error":
            notes.append(t("oceans.ph_error_how", every=STRIDE))
        if subject.quantity in ("ph", "aragonite"):
            notes.append(t("oceans.sea_follows"))
        return notes

    def paint(self, theme: str) -> None:
        """See `Panel`."""
        self._lines.paint(theme)


@dataclass
class SinkFound:
    """Sums over basins in a month by name, and the yearly ones that a transport was given."""

    regions: tuple[str, ...]
    rows: dict[str, list[sink.SinkRow]] = field(default_factory=dict)
    years: list[sink.SinkRow] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)


class SinkPanel(Panel):
    """The flux of every basin, PgC a year, with intervals; and over the years."""

    key = "sink"
    heights = (330, 170)

    def __init__(self, words: OceanWording) -> None:
        super().__init__(words)
        unit = words.session.t("oceans.sink_axis")
        bars = chart("ocean-sink", unit)
        self._bars = Bars(bars)
        years = chart("ocean-sink-years", y_label="PgC/yr")
        self._years = Lines(years, "@x{0}")
        self._zero = Span(location=0, dimension="width", line_width=1)
        years.add_layout(self._zero)
        self.plots = [bars, years]

    def asked(self, subject: Subject) -> tuple[Any, ...]:
        """See `Panel`."""
        return subject.month, subject.place, subject.models, subject.count

    def compute(self, ocean: Ocean, subject: Subject, tell: Tell, show: Show) -> None:
        """See `Panel`."""
        found = SinkFound(basins())
        try:
            ocean.weights(subject.place)
            found.regions = tuple(dict.fromkeys([*basins(), subject.place]))
        except UserError as error:
            found.faults["place"] = str(error)
        else:
            with suppress(UserError):  # only the embedded world's transport was given a flux
                given = sink.given(ocean, [subject.place])
                found.years = [row for row in given.rows if len(row.period) == 4]
        if not subject.month:
            raise UserError(self.words.session.t("oceans.no_month"))
        for n, name in enumerate(subject.names):

            def part(share: float, _: str, n: int = n, name: str = name) -> None:
                tell((n + share) / len(subject.names), name)

            part(0.0, "")
            if subject.month not in ocean.months(name):
                found.faults[name] = self.words.session.t("oceans.model_lacks")
                continue
            table = sink.sink(ocean, [name], found.regions, [subject.month], part)
            found.rows[name] = [row for row in table.rows if row.period == subject.month]
            show(found)

    def draw(self, subject: Subject) -> dict[str, Any]:
        """See `Panel`."""
        words, t, theme = self.words, self.words.session.t, self.words.session.state.theme
        found: SinkFound | None = self.found
        rows = {} if found is None else found.rows
        regions = basins() if found is None else found.regions
        places = [words.place(key) for key in regions]
        labels = self._labels(subject.names)
        values = {name: [(r.flux, r.low, r.high) for r in some] for name, some in rows.items()}
        self._bars.show(places, subject.names, labels, values, "PgC/yr", theme)
        years = [] if found is None else found.years
        x = np.array([float(row.period) for row in years])
        y = np.array([row.flux for row in years])
        self._years.show([TRUTH], labels[:1], x, {TRUTH: y}, "PgC/yr", 3)
        plot = self.plots[1]
        plot.visible = bool(years)
        if years:
            plot.x_range.update(start=x[0] - 0.5, end=x[-1] + 0.5)
            span(plot.y_range, y, 0.02)
        self._years.paint(theme)
        self.paint(theme)
        meta = self._meta(t("oceans.sink_unit"), words.month(subject.month) if subject.month else
                          "", t("oceans.sign"))  # fmt: skip
        notes = [t("oceans.sink_note"), t("oceans.sink_interval", every=STRIDE)]
        if years:
            notes.append(t("oceans.given_note", place=words.place(subject.place)))
        else:
            notes.append(t("oceans.year_needs"))
        if found is not None:
            notes += words.faults(found.faults)
        return {
            "head": {"title": t("oceans.sink_title"), "meta": meta},
            "tables": self._tables(subject, regions) if rows else [],
            "notes": notes,
            "choices": {},
        }

    def _tables(self, subject: Subject, regions: Sequence[str]) -> list[dict[str, Any]]:
        """A row a basin: the truth, and of every model the flux and its own error."""
        t, rows = self.words.session.t, self.found.rows
        names = [name for name in subject.names if name in rows]
        columns = self._labels(names)
        body = []
        for n, key in enumerate(regions):
            cells = []
            for name in names:
                row = rows[name][n]
                text = number(row.flux, 3, signed=True)
                if name != TRUTH:
                    reach = number(row.high - row.flux, 3)
                    text += f" ({number(row.error, 3, signed=True)} ±\u00a0{reach})"
                cells.append(text)
            body.append(
                {
                    "label": self.words.place(key),
                    "place": key if key in (*basins(), *boxes()) else "",
                    "on": key == subject.place,
                    "cells": cells,
                }
            )
        return [{"caption": t("oceans.sink_table"), "columns": columns, "rows": body}]

    def paint(self, theme: str) -> None:
        """See `Panel`."""
        self._bars.paint(theme)
        paint(self.plots[1], theme)
        self._zero.line_color = TOKENS[theme]["muted"]
