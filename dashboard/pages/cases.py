"""Case studies: events of ``data/cases.yml``, told by numbers that the data give."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import panel as pn
import param
from numpy.typing import NDArray
from panel.custom import Children

from co2net.errors import UserError
from co2net.evaluation.cases import Case, CaseSeries, case_series, load_cases
from co2net.inference import TRUTH
from co2net.regions import region
from co2net.source import nearest_frame
from dashboard.casebook import (
    every,
    flux_series,
    flux_story,
    flux_table,
    frames_of,
    limits_of,
    missing_months,
    sentences,
    story,
    table,
)
from dashboard.casechart import MARKS as MOMENTS
from dashboard.casechart import CaseChart
from dashboard.choices import CASE_LINES as LINES
from dashboard.choices import case_models
from dashboard.components import Part, css, dropdown, js
from dashboard.maps.figures import MapFigures
from dashboard.maps.layers import CO2, DIFFERENCE, colour_bar, display
from dashboard.numbers import Numbers
from dashboard.oceans.layers import SHOWN
from dashboard.oceans.wording import OceanWording
from dashboard.pages import Page, one_model, shown_model
from dashboard.service import Frame, Latest
from dashboard.state import ViewState, World
from dashboard.theme import line

if TYPE_CHECKING:
    from dashboard.session import Session

_PAIR = ("truth", "model")
_TELL_SECONDS = 0.3


class CasesPart(Part):
    """The list of cases, and the chosen one.

    Told: ``chosen``, ``head``, ``story``, ``models``, ``panels``, ``bars``, ``table``, ``flux``,
    ``empty``, ``links``, ``progress``.
    """

    cases = param.List(default=[])
    figures = Children()

    _esm = js("news", "parts", "cases")
    _stylesheets: ClassVar[list[str]] = css("base", "parts", "cases")


class _StaleError(Exception):
    """Another case or other models have been asked for meanwhile."""


class CasesView:
    """The page of one session."""

    furniture = frozenset({"bar", "drawer"})
    inspector_open = False

    def __init__(self, session: Session) -> None:
        self.session = session
        service, t = session.service, session.t
        try:
            self.cases = {case.key: case for case in load_cases()}
            self._fault = ""
        except UserError as error:
            self.cases, self._fault = {}, str(error)
        whole = [key for key, case in self.cases.items() if not missing_months(case, service)]
        self._first = next(iter([*whole, *self.cases]), "")
        self.case: Case | None = None
        self._series: CaseSeries | None = None
        self._flux: CaseSeries | None = None
        self._limits: dict[str, tuple[float, float]] = {}
        self._asked: tuple[Any, ...] = ()
        self._lock = Lock()
        self._fresh = self._due = True
        self._work: Latest[Any] = Latest(service.slow, session.deliver)
        self._moments: Latest[Any] = Latest(service.slow, session.deliver)
        self._moments_asked: tuple[Any, ...] = ()
        self.pair = self._maps(_PAIR)
        self.shots = self._maps([f"moment{n}" for n in range(MOMENTS)])
        lang, of_flux = session.state.lang, SHOWN["flux"]
        self._words = OceanWording(session)
        co2 = f"{t('map.co2')} (ppm)"
        self._chart = CaseChart("case-series", "s", co2, "ppm", 2, 2.0, lang)
        self._flux_chart = CaseChart("case-flux", "f", of_flux.unit, of_flux.unit, 3, 0.1, lang)
        charts = [self._chart.plot, self._flux_chart.plot]
        plots = [*self.pair.figures, *self.shots.figures, *charts]
        self.board = CasesPart(
            self._said,
            strings=t.section("cases")
            | {"computing": t("shell.computing"), "truth": session.layer_name(TRUTH)},
            cases=[self._entry(case) for case in self.cases.values()],
            figures=[pn.pane.Bokeh(plot, sizing_mode="stretch_both") for plot in plots],
            sizing_mode="stretch_both",
        )
        names = {session.layer_name(name): name for name in session.world.models}
        shown = self.shown() if names else None
        label = t("cases.model")
        self._model = dropdown("model", label, 190, self._picked, options=names, value=shown)
        self.toolbar = pn.FlexBox(
            *([self._model] if names else []), sizing_mode="stretch_width", margin=0
        )

    # -- building -----------------------------------------------------------------------

    def _maps(self, roles: Sequence[str]) -> MapFigures:
        source = self.session.service.source
        return MapFigures(
            roles,
            source.grid,
            source.stations,
            on_tap=lambda lat, lon: None,
            on_box=lambda *box: None,
        )

    def _entry(self, case: Case) -> dict[str, str]:
        lang = self.session.state.lang
        return {
            "key": case.key,
            "title": case.title[lang],
            "dates": self._dates(case),
            "kind": self.session.t(f"cases.kind_{case.kind}"),
        }

    def _dates(self, case: Case) -> str:
        return ", ".join(case.months) if case.months else f"{case.start} – {case.end}"

    # -- choices ------------------------------------------------------------------------

    @property
    def title(self) -> str:
        """See `dashboard.pages.View`."""
        name = self.session.t("page.cases")
        return name if self.case is None else f"{self.case.title[self.session.state.lang]} · {name}"

    def judged(self) -> tuple[str, ...]:
        """See `dashboard.pages.View`; the page has numbers of its own."""
        return ()

    def judged_now(self, numbers: Numbers) -> None:
        """See `dashboard.pages.View`."""

    def models(self) -> tuple[str, ...]:
        """Models whose series are drawn."""
        return case_models(self.session.state, self.session.world, self.case)

    def shown(self) -> str:
        """The model on the maps."""
        return shown_model(self.session.state, self.session.world)

    def _picked(self, name: str) -> None:
        if name != self.shown():
            self.session.state.keep(model=name)

    def _said(self, message: dict[str, Any]) -> None:
        session = self.session
        if "case" in message and message["case"] in self.cases:
            session.state.keep(case=str(message["case"]))
        elif "model" in message and message["model"] in session.world.models:
            name, chosen = str(message["model"]), list(self.models())
            chosen = [one for one in chosen if one != name] if name in chosen else [*chosen, name]
            session.state.keep(series=",".join(chosen[: LINES - 1]) or "none")
        elif "month" in message:
            session.make_month(str(message["month"]))
        elif "moment" in message and self.case is not None:
            frames = self._moment_frames()
            n = message["moment"]
            if isinstance(n, int) and 0 <= n < len(frames):
                session.state.frame = frames[n]
        elif self.case is not None and message.get("go") in self._links():
            session.state.param.update(**self._target(str(message["go"])))

    def _target(self, page: str) -> dict[str, Any]:
        """What another page is to show of the case."""
        assert self.case is not None
        target: dict[str, Any] = {"page": page, "region": self.case.region, "point": None}
        if page in ("explore", "oceans"):
            target["show"] = TRUTH
        if page == "oceans":  # the flux at the time, of the case's region
            target["details"] = {"mean": "moment"}
        return target

    def _links(self) -> dict[str, str]:
        """Addresses of the other pages, for who copies one."""
        state, world = self.session.state, self.session.world
        assert self.case is not None
        links = {}
        oceans = ("oceans",) if self.case.kind == "ocean" else ()
        for page in ("explore", "compare", *oceans):
            values = {name: getattr(state, name) for name in ("frame", "lang", "theme")}
            links[page] = "?" + ViewState(world, **(values | self._target(page))).address()
        return links

    # -- following the state ------------------------------------------------------------

    def update(self, changed: set[str]) -> None:
        """See `dashboard.pages.View`."""
        state = self.session.state
        fresh, self._fresh = self._fresh, False
        case = self.cases.get(state.details.get("case", self._first))
        new_case = case is not self.case
        self.case = case
        if case is None:
            self._show_nothing()
            return
        maps = (self.pair, self.shots)
        for figures in maps:
            if fresh or changed & {"projection", "cells"}:
                figures.set_projection(state.projection, smooth=not state.cells)
            if fresh or changed & {"theme"}:
                figures.set_theme(state.theme)
            place = region(case.region)
            if fresh or new_case or changed & {"stations"}:
                # On a small map of the whole Earth they would hide it.
                figures.set_stations(state.stations and bool(place.polygons))
            if fresh or new_case or changed & {"projection"}:
                figures.set_region(place)
                figures.fit(place)
        if changed & {"theme"} or fresh:
            self._paint()
        if self.session.world.models:
            names = {self.session.layer_name(name): name for name in self.session.world.models}
            self._model.param.update(options=names, value=self.shown())
        self.board.tell(chosen=case.key, head=self._head(case), models=self._chips())
        missing = missing_months(case, self.session.service)
        self._show_missing(missing)
        if missing:
            return
        self._due |= fresh or new_case or bool(changed - {"frame"})
        self.session.bar.runs = self._runs()
        frames = frames_of(case, self.session.service)
        if state.frame not in frames:
            moments = self._moment_frames()
            state.frame = moments[len(moments) // 2]  # comes back here
            return
        self.board.tell(links=self._links())
        self._mark()
        self._ask_frame()
        if self._due:
            self._due = False
            self._ask_moments()
            self._ask_series()

    def _runs(self) -> list[list[int]]:
        """[start, end) of every stretch of the case, through which the time bar plays."""
        assert self.case is not None
        index = frames_of(self.case, self.session.service)
        parts = np.split(index, np.flatnonzero(np.diff(index) > 1) + 1)
        return [[int(part[0]), int(part[-1]) + 1] for part in parts]

    def _moment_frames(self) -> list[int]:
        assert self.case is not None
        source = self.session.service.source
        return [nearest_frame(source, moment) for moment in self.case.moments[:MOMENTS]]

    def _mark(self) -> None:
        """The time of the page, and the moments, on the charts."""
        assert self.case is not None
        time = self.session.service.source.time
        moments = [time[frame] for frame in self._moment_frames()]
        for one in (self._chart, self._flux_chart):
            one.mark(self.case, time[self.session.state.frame], moments)

    # -- maps ---------------------------------------------------------------------------

    def _ask_frame(self) -> None:
        state = self.session.state
        assert self.case is not None
        what = self.case, (TRUTH, self.shown()), state.frame
        self.session.frames.submit(partial(self._compute_frame, *what), self._show_frame)

    def _compute_frame(self, case: Case, layers: tuple[str, str], index: int) -> tuple[Any, ...]:
        service = self.session.service
        if case.key not in self._limits:
            self._limits[case.key] = limits_of(case, service)
        frame = service.frame(layers, index, busy=self.session.computing)
        return case, layers, index, frame

    def _show_frame(self, result: tuple[Any, ...]) -> None:
        case, layers, index, frame = result
        session = self.session
        stale = case is not self.case
        if stale or session.view is not self:
            return
        low, high = session.state.co2 or self._limits[case.key]
        for role in _PAIR:
            self.pair.set_scale(role, low, high, diverging=False)
        names = [session.layer_name(layer) for layer in layers]
        self.pair.set_hover(
            {
                role: (name, CO2.unit, CO2.digits, False)
                for role, name in zip(_PAIR, names, strict=True)
            },
            session.t("map.station"),
        )
        late = {role for role, layer in zip(_PAIR, layers, strict=True) if layer in frame.waiting}
        self.pair.show(frame.fields, keep=late)
        self.board.tell(
            pair=[self._panel("pair", n, layer, index, frame) for n, layer in enumerate(layers)],
            value_bar=colour_bar(session.t("map.co2"), CO2, low, high),
        )
        session.painted(index, frame.faults)
        if frame.waiting:
            session.wait_for(set().union(*frame.waiting.values()), index, self._ask_frame)
        elif session.bar.playing:
            session.service.look_ahead(layers, index)

    def _panel(self, group: str, n: int, layer: str, index: int, frame: Frame) -> dict[str, Any]:
        session = self.session
        waiting = layer in frame.waiting
        note = "map.absent" if layer in frame.faults else "shell.computing" if waiting else ""
        words = [session.when(index), display(layer).unit]  # the colour bar names the quantity
        when = " · ".join(words + [session.t("map.simulated")] * session.service.simulated)
        if waiting:  # the last frame stays, and its time with it
            before = self.board.facts.get(group, [])
            when = before[n]["when"] if n < len(before) else when
        return {
            "title": session.layer_name(layer),
            "when": when,
            "note": session.t(note) if note else "",
            "waiting": waiting,
        }

    def _ask_moments(self) -> None:
        what = self.shown(), self._moment_frames()
        self._moments_asked = what
        pool = self.session.service.workers(what[:1])
        self._moments.submit(partial(self._compute_moments, what), lambda _: None, pool)

    def _compute_moments(self, what: tuple[Any, ...]) -> None:
        """What is there at once, then one moment of a slow model after the other."""
        model, frames = what
        service, layers = self.session.service, [DIFFERENCE + model]
        empty = np.full((1, *service.source.grid.shape), np.nan, dtype=np.float32)
        found = [service.frame(layers, index) for index in frames]
        late = [n for n, one in enumerate(found) if one.waiting]
        for n in (None, *late):
            if self._moments_asked is not what or self.session.closed:
                return
            if n is not None:
                found[n] = service.frame(layers, frames[n], patience=None)
            fields = [one.fields for one in found] + [empty] * (MOMENTS - len(found))
            show = partial(self._show_moments, what, list(found), np.concatenate(fields))
            self.session.deliver(show)

    def _show_moments(
        self,
        what: tuple[Any, ...],
        found: list[Frame],
        fields: NDArray[np.float32],
    ) -> None:
        session = self.session
        model, frames = what
        if session.view is not self or what is not self._moments_asked:
            return
        layer = DIFFERENCE + model
        low, high = session.service.limits(layer, frames[0])
        if session.state.spread is not None:
            low, high = -session.state.spread, session.state.spread
        shown = display(layer)
        hover = {}
        for n, role in enumerate(self.shots.roles):
            self.shots.set_scale(role, low, high, diverging=True)
            name = session.when(frames[n]) if n < len(frames) else ""
            hover[role] = (name, shown.unit, shown.digits, True)
        self.shots.set_hover(hover, session.t("map.station"))
        late = {role for role, one in zip(self.shots.roles, found, strict=False) if one.waiting}
        self.shots.show(fields, keep=late)
        self.board.tell(
            shots=[self._panel("shots", n, layer, frames[n], one) for n, one in enumerate(found)],
            difference_bar=colour_bar(session.t("map.co2_difference"), shown, low, high),
        )

    # -- series -------------------------------------------------------------------------

    def _ask_series(self) -> None:
        assert self.case is not None
        names = self.models()
        service = self.session.service
        asked = self.case.key, names, int(np.count_nonzero(service.source.available))
        with self._lock:
            if asked == self._asked:
                return
            self._asked = asked
        self._clear_series()
        work = partial(self._compute_series, self.case, names, asked)
        self._work.submit(work, lambda _: None, service.workers(names))

    def _compute_series(self, case: Case, names: tuple[str, ...], asked: tuple[Any, ...]) -> None:
        """The truth first, then one model after the other, each shown as it comes."""
        engine = self.session.service.engine
        faults: dict[str, str] = {}
        told = [0.0]

        def progress(share: float, _: str, number: int, name: str) -> None:
            if self._asked != asked or self.session.closed:
                raise _StaleError
            if monotonic() - told[0] > _TELL_SECONDS:
                told[0] = monotonic()
                done = (number + share) / (len(names) + 1)
                self.session.deliver(partial(self._show_progress, asked, name, done))

        # Each call adds a model; those before it are in the engine's cache.
        found: CaseSeries | None = None
        chosen: tuple[str, ...] = ()
        try:
            for number, name in enumerate((TRUTH, *names)):
                tell = partial(progress, number=number, name=name)
                tell(0.0, "")
                models = chosen if name == TRUTH else (*chosen, name)
                try:
                    found = case_series(engine, case, models, every(case), tell)
                except UserError as error:
                    faults[name] = str(error)
                    if name == TRUTH:
                        break
                    continue
                chosen = models
                self.session.deliver(partial(self._show_series, asked, found, dict(faults), False))
        except _StaleError:
            return
        self.session.deliver(partial(self._show_series, asked, found, faults, True))
        if found is not None and case.kind == "ocean":
            with suppress(_StaleError):
                self._compute_flux(asked, found)

    def _compute_flux(self, asked: tuple[Any, ...], found: CaseSeries) -> None:
        """What passes through the sea's surface in the case, name after name."""
        told = [0.0]

        def progress(share: float, name: str) -> None:
            if self._asked != asked or self.session.closed:
                raise _StaleError
            if monotonic() - told[0] > _TELL_SECONDS:
                told[0] = monotonic()
                self.session.deliver(partial(self._show_progress, asked, name, share))

        def show(flux: CaseSeries) -> None:
            self.session.deliver(partial(self._show_flux, asked, flux, "", False))

        flux, fault = None, ""
        try:
            flux = flux_series(self.session.service.ocean, found, progress, show)
        except UserError as error:
            fault = str(error)
        self.session.deliver(partial(self._show_flux, asked, flux, fault, True))

    def _clear_series(self) -> None:
        assert self.case is not None
        self._series = self._flux = None
        case, session = self.case, self.session
        days = session.service.source.time[frames_of(case, session.service)].astype("datetime64[D]")
        for one in (self._chart, self._flux_chart):
            one.clear(case, np.unique(days))
        flux: dict[str, str] | None = None
        if case.kind == "ocean":
            title = [self._words.quantity("flux"), self._words.sign("flux")]
            flux = {"title": " · ".join([*title, *self._words.simulated()]), "fault": ""}
        session_facts: dict[str, Any] = {"table": "", "flux_table": "", "story": "", "faults": []}
        self.board.tell(**session_facts, flux=flux, progress="")

    def _show_progress(self, asked: tuple[Any, ...], name: str, share: float) -> None:
        if asked == self._asked:
            text = self.session.t(
                "cases.progress", name=self.session.layer_name(name), share=f"{share:.0%}"
            )
            self.board.tell(progress=text)

    def _show_series(
        self,
        asked: tuple[Any, ...],
        found: CaseSeries | None,
        faults: dict[str, str],
        last: bool,
    ) -> None:
        if asked != self._asked:
            return
        session = self.session
        told = session.t.told
        lines = [f"{session.layer_name(name)}: {told(text)}" for name, text in faults.items()]
        if last:
            self.board.tell(progress="", faults=lines)
        if found is None:
            return
        self._series = found
        self._chart.show(found)
        self._mark()
        self._paint()
        self.board.tell(table=table(found, session, session.state.theme))
        if last:
            self.board.tell(story=story(found, session))

    def _show_flux(
        self, asked: tuple[Any, ...], flux: CaseSeries | None, fault: str, last: bool
    ) -> None:
        if asked != self._asked or self._series is None:
            return
        session = self.session
        if last:
            self.board.tell(
                progress="", flux=self.board.facts["flux"] | {"fault": session.t.told(fault)}
            )
        if flux is None:
            return
        self._flux = flux
        self._flux_chart.show(flux)
        self._paint()
        self.board.tell(flux_table=flux_table(flux, self._words, session.state.theme))
        if last:
            words = (story(self._series, session), flux_story(flux, session))
            self.board.tell(story=sentences(session, *words))

    def _paint(self) -> None:
        session = self.session
        for one, found in ((self._chart, self._series), (self._flux_chart, self._flux)):
            names = (TRUTH, *self.models()) if found is None else tuple(found.values)
            labels = {name: session.layer_name(name) for name in names}
            one.paint(session.state.theme, labels)

    # -- words --------------------------------------------------------------------------

    def _head(self, case: Case) -> dict[str, str]:
        t, lang = self.session.t, self.session.state.lang
        place = region(case.region)
        name = t.or_else(f"region.{place.key}", place.name_zh if lang == "zh" else place.name_en)
        roles: dict[str, list[str]] = {}
        for year, role in case.roles().items():
            roles.setdefault(role, []).append(year)
        words = [self._dates(case), name]
        for role, years in roles.items():
            key = role.replace(" ", "_")
            words.append(f"{', '.join(years)}: {t(f'cases.role_{key}')}")
        if self.session.service.simulated:
            words.append(t("map.simulated"))
        shape = "region" if place.polygons else "globe"
        return {"title": case.title[lang], "meta": " · ".join(words), "shape": shape}

    def _chips(self) -> list[dict[str, Any]]:
        chosen = self.models()
        chips = []
        for name in self.session.world.models:
            drawn = line(name, self.session.state.theme)
            chips.append(
                {
                    "name": name,
                    "label": self.session.layer_name(name),
                    "colour": drawn.colour,
                    "dash": ",".join(str(v) for v in drawn.dash),
                    "on": name in chosen,
                }
            )
        return chips

    def _show_missing(self, missing: list[str]) -> None:
        session = self.session
        states = {m["key"]: m["state"] for m in session.service.months()}
        can = session.service.can_make_months and all(month in states for month in missing)
        text = session.t("cases.missing" if can else "cases.never", months=", ".join(missing))
        self.board.tell(
            empty={
                "text": text if missing else "",
                "months": [
                    {
                        "key": month,
                        "label": session.t("cases.make", month=month),
                        "making": states[month] == "making",
                        "wait": session.t("notice.making", month=month),
                    }
                    for month in (missing if can else [])
                ],
            }
        )

    def _show_nothing(self) -> None:
        text = self._fault or self.session.t("cases.none")
        self.board.tell(chosen="", empty={"text": text, "months": []})


def _case(word: str, world: World) -> str:
    if word not in {case.key for case in load_cases()}:
        raise ValueError(word)
    return word


def _models(word: str, world: World) -> str:
    names = word.split(",")
    if word != "none" and not set(names) <= set(world.models):
        raise ValueError(word)
    return ",".join(dict.fromkeys(names))


PAGE = Page("cases", CasesView, {"case": _case, "series": _models, "model": one_model})
