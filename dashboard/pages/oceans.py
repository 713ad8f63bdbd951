"""Oceans: flux, sink and acidity of the sea that follow from the air that is reconstructed."""

from __future__ import annotations

from functools import partial
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import panel as pn
import param
from panel.custom import Child, Children

from co2net.errors import UserError
from co2net.inference import TRUTH
from co2net.layers import DIFFERENCE
from co2net.ocean.basins import basin, basins, boxes, reefs
from co2net.ocean.composites import COMPOSED
from co2net.ocean.engine import QUANTITIES, Ocean
from co2net.regions import Region, box_region
from dashboard.components import Part, css, dropdown, js
from dashboard.maps.layers import colour_bar
from dashboard.oceans import layers as sea
from dashboard.oceans.choices import Choices, went_to
from dashboard.oceans.layers import FIRST, PHASES, SHOWN, Layer
from dashboard.oceans.panels import Panel, SeriesPanel, SinkPanel, Subject
from dashboard.oceans.watch import AcidityPanel, NinoPanel, answering
from dashboard.oceans.wording import OceanWording
from dashboard.pages import Page
from dashboard.pages.maps import Arrangement, MapView
from dashboard.service import Latest
from dashboard.state import MOST, World
from dashboard.theme import line

if TYPE_CHECKING:
    from dashboard.session import Session

PANELS: tuple[type[Panel], ...] = (SeriesPanel, SinkPanel, AcidityPanel, NinoPanel)
_FURNITURE = frozenset({"drawer"})
_TELL_SECONDS = 0.3


class OceansPart(Part):
    """The map, and the panels beside it.

    Told: ``empty``, ``panel``, ``head``, ``models``, ``tables``, ``notes``, ``choices``, ``fault``,
    ``bare`` (whether there is nothing but the fault), ``progress``.
    """

    map = Child()
    figures = Children()
    panels = param.List(default=[], doc="key, label, and how many of the figures are its.")

    _esm = js("news", "parts", "oceans")
    _stylesheets: ClassVar[list[str]] = css("base", "parts", "oceans")


class _StaleError(Exception):
    """Something else has been asked for meanwhile."""


class OceansView(MapView):
    """The page of one session."""

    inspector_open = False
    furniture = _FURNITURE

    def __init__(self, session: Session) -> None:
        self.ocean: Ocean | None = None
        self._months: tuple[str, ...] = ()
        self._layer: Layer | None = None
        self._asked: tuple[Any, ...] = ()
        self._counted = -1
        self._lock = Lock()
        self.words = OceanWording(session)
        super().__init__(session)
        service, t = session.service, session.t
        self._mapping: Latest[Any] = Latest(service.slow, session.deliver)
        self._work: Latest[Any] = Latest(service.slow, session.deliver)
        self.panels: dict[str, Panel] = {make.key: make(self.words) for make in PANELS}
        plots = [plot for panel in self.panels.values() for plot in panel.plots]
        self.board = OceansPart(
            self._said,
            strings=t.section("oceans"),
            panels=[
                {
                    "key": key,
                    "label": t(f"oceans.panel_{key}"),
                    "titles": panel.titles,
                    "heights": list(panel.heights),
                }
                for key, panel in self.panels.items()
            ],
            map=self.maps,
            figures=[pn.pane.Bokeh(plot, sizing_mode="stretch_both") for plot in plots],
            sizing_mode="stretch_both",
        )
        self._read()

    # -- the data -----------------------------------------------------------------------

    def _read(self) -> None:
        """Have the ocean of the data set opened, and its months counted."""
        count = int(np.count_nonzero(self.session.service.source.available))
        if count == self._counted:
            return
        self._counted = count
        opening: Latest[Any] = Latest(self.session.service.slow, self.session.deliver)
        opening.submit(self._open, self._opened)

    def _open(self) -> tuple[Ocean | None, tuple[str, ...], str]:
        try:
            ocean = self.session.service.ocean
            return ocean, tuple(ocean.months()), ""
        except UserError as error:
            return None, (), self.session.t.told(str(error))

    def _opened(self, found: tuple[Ocean | None, tuple[str, ...], str]) -> None:
        self.ocean, self._months, fault = found
        self.words.ocean = self.ocean
        if self.ocean is None:
            self.board.tell(empty=self.session.t("oceans.none", why=fault))
        if self.session.view is self:
            self.update({"details"})

    # -- choices ------------------------------------------------------------------------

    @property
    def title(self) -> str:
        """See `dashboard.pages.View`."""
        return f"{self.words.quantity(self.chosen.quantity)} · {self.session.t('page.oceans')}"

    def arrangement(self) -> Arrangement:
        """See `MapView`."""
        return Arrangement("single", ("main",))

    def judged(self) -> tuple[str, ...]:
        """See `MapView`; the page has numbers of its own."""
        return ()

    @property
    def chosen(self) -> Choices:
        """What the address says."""
        session = self.session
        return Choices(session.state, session.service.source, self._months)

    def place(self) -> Region:
        """The basin, or else the region of all pages."""
        return basin(self.chosen.place)

    def subject(self) -> Subject:
        """What the panels are about."""
        state, chosen = self.session.state, self.chosen
        return Subject(
            quantity=chosen.quantity,
            month=chosen.month,
            moment=state.frame if chosen.momentary else None,
            place=chosen.place,
            point=state.point,
            models=state.models,
            reef=chosen.reef,
            phase=chosen.phase,
            every=chosen.every,
            count=self._counted,
        )

    # -- controls -----------------------------------------------------------------------

    def controls(self) -> list[Any]:
        """See `MapView`."""
        t = self.session.t
        self._picks = {
            name: dropdown(name, t(f"oceans.{name}"), width, partial(self._chose, name), options={})
            for name, width in (("quantity", 210), ("show", 190), ("mean", 176), ("month", 112))
        }
        return list(self._picks.values())

    def _offer(self) -> None:
        self._offered = self.session.world.models
        self.toolbar[:] = [*self.controls(), self._region]

    def _chose(self, name: str, value: str) -> None:
        state = self.session.state
        if name == "show":
            self._picked("show", value)
        elif name == "month":
            if value != self.chosen.month:
                self._go_to(value)
        elif name == "mean":
            state.keep(mean="" if value == "month" else value)
        else:
            state.keep(quantity="" if value == FIRST else value)

    def _go_to(self, month: str) -> None:
        """Show the middle of a month."""
        source = self.session.service.source
        mine = source.time.astype("datetime64[M]") == np.datetime64(month, "M")
        there = np.flatnonzero(mine & source.available)
        if there.size:
            self.session.state.frame = int(there[there.size // 2])

    def _region_options(self) -> dict[str, str]:
        keys = [*basins(), *boxes()]
        chosen = self.chosen.place
        return {self.words.place(key): key for key in dict.fromkeys([*keys, chosen])}

    def _region_select(self) -> Any:
        label = self.session.t("oceans.place")
        options, value = self._region_options(), self.chosen.place
        return dropdown("region", label, 190, self._went_to, options=options, value=value)

    def _offer_regions(self) -> None:
        options, chosen = self._region_options(), self.chosen.place
        self._region.param.update(options=options, value=chosen)

    def _went_to(self, key: str) -> None:
        state = self.session.state
        if key != self.chosen.place:
            state.param.update(**went_to(state.details, key), point=None)

    def _boxed(self, west: float, south: float, east: float, north: float) -> None:
        try:
            key = box_region(round(west, 1), round(south, 1), round(east, 1), round(north, 1)).key
        except UserError as error:
            self.session.notify(str(error))
            return
        self.maps.drawing = False
        self._went_to(key)

    def _said(self, message: dict[str, Any]) -> None:
        state = self.session.state
        if message.get("panel") in self.panels:
            first = next(iter(self.panels))
            state.keep(panel="" if message["panel"] == first else message["panel"])
        elif message.get("model") in self.session.world.models:
            name, chosen = message["model"], state.models
            kept = tuple(one for one in chosen if one != name)
            if kept == chosen:
                kept = (*chosen[-(MOST - 1) :], name)
            state.models = kept or chosen
        elif message.get("place") in (*basins(), *boxes()):
            self._went_to(message["place"])
        elif message.get("reef") in reefs():
            state.keep(reef=message["reef"])
        elif message.get("phase") in ("", *PHASES):
            state.keep(mean=message["phase"], quantity=self._composed())
        elif message.get("reach") in ("month", "all"):
            state.keep(reach="all" if message["reach"] == "all" else "")
        elif message.get("clear") == "point":
            state.point = None

    def _composed(self) -> str:
        """What the address keeps of the quantity of which there are composites."""
        quantity = answering(self.chosen.quantity)
        return "" if quantity == FIRST else quantity

    def sync(self) -> None:
        """See `MapView`."""
        t, session, layer = self.session.t, self.session, self.chosen.layer
        models = session.world.models
        of_model = QUANTITIES[layer.quantity].of_model
        shows = {session.layer_name(name): name for name in (TRUTH, *models)}
        shows |= {session.layer_name(DIFFERENCE + name): DIFFERENCE + name for name in models}
        if layer.quantity == "ph_error":
            shows = {session.layer_name(name): name for name in models or (TRUTH,)}
        means = {t("oceans.mean_month"): "month", t("oceans.mean_moment"): "moment"}
        if layer.quantity in COMPOSED:
            means |= {self.words.phase(key): key for key in PHASES}
        mean = layer.phase or ("month" if layer.month else "moment")
        monthly = QUANTITIES[layer.quantity].monthly_only
        for name, options, value, there in (
            ("quantity", self.words.quantities(), layer.quantity, True),
            ("show", shows, layer.show, of_model),
            ("mean", means, mean, not monthly and self._months),
            ("month", {month: month for month in self._months}, layer.month, layer.month),
        ):
            self._picks[name].visible = bool(there)
            if there:
                self._picks[name].param.update(options=options, value=value)
        furniture = _FURNITURE if layer.month or layer.phase else _FURNITURE | {"bar"}
        if furniture != self.furniture:
            self.furniture = furniture
            session.shell.furniture = sorted(furniture)

    # -- the map ------------------------------------------------------------------------

    def update(self, changed: set[str]) -> None:
        """See `dashboard.pages.View`."""
        if "months" in changed:
            self._read()
        placed = self.chosen.place
        if placed != self._placed:
            self._placed = placed
            changed = changed | {"region"}
        super().update(changed)
        of_air = self.chosen.quantity == "co2" and not self.chosen.phase
        self.figures.set_stations(self.session.state.stations and of_air)
        self._show_panel("theme" in changed)

    _placed = ""

    def _request(self) -> None:
        layer = self._layer = self.chosen.layer
        if self.ocean is None:
            return
        self._announce(layer, "")
        names = [] if layer.what == TRUTH else [layer.what]
        work = partial(self._compute_map, self.ocean, layer)
        self._mapping.submit(work, self._apply, self.session.service.workers(names))

    def _announce(self, layer: Layer, share: str) -> None:
        """Say that a map is on its way; the last one stays, and its time with it."""
        before = self.maps.facts.get("titles", [])
        if layer == self._layer and before:
            note = f"{self.session.t('shell.computing')} {share}".strip()
            self.maps.tell(titles=[before[0] | {"note": note, "waiting": layer.what != TRUTH}])

    def _compute_map(self, ocean: Ocean, layer: Layer) -> Any:
        told = [monotonic()]

        def progress(share: float, _: str) -> None:
            if self._layer != layer or self.session.closed:
                raise _StaleError
            if monotonic() - told[0] > _TELL_SECONDS:
                told[0] = monotonic()
                self.session.deliver(partial(self._announce, layer, f"{share:.0%}"))

        values = np.full(ocean.grid.shape, np.nan, dtype=np.float32)
        fault, scale, when = "", (-1.0, 1.0), ""
        try:
            values = sea.field(ocean, layer, progress)
            scale = sea.limits(ocean, layer, self.session.state)
            when = self.words.caption(layer)
        except UserError as error:
            fault = str(error)
        except _StaleError:
            return None
        return layer, values, scale, when, fault

    def _apply(self, result: Any) -> None:
        if result is None:
            return
        layer, values, (low, high), when, fault = result
        session = self.session
        if session.view is not self or layer != self._layer:
            return
        shown = layer.display
        self.figures.set_scale("main", low, high, diverging=shown.diverging)
        self.figures.show(values[None])
        name = session.layer_name(layer.show)
        label = self.words.quantity(layer.quantity)
        hover = (f"{label}, {name}", shown.unit, shown.digits, shown.diverging)
        self.figures.set_hover({"main": hover}, session.t("map.station"))
        bar = colour_bar(self.words.quantity(layer.quantity), shown, low, high)
        bar["label"] = self.words.of_layer(layer)
        title = {
            "title": f"{label} · {name}",
            "when": when,
            "note": session.t("map.absent") if fault else "",
            "waiting": False,
        }
        self.maps.tell(titles=[title], bars=[bar, None])
        session.painted(
            session.state.frame, {layer.show: self.session.t.told(fault)} if fault else {}
        )

    # -- the panels ---------------------------------------------------------------------

    def panel(self) -> Panel:
        """The panel that is open."""
        return self.panels[self.session.state.details.get("panel", next(iter(self.panels)))]

    def _show_panel(self, repaint: bool) -> None:
        panel, subject, state = self.panel(), self.subject(), self.session.state
        there = self.session.world.models
        self.board.tell(
            panel=panel.key,
            models=[
                {
                    "name": name,
                    "label": self.session.layer_name(name),
                    "colour": line(name, state.theme).colour,
                    "dash": ",".join(str(v) for v in line(name, state.theme).dash),
                    "on": name in state.models,
                }
                for name in (there if panel.of_models(subject) else ())
            ],
        )
        if self.ocean is None:
            return
        asked = (panel.key, *panel.asked(subject))
        with self._lock:
            new = asked != self._asked
            self._asked = asked
        if panel.subject is not None and panel.asked(panel.subject) == panel.asked(subject):
            panel.subject = subject
        if new:
            self.board.tell(progress="", fault="", bare=False)
            work = partial(self._compute_panel, self.ocean, panel, subject, asked)
            pool = self.session.service.workers(subject.models)
            self._work.submit(work, lambda _: None, pool)
        self._draw(panel, panel.subject or subject)  # what is there stays until the new has come

    def _compute_panel(
        self, ocean: Ocean, panel: Panel, subject: Subject, asked: tuple[Any, ...]
    ) -> None:
        told = [monotonic()]

        def progress(share: float, name: str) -> None:
            if self._asked != asked or self.session.closed:
                raise _StaleError
            if monotonic() - told[0] > _TELL_SECONDS:
                told[0] = monotonic()
                self.session.deliver(partial(self._show_progress, asked, name, share))

        def show(found: Any) -> None:
            self.session.deliver(partial(self._take, panel, subject, asked, found))

        fault = ""
        try:
            panel.compute(ocean, subject, progress, show)
        except _StaleError:
            return
        except UserError as error:
            fault = self.session.t.told(str(error))
        self.session.deliver(partial(self._finish, panel, subject, asked, fault))

    def _show_progress(self, asked: tuple[Any, ...], name: str, share: float) -> None:
        if asked == self._asked:
            named = self.session.layer_name(name)
            text = self.session.t("oceans.progress", name=named, share=f"{share:.0%}")
            self.board.tell(progress=text)

    def _take(self, panel: Panel, subject: Subject, asked: tuple[Any, ...], found: Any) -> None:
        if asked == self._asked:
            panel.found, panel.subject = found, subject
            self._draw(panel, subject)

    def _finish(self, panel: Panel, subject: Subject, asked: tuple[Any, ...], fault: str) -> None:
        if asked != self._asked:
            return
        self.board.tell(progress="", fault=fault, bare=bool(fault and panel.subject is not subject))
        if fault and panel.subject is not subject:  # nothing has come
            panel.found = panel.subject = None
            self._draw(panel, subject)

    def _draw(self, panel: Panel, subject: Subject) -> None:
        panel.paint(self.session.state.theme)
        facts = panel.draw(subject)
        if self.ocean is not None:
            known = self.ocean.fields
            t = self.session.t
            text = t("oceans.sea_is", title=t.told(known.title), note=t.told(known.note))
            facts["notes"] = [*facts["notes"], text]
        self.board.tell(**facts)


def _quantity(word: str, world: World) -> str:
    if word not in SHOWN:
        raise ValueError(word)
    return word


def _one_of(*known: str) -> Any:
    def check(word: str, world: World) -> str:
        if word not in known:
            raise ValueError(word)
        return word

    return check


PAGE = Page(
    "oceans",
    OceansView,
    {
        "quantity": _quantity,
        "mean": _one_of("moment", *PHASES),
        "basin": lambda word, world: _one_of(*basins()[1:])(word, world),
        "panel": _one_of(*(make.key for make in PANELS)),
        "reef": lambda word, world: _one_of(*reefs())(word, world),
        "reach": _one_of("all"),
    },
)
