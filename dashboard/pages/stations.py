"""Stations: the network coloured by error; a station's series, residuals and months."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import panel as pn
from bokeh.models import ColumnDataSource, HoverTool, LinearColorMapper, Span
from numpy.typing import NDArray
from panel.custom import Child

from co2net.assets import data_path
from co2net.errors import UserError
from co2net.evaluation import report
from co2net.evaluation.network import (
    AtStations,
    Cycle,
    at_stations,
    cycle_of_year,
    frames_of_month,
    read_sites,
)
from co2net.evaluation.sites import SITE_METRICS, SiteRow
from co2net.export import residual_edges
from co2net.grid import great_circle_km
from co2net.jobs.folder import read_json
from co2net.source import whole_months
from dashboard.choices import STATION_LINES as LINES
from dashboard.choices import station_code, station_models, station_month
from dashboard.components import Part, css, dropdown, js
from dashboard.maps.figures import MapFigures, tooltip
from dashboard.maps.layers import Display, colour_bar, nice_limits, number
from dashboard.maps.projection import format_point
from dashboard.numbers import Numbers
from dashboard.pages import Page, one_model, shown_model
from dashboard.plots import chart, paint, pane, span
from dashboard.service import Latest
from dashboard.state import World
from dashboard.theme import TOKENS, line, palette

if TYPE_CHECKING:
    from dashboard.session import Session

EVERY = 3
"""Every 3rd frame of a month counts: 83 of its 248, at all hours of the day."""
CYCLE_EVERY = 27
"""For the months of a year: 9 or 10 frames a month, at all hours of the day."""
MEASURES = ("rmse", "bias", "correlation", "withheld")
"""What colours the map: scores in the month, or RMSE at withheld stations."""
_TELL_SECONDS = 0.3
_BINS = 31


class StationsPart(Part):
    """Map, list, and the chosen station.

    Told: ``sites``, ``chosen``, ``head``, ``models``, ``bar``, ``caption``, ``table``, ``held``,
    ``progress``, ``empty``, ``cycle``.
    """

    map = Child()
    series = Child()
    residuals = Child()
    months = Child()

    _esm = js("news", "parts", "stations")
    _stylesheets: ClassVar[list[str]] = css("base", "parts", "stations")


class _StaleError(Exception):
    """Another month or other models have been asked for meanwhile."""


@dataclass(frozen=True)
class Held:
    """Scores with stations withheld, as they lie in ``data/benchmarks``.

    Parameters
    ----------
    rows
        Empty where there are none.
    about
        What made them.
    fault
        Why there are none, in one line.
    """

    rows: tuple[SiteRow, ...] = ()
    about: Mapping[str, Any] | None = None
    fault: str = ""

    def value(self, model: str, code: str, metric: str, withheld: int) -> float:
        """Mean over the seeds of a score at a station; NaN where there is none."""
        found = [
            row.value
            for row in self.rows
            if (row.model, row.code, row.metric, row.withheld) == (model, code, metric, withheld)
        ]
        return float(np.mean(found)) if found else float("nan")


def read_held(folder: Path) -> Held:
    """Scores with stations withheld; without them it says so."""
    try:
        rows = tuple(read_sites(folder / report.STATIONS))
        return Held(rows, read_json(folder / report.STATIONS_ABOUT))
    except UserError as error:
        return Held(fault=str(error))


class StationsView:
    """The page of one session."""

    furniture: frozenset[str] = frozenset()
    inspector_open = False

    def __init__(self, session: Session) -> None:
        self.session = session
        service, t = session.service, session.t
        self.network = service.source.stations
        self._found: AtStations | None = None
        self._cycle: Cycle | None = None
        self._held = Held()
        self._asked: tuple[Any, ...] = ()
        self._lock = Lock()
        self._fresh = True
        self._work: Latest[Any] = Latest(service.slow, session.deliver)
        self.figures = MapFigures(
            ["network"],
            service.source.grid,
            self.network,
            on_tap=self._tapped,
            on_box=lambda *box: None,
        )
        self._dots()
        self._charts()
        panes = {
            name: pane(plot)
            for name, plot in {
                "map": self.figures.figures[0],
                "series": self._series,
                "residuals": self._residuals,
                "months": self._months,
            }.items()
        }
        self.board = StationsPart(
            self._said,
            strings=t.section("stations"),
            sizing_mode="stretch_both",
            **panes,
        )
        self._pick = {
            name: dropdown(
                name, t(f"stations.{name}"), width, partial(self._picked, name), options={}
            )
            for name, width in (("model", 190), ("measure", 230), ("month", 130))
        }
        self.toolbar = pn.FlexBox(
            *self._pick.values(), gap="8px", sizing_mode="stretch_width", margin=0
        )

    # -- building -----------------------------------------------------------------------

    def _dots(self) -> None:
        """The stations, coloured by error, on the map."""
        plot = self.figures.figures[0]
        size = len(self.network)
        self._sites = ColumnDataSource(
            {
                "x": np.zeros(size),
                "y": np.zeros(size),
                "error": np.full(size, np.nan),
                "size": np.full(size, 9.0),
                "edge": np.full(size, 1.0),
                "code": list(self.network.code),
                "name": list(self.network.name),
                "text": [""] * size,
            }
        )
        self._mapper = LinearColorMapper(palette=palette("sequential"), low=0, high=1)
        dots = plot.scatter(
            "x",
            "y",
            source=self._sites,
            size="size",
            line_width="edge",
            fill_color={"field": "error", "transform": self._mapper},
            name="network",
        )
        dots.nonselection_glyph = None
        self._ring = dots
        self._site_hover = HoverTool(renderers=[dots])
        plot.add_tools(self._site_hover)

    def _charts(self) -> None:
        t, lang = self.session.t, self.session.state.lang
        co2 = f"{t('map.co2')} (ppm)"
        self._series = chart("station-series", y_label=co2, time=lang)
        empty = np.array([])
        models = {f"s{n}": empty for n in range(LINES)}
        times = np.array([], "datetime64[ms]")
        self._series_data = ColumnDataSource({"time": times, "observed": empty} | models)
        self._series_lines = [
            self._series.line("time", f"s{n}", source=self._series_data, line_width=1.8)
            for n in range(LINES)
        ]
        self._series_dots = self._series.scatter(
            "time", "observed", source=self._series_data, size=5, line_color=None
        )
        self._hover = HoverTool(renderers=[self._series_dots], mode="vline")
        self._series.add_tools(self._hover)
        self._residuals = chart(
            "station-residuals", f"{t('stations.residual')} (ppm)", t("stations.count")
        )
        self._residual_data = ColumnDataSource({"edge": empty} | models)
        self._residual_lines = [
            self._residuals.step(
                "edge", f"s{n}", source=self._residual_data, mode="after", line_width=1.8
            )
            for n in range(LINES)
        ]
        self._zero = Span(location=0, dimension="height", line_width=1, line_dash="dotted")
        self._residuals.add_layout(self._zero)
        self._months = chart(
            "station-months", y_label=co2, x_factors=[f"{n}" for n in range(1, 13)]
        )
        self._months.xaxis.axis_label = t("stations.month_of_year")
        self._month_data = ColumnDataSource({"month": [], "observed": empty} | models)
        self._month_lines = [
            self._months.line("month", f"s{n}", source=self._month_data, line_width=1.8)
            for n in range(LINES)
        ]
        self._month_marks = [
            self._months.scatter("month", f"s{n}", source=self._month_data, size=6, line_color=None)
            for n in range(LINES)
        ]
        self._month_dots = self._months.scatter(
            "month", "observed", source=self._month_data, size=9, line_color=None
        )

    # -- choices ------------------------------------------------------------------------

    @property
    def title(self) -> str:
        """See `dashboard.pages.View`."""
        return f"{self.code()} · {self.session.t('page.stations')}".removeprefix(" · ")

    def judged(self) -> tuple[str, ...]:
        """See `dashboard.pages.View`."""
        return ()

    def judged_now(self, numbers: Numbers) -> None:
        """See `dashboard.pages.View`."""

    def shown(self) -> str:
        """The model whose error colours the map."""
        return shown_model(self.session.state, self.session.world)

    def models(self) -> tuple[str, ...]:
        """Models that are drawn; the one on the map among them."""
        return station_models(self.session.state, self.session.world)

    def month(self) -> str:
        """The chosen month; the latest whole one where the address names none."""
        return station_month(self.session.state, self.session.service.source)

    def measure(self) -> str:
        """What colours the map."""
        return self.session.state.details.get("measure", MEASURES[0])

    def code(self) -> str:
        """The chosen station; the first where the address names none."""
        return station_code(self.session.state, self.network.code)

    def _picked(self, name: str, value: str) -> None:
        now = {"model": self.shown, "measure": self.measure, "month": self.month}[name]()
        if value != now:
            self.session.state.keep(**{name: value})

    def _tapped(self, lat: float, lon: float) -> None:
        away = great_circle_km(self.network.lat, self.network.lon, lat, lon)
        if away.size:
            self.session.state.keep(station=self.network.code[int(np.argmin(away))])

    def _said(self, message: dict[str, Any]) -> None:
        if message.get("station") in self.network.code:
            self.session.state.keep(station=message["station"])
        elif message.get("model") in self.session.world.models:
            name, chosen = message["model"], list(self.models())
            chosen = [one for one in chosen if one != name] if name in chosen else [*chosen, name]
            self.session.state.keep(lines=",".join(chosen) or "none")

    # -- following the state ------------------------------------------------------------

    def update(self, changed: set[str]) -> None:
        """See `dashboard.pages.View`."""
        session, state = self.session, self.session.state
        fresh, self._fresh = self._fresh, False
        if fresh or changed & {"projection"}:
            self.figures.set_projection(state.projection, smooth=True)
            x, y = self.figures.projection.forward(self.network.lon, self.network.lat)
            self._sites.data = dict(self._sites.data) | {"x": x, "y": y}
            self.figures.set_stations(False)
            self.figures.fit()
        if fresh or changed & {"theme"}:
            self.figures.set_theme(state.theme, coast="muted")  # there is no field below it
            self._paint()
        if fresh or changed & {"details", "models", "months"}:
            self._offer()
            if fresh or "models" in changed:
                self._held = read_held(data_path("benchmarks"))
            self._ask()
            self._draw()
            session.shell.tell(title=f"{self.title} · co2net")

    def _offer(self) -> None:
        session, t = self.session, self.session.t
        months = whole_months(session.service.source)
        models = {session.layer_name(name): name for name in session.world.models}
        for name, options, value in (
            ("model", models, self.shown()),
            ("measure", {t(f"stations.measure_{key}"): key for key in MEASURES}, self.measure()),
            ("month", {month: month for month in months}, self.month()),
        ):
            self._pick[name].param.update(options=options, value=value if options else None)
            self._pick[name].visible = bool(options)
        chosen = self.models()
        self.board.tell(
            models=[
                {
                    "name": name,
                    "label": session.layer_name(name),
                    "colour": line(name, session.state.theme).colour,
                    "dash": ",".join(str(v) for v in line(name, session.state.theme).dash),
                    "on": name in chosen,
                }
                for name in session.world.models
            ]
        )

    # -- numbers ------------------------------------------------------------------------

    def _ask(self) -> None:
        month, names = self.month(), self.models()
        asked = month, names, int(np.count_nonzero(self.session.service.source.available))
        with self._lock:
            if asked == self._asked:
                return
            self._asked = asked
        self._found = self._cycle = None
        if month and names and len(self.network):
            work = partial(self._compute, month, names, asked)
            self._work.submit(work, lambda _: None, self.session.service.workers(names))

    def _compute(self, month: str, names: tuple[str, ...], asked: tuple[Any, ...]) -> None:
        engine, told = self.session.service.engine, [0.0]

        def progress(share: float, name: str, what: str) -> None:
            if self._asked != asked or self.session.closed:
                raise _StaleError
            if monotonic() - told[0] > _TELL_SECONDS:
                told[0] = monotonic()
                self.session.deliver(partial(self._show_progress, asked, what, name, share))

        try:
            index = frames_of_month(engine.source, month, EVERY)
            found = at_stations(engine, names, index, partial(progress, what="progress"))
            self.session.deliver(partial(self._take, asked, found, None))
            year = int(month[:4])
            cycle = cycle_of_year(
                engine, names, year, CYCLE_EVERY, partial(progress, what="progress_months")
            )
            self.session.deliver(partial(self._take, asked, found, cycle))
        except _StaleError:
            return
        except UserError as error:
            self.session.deliver(partial(self._fail, asked, str(error)))

    def _show_progress(self, asked: tuple[Any, ...], what: str, name: str, share: float) -> None:
        if asked == self._asked and self._cycle is None:  # it may come after the result
            named = self.session.layer_name(name)
            text = self.session.t(f"stations.{what}", name=named, share=f"{share:.0%}")
            self.board.tell(progress=text)

    def _fail(self, asked: tuple[Any, ...], text: str) -> None:
        if asked == self._asked:
            self.board.tell(progress="")
            self.session.notify(text)

    def _take(self, asked: tuple[Any, ...], found: AtStations, cycle: Cycle | None) -> None:
        if asked != self._asked:
            return
        self._found, self._cycle = found, cycle
        if cycle is not None:
            self.board.tell(progress="")
        self._draw()

    # -- drawing ------------------------------------------------------------------------

    def _draw(self) -> None:
        t = self.session.t
        empty = ""
        if not len(self.network):
            empty = t("stations.no_stations")
        elif not self.session.world.models:
            empty = t("stations.no_models")
        elif not self.month():
            empty = t("stations.no_month")
        self.board.tell(empty=empty, chosen=self.code())
        if empty:
            return
        self._draw_network()
        self._draw_station()
        self._paint()

    def _errors(self) -> NDArray[np.float64]:
        """(S,): what colours the map."""
        size, measure = len(self.network), self.measure()
        if measure == "withheld":
            codes = self.network.code
            return np.array([self._held.value(self.shown(), code, "rmse", 1) for code in codes])
        if self._found is None:
            return np.full(size, np.nan)
        return self._found.scores(self.shown())[measure]

    def _draw_network(self) -> None:
        session, t, measure = self.session, self.session.t, self.measure()
        errors = self._errors()
        unit = "1" if measure == "correlation" else "ppm"
        signed = measure == "bias"
        digits = 2
        known = errors[np.isfinite(errors)]
        low, high = 0.0, 1.0
        if measure == "correlation":
            low, high = -1.0, 1.0
        elif known.size:
            reach = float(np.percentile(np.abs(known), 95))
            low, high = nice_limits(-reach if signed else 0.0, max(reach, 0.1), symmetric=signed)
        kind = "diverging" if signed else "sequential"
        self._mapper.update(low=low, high=high, palette=list(palette(kind)))
        place = self.network.code.index(self.code())
        chosen = np.arange(len(self.network)) == place
        texts = [
            f"{number(value, digits, signed=signed)}{'' if unit == '1' else ' ppm'}"
            for value in errors
        ]
        self._sites.data = dict(self._sites.data) | {
            "error": errors,
            "text": texts,
            "size": np.where(chosen, 16.0, 10.0),
            "edge": np.where(chosen, 3.0, 1.0),
        }
        label = t(f"stations.measure_{measure}")
        words = [session.layer_name(self.shown())]
        words.append(t("stations.held_how") if measure == "withheld" else self.month())
        if session.service.simulated:
            words.append(t("map.simulated"))
        shown = Display(unit, diverging=signed)
        bar = colour_bar(label, shown, low, high)
        if unit == "1":
            bar["label"] = label
        self.board.tell(
            bar=bar,
            caption={"title": label, "when": " · ".join(words)},
            sites=[
                {
                    "code": code,
                    "name": self.network.name[n],
                    "place": format_point(float(self.network.lat[n]), float(self.network.lon[n])),
                    "error": None if np.isnan(errors[n]) else round(float(errors[n]), 4),
                    "text": texts[n],
                }
                for n, code in enumerate(self.network.code)
            ],
        )

    def _draw_station(self) -> None:
        session, t = self.session, self.session.t
        n = self.network.code.index(self.code())
        place = format_point(float(self.network.lat[n]), float(self.network.lon[n]))
        words = [place, f"{self.network.altitude[n]:.0f} m", self.month()]
        if session.service.simulated:
            words.append(t("map.simulated"))
        self.board.tell(
            head={
                "title": f"{self.network.code[n]} · {self.network.name[n]}",
                "meta": " · ".join(words),
                "note": t("stations.sampled", every=EVERY, months=CYCLE_EVERY),
            },
            table=self._table(n),
            held=self._withheld(n),
        )
        names = self.models()
        self._draw_series(n, names)
        self._draw_months(n, names)

    def _draw_series(self, n: int, names: tuple[str, ...]) -> None:
        found = self._found
        empty = np.array([])
        if found is None:
            month = np.datetime64(self.month(), "M")
            ends = np.array([month, month + 1]).astype("datetime64[ms]").astype(np.int64)
            self._series.x_range.update(start=float(ends[0]), end=float(ends[1]))
            self._series_data.data = {
                "time": np.array([], "datetime64[ms]"),
                "observed": empty,
            } | {f"s{k}": empty for k in range(LINES)}
            self._residual_data.data = {"edge": empty} | {f"s{k}": empty for k in range(LINES)}
            return
        observed = found.observed[:, n]
        nothing = np.full(observed.size, np.nan)
        values = [found.values[name][:, n] for name in names]
        self._series_data.data = {
            "time": found.times.astype("datetime64[ms]"),
            "observed": observed,
        } | {f"s{k}": values[k] if k < len(values) else nothing for k in range(LINES)}
        first, last = found.times[[0, -1]].astype("datetime64[ms]").astype(np.int64)
        self._series.x_range.update(start=float(first), end=float(last))
        span(self._series.y_range, [observed, *values], 2.0)
        residuals = [value - observed for value in values]
        finite = [one[np.isfinite(one)] for one in residuals]
        edges = residual_edges(finite, _BINS)
        reach = float(edges[-1])
        counts = [np.histogram(np.clip(one, -reach, reach), edges)[0] for one in finite]
        self._residual_data.data = {"edge": edges} | {
            f"s{k}": np.append(counts[k], 0.0) if k < len(counts) else np.full(edges.size, np.nan)
            for k in range(LINES)
        }
        self._residuals.x_range.update(start=-reach, end=reach)
        span(self._residuals.y_range, counts, 4.0, zero=True)

    def _draw_months(self, n: int, names: tuple[str, ...]) -> None:
        cycle, t = self._cycle, self.session.t
        if cycle is None or not cycle.months:
            self._month_data.data = {"month": [], "observed": np.array([])} | {
                f"s{k}": np.array([]) for k in range(LINES)
            }
            self.board.tell(cycle="")
            return
        # Lines break where a month is missing.
        numbers = np.array([int(month[5:]) for month in cycle.months])
        every = np.arange(numbers.min(), numbers.max() + 1)

        def broken(series: NDArray[np.float64]) -> NDArray[np.float64]:
            out = np.full(every.size, np.nan)
            out[numbers - every[0]] = series
            return out

        values = [broken(cycle.values[name][:, n]) for name in names]
        nothing = np.full(every.size, np.nan)
        self._month_data.data = {
            "month": every.astype(str).tolist(),
            "observed": broken(cycle.observed[:, n]),
        } | {f"s{k}": values[k] if k < len(values) else nothing for k in range(LINES)}
        span(self._months.y_range, [cycle.observed[:, n], *values], 2.0)
        year = cycle.months[0][:4]
        self.board.tell(cycle=t("stations.cycle_of", year=year, months=", ".join(cycle.months)))

    def _table(self, n: int) -> list[dict[str, Any]]:
        """Scores of every model at a station in the month."""
        if self._found is None:
            return []
        rows = []
        for name in self.models():
            scores = self._found.scores(name)
            rows.append(
                {
                    "label": self.session.layer_name(name),
                    "colour": line(name, self.session.state.theme).colour,
                    "cells": [
                        number(float(scores["rmse"][n]), 2),
                        number(float(scores["bias"][n]), 2, signed=True),
                        number(float(scores["correlation"][n]), 2),
                    ],
                }
            )
        return rows

    def _withheld(self, n: int) -> dict[str, Any]:
        """With and without the station as input, or what to run to have that."""
        t, held = self.session.t, self._held
        if not held.rows:
            return {"empty": t("stations.held_empty"), "rows": []}
        code = self.network.code[n]
        rows = []
        for model in dict.fromkeys(row.model for row in held.rows if row.code == code):
            cells = [
                number(held.value(model, code, metric, withheld), 2, signed=metric == "bias")
                for metric in SITE_METRICS
                for withheld in (0, 1)
            ]
            rows.append(
                {
                    "label": self.session.layer_name(model),
                    "colour": line(model, self.session.state.theme).colour,
                    "cells": cells,
                }
            )
        about = held.about or {}
        words = [
            t.told(str(about.get("how", ""))),
            str(about.get("command", "")),
            str(about.get("commit")),
        ]
        return {
            "empty": "" if rows else t("stations.held_none", code=code),
            "rows": rows,
            "about": " · ".join(word for word in words if word),
        }

    def _paint(self) -> None:
        theme = self.session.state.theme
        truth = TOKENS[theme]["truth"]
        rows = [(self.session.t("stations.observed"), "@observed{0.00} ppm")]
        rows += [
            (self.session.layer_name(name), f"@s{k}{{0.00}} ppm")
            for k, name in enumerate(self.models())
        ]
        self._hover.update(
            tooltips=tooltip("@time{%F %H:%M} UTC", rows, theme), formatters={"@time": "datetime"}
        )
        self._site_hover.tooltips = tooltip("@code @name", [("", "@text")], theme)
        for plot in (self._series, self._residuals, self._months):
            paint(plot, theme)
        groups = zip(
            self._series_lines, self._residual_lines, self._month_lines, self._month_marks,
            strict=True,
        )  # fmt: skip
        for (*strokes, marks), name in zip(groups, self.models(), strict=False):
            drawn = line(name, theme)
            for stroke in strokes:
                stroke.glyph.update(line_color=drawn.colour, line_dash=list(drawn.dash))
            marks.glyph.fill_color = drawn.colour
        for dots in (self._series_dots, self._month_dots):
            dots.glyph.fill_color = truth
        self._zero.line_color = truth
        self._ring.glyph.line_color = truth
        self._mapper.nan_color = TOKENS[theme]["surface"]


def _station(word: str, world: World) -> str:
    if word not in world.source.stations.code:
        raise ValueError(word)
    return word


def _month(word: str, world: World) -> str:
    if word not in whole_months(world.source):
        raise ValueError(word)
    return word


def _measure(word: str, world: World) -> str:
    if word not in MEASURES:
        raise ValueError(word)
    return word


def _lines(word: str, world: World) -> str:
    names = word.split(",")
    if word != "none" and not set(names) <= set(world.models):
        raise ValueError(word)
    return ",".join(dict.fromkeys(names))


PAGE = Page(
    "stations",
    StationsView,
    {
        "station": _station,
        "month": _month,
        "measure": _measure,
        "model": one_model,
        "lines": _lines,
    },
)
