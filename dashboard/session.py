"""One visitor: the view's state, the parts of the page, and the work that feeds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
import param
from panel.io.document import hold

from co2net.errors import UserError
from co2net.evaluation.cases import load_cases
from co2net.regions import Region, region
from dashboard.components import Shell, TimeBar
from dashboard.delivery import Delivery
from dashboard.export import offers
from dashboard.i18n import Translator
from dashboard.inspector import Inspector
from dashboard.maps.projection import PROJECTIONS
from dashboard.numbers import REGIONS, Numbers, judge, table
from dashboard.pages import View, registry, words
from dashboard.service import Latest, Service
from dashboard.state import Fault, ViewState, World, in_order, parse
from dashboard.theme import material_theme
from dashboard.wording import Wording

LOCALES = {"en": "en-GB", "zh": "zh-CN"}


class Session(Wording):
    """The page of one visitor.

    Parameters
    ----------
    service
        What all sessions share.
    query
        Address that the visitor came with; anything may stand in it.
    document
        The Bokeh document, which runs what threads deliver.
    """

    def __init__(self, service: Service, query: str, document: Any) -> None:
        self.service = service
        self._document = document
        models = in_order(service.engine.names())
        self.world = World(service.source, tuple(registry()), models, words())
        values, faults = parse(query, self.world)
        self.state = ViewState(self.world, **values)
        self.t = Translator(self.state.lang)
        self.numbers: Numbers | None = None
        self._delivery = Delivery(document, self._show_busy)
        self.deliver, self.when_there = self._delivery.deliver, self._delivery.when_there
        self._ids = count()
        self._serial = count(1)
        self._views: dict[str, View] = {}
        self._from_address = False
        self._told = ""
        self._asked_for = ""
        self._closed = self._stepped = False
        self._case = ""
        self._stretch, self._spanned = (0, -1), 0
        self._then: Callable[[], None] = lambda: None
        self.computing: frozenset[str] = frozenset()
        self.frames: Latest[Any] = Latest(service.quick, self.deliver)
        self._judging: Latest[Any] = Latest(service.slow, self.deliver)
        self._board = pn.Column(sizing_mode="stretch_both", margin=0)
        self._toolbar = pn.Column(sizing_mode="stretch_width", margin=0)
        self.bar = self._time_bar()
        self.inspector = Inspector(self)
        self.shell = self._shell()
        self.page = pmui.Page(
            title="co2net",
            main=[self.shell],
            dark_theme=self.state.theme == "dark",
            theme_config=material_theme(),
            theme_toggle=False,
            busy_indicator=None,
            sx={
                "& > .header": {"display": "none"},
                "& .main > .MuiBox-root > .MuiToolbar-root": {"display": "none"},
            },
        )
        # Page follows Panel's own busy state; that watcher would keep every session alive.
        self.page.param._update_ref("busy", False)
        self.state.param.watch(self._changed, list(ViewState.param.values(False)))
        self._write_address()
        self._stop_listening = service.listen(
            months=lambda: self.deliver(self._months_changed),
            models=lambda: self.deliver(self._models_changed),
        )
        self._open_page()
        self._tell_faults(faults)
        document.add_next_tick_callback(self._delivery.begin)
        pn.state.onload(self._delivery.browser_is_there)

    # -- building -----------------------------------------------------------------------

    def _time_bar(self) -> TimeBar:
        source = self.service.source
        bar = TimeBar(
            self._bar_said,
            first=int(source.time[0].astype(np.int64)),
            step=int(source.step.astype("timedelta64[s]").astype(np.int64)),
            count=source.time.size,
            runs=self.service.runs(),
            months=self.service.months(),
            frame=self.state.frame,
            shown=[self.state.frame, 0],
            cases=self.case_marks(),
            locale=LOCALES[self.state.lang],
            strings=self.t.section("bar"),
            sizing_mode="stretch_width",
        )
        bar.param.watch(lambda event: self._go(event.new), "frame")
        bar.param.watch(self._played, "playing")
        return bar

    def later(self, part: Any) -> pn.Column:
        """The place of a part that comes when the page has been shown without it."""
        place = pn.Column(sizing_mode="stretch_both", margin=0)
        self.when_there(partial(place.append, part))
        return place

    def _shell(self) -> Shell:
        shell = Shell(
            self._shell_said,
            page=self.state.page,
            pages=[{"key": key, "label": self.t(f"page.{key}")} for key in registry()],
            language=self.state.lang,
            scheme=self.state.theme,
            simulated=self.service.simulated,
            presenting=self.state.present,
            strings=self.t.section("shell"),
            board=self._board,
            toolbar=self._toolbar,
            inspector=self.inspector.part,
            bar=self.bar,
            drawer=pn.Column(sizing_mode="stretch_width", css_classes=["controls"]),
            sizing_mode="stretch_both",
        )
        for name, target in (("page", "page"), ("language", "lang"), ("scheme", "theme")):
            shell.param.watch(partial(self._shell_changed, target), name)
        state = self.state
        shell.param.watch(lambda event: state.param.update(present=event.new), "presenting")
        shell.param.watch(lambda event: self.inspector.opened(), "inspector_open")
        shell.param.watch(self._drawer_opened, "drawer_open")
        return shell

    def _drawer_opened(self, event: Any) -> None:
        """Make what is in the drawer when it is first opened."""
        if not self.shell.drawer.objects:
            self.shell.drawer[:] = self._settings()

    def _settings(self) -> list[Any]:
        t, state = self.t, self.state
        projection = pmui.Select(
            label=t("drawer.projection"),
            margin=(6, 0, 0, 0),
            options={t(f"drawer.{key}"): key for key in PROJECTIONS},
            value=state.projection,
            size="small",
            sizing_mode="stretch_width",
            css_classes=["pick-projection"],
        )
        projection.param.watch(lambda e: state.param.update(projection=e.new), "value")
        centre = pmui.TextInput(
            label=t("drawer.centre"),
            size="small",
            placeholder=t("drawer.automatic"),
            value="" if state.centre is None else f"{state.centre[0]:g}, {state.centre[1]:g}",
            margin=(10, 0, 0, 0),
            visible=state.projection == "orthographic",
            sizing_mode="stretch_width",
            css_classes=["globe-centre"],
        )

        def turn(event: Any) -> None:
            text = event.new.replace(" ", "")
            values, faults = parse(f"centre={text}", self.world) if text else ({"centre": None}, [])
            if faults:
                self.notify(t("notice.point"))
            else:
                state.param.update(**values)

        centre.param.watch(turn, "value")
        switches = []
        for name in ("cells", "stations", "wind", "cases"):
            if name == "wind" and not self.world.winds:
                continue
            switch = pmui.Switch(
                label=t(f"drawer.{name}"),
                value=getattr(state, name),
                margin=0,
                css_classes=[f"show-{name}"],
            )
            switch.param.watch(lambda e, name=name: state.param.update(**{name: e.new}), "value")
            switches.append((name, switch))

        def follow(*events: Any) -> None:
            projection.value = state.projection
            centre.visible = state.projection == "orthographic"
            for name, switch in switches:
                switch.value = getattr(state, name)

        state.param.watch(follow, ["projection", *(name for name, _ in switches)])
        low, high, spread = (
            pmui.TextInput(
                label=t(f"drawer.{name}"),
                size="small",
                placeholder=t("drawer.automatic"),
                value=value,
                margin=(6, 0, 0, 0),
                sizing_mode="stretch_width",
                css_classes=[f"limit-{name}"],
            )
            for name, value in (
                ("low", "" if state.co2 is None else f"{state.co2[0]:g}"),
                ("high", "" if state.co2 is None else f"{state.co2[1]:g}"),
                ("spread", "" if state.spread is None else f"{state.spread:g}"),
            )
        )

        def read(name: str, text: str) -> None:
            values, faults = parse(f"{name}={text}", self.world)
            if faults:
                self.notify(t("notice.limits"))
            else:
                state.param.update(**values)

        def limits(event: Any) -> None:
            if low.value.strip() and high.value.strip():
                read("co2", f"{low.value},{high.value}")

        def reach(event: Any) -> None:
            if spread.value.strip():
                read("spread", spread.value)

        def fit(event: Any) -> None:
            low.value = high.value = spread.value = ""
            state.param.update(co2=None, spread=None)

        low.param.watch(limits, "value")
        high.param.watch(limits, "value")
        spread.param.watch(reach, "value")
        automatic = pmui.Button(
            label=t("drawer.fit"),
            variant="outlined",
            size="small",
            margin=(8, 0, 0, 0),
            sizing_mode="stretch_width",
        )
        automatic.on_click(fit)
        attrs = self.service.source.attrs

        def heading(key: str) -> pmui.Typography:
            return pmui.Typography(t(key), variant="subtitle2", margin=(12, 0, 2, 0))

        return [
            projection,
            centre,
            heading("drawer.scale"),
            low,
            high,
            spread,
            automatic,
            heading("drawer.map"),
            *(switch for _, switch in switches),
            heading("drawer.data"),
            pmui.Typography(
                "\n\n".join(str(attrs.get(key, "")) for key in ("title", "version", "licence")),
                variant="body2",
                margin=0,
            ),
        ]

    # -- what views share ---------------------------------------------------------------

    def stretch(self) -> tuple[int, int]:
        """First and last frame of the span about the time.

        It stays while the time is well within it, so that stepping does not shift it.
        """
        index, source = self.state.frame, self.service.source
        first, last = self._stretch
        reach = int(np.timedelta64(12 * self.state.span, "h") / source.step)
        margin = (last - first) // 8
        inside = first + margin <= index <= last - margin
        if not inside or self.state.span != self._spanned:
            self._spanned = self.state.span
            self._stretch = max(0, index - reach), min(source.time.size - 1, index + reach)
        return self._stretch

    def regions(self) -> tuple[str, ...]:
        """Keys of the regions that are judged."""
        key = self.state.region
        return REGIONS if key in REGIONS else (*REGIONS, key)

    def case_regions(self) -> list[tuple[str, Region]]:
        """Names and regions of the case studies."""
        found = ((case.title[self.state.lang], region(case.region)) for case in load_cases())
        return [(name, place) for name, place in found if place.polygons]

    def case_marks(self) -> list[dict[str, Any]]:
        """Case studies of which there are frames: key, title, first and last frame."""
        source = self.service.source
        marks = []
        for case in load_cases():
            for start, end in case.spans:
                inside = (source.time >= start) & (source.time < end + 1) & source.available
                frames = np.flatnonzero(inside)
                if frames.size:
                    marks.append(
                        {
                            "key": case.key,
                            "title": case.title[self.state.lang],
                            "first": int(frames[0]),
                            "last": int(frames[-1]),
                        }
                    )
        return marks

    def step(self, by: int) -> None:
        """Go to the next case study, or the one before: on its page, or in time and place."""
        cases = load_cases()
        keys = [case.key for case in cases]
        if self.state.page == "cases":
            now = self.state.details.get("case", keys[0])
            there = keys.index(now) + by if now in keys else 0
            self.state.keep(case=keys[there % len(keys)])
            return
        marks = self.case_marks()
        if marks:
            now = next(
                (n for n, m in enumerate(marks) if m["key"] == self._case), -1 if by > 0 else 0
            )
            self.go_to_case(marks[(now + by) % len(marks)])

    def go_to_case(self, mark: dict[str, Any]) -> None:
        """Show the middle of a case study, and its region."""
        self._case = mark["key"]
        case = next(case for case in load_cases() if case.key == mark["key"])
        middle = (mark["first"] + mark["last"]) // 2
        there = np.flatnonzero(self.service.source.available)
        frame = int(there[np.abs(there - middle).argmin()])
        key = region(case.region).key
        self.state.param.update(frame=frame, region=key, point=None, window=None)

    def show_board(self) -> None:
        """Put the view's board on the page, where it has another one now."""
        if self._board.objects != [self.view.board]:
            self._board[:] = [self.view.board]

    def wait_for(self, names: set[str], index: int, then: Callable[[], None]) -> None:
        """Run something in the session's thread when models have computed a frame."""
        new = names - self.computing
        self._then = then
        if new:
            self.computing |= new
            done = partial(self.deliver, partial(self._computed, new))
            self.service.computed(new, index, done)

    def _computed(self, names: set[str]) -> None:
        self.computing -= names
        self._then()
        self._show_busy()

    # -- choices ------------------------------------------------------------------------

    def choose_point(self, point: tuple[float, float] | None) -> None:
        """Take a point of the map, or none, into the inspector."""
        if point is not None:
            try:
                self.service.source.grid.cell(*point)
            except UserError as error:
                self.notify(str(error))
                return
            self.shell.inspector_open = True
        self.state.point = point

    def _go(self, frame: int) -> None:
        if 0 <= frame < self.service.source.time.size and self.service.source.available[frame]:
            self.state.frame = frame
        else:
            self._answer(self.state.frame)

    def _bar_said(self, message: dict[str, Any]) -> None:
        source = self.service.source
        if "case" in message:
            found = [m for m in self.case_marks() if m["first"] == message["case"]]
            if found:
                self.go_to_case(found[0])
            return
        month = str(message.get("month", ""))
        wanted = str(message.get("date", ""))
        try:
            if month:
                day = source.time[self.state.frame]
                into = day - day.astype("datetime64[M]")
                time = np.datetime64(month, "M").astype("datetime64[s]") + into
                near = np.datetime64(month, "M")
                mine = source.time.astype("datetime64[M]") == near
            else:
                time = np.datetime64(wanted, "s")
                mine = source.time.astype("datetime64[D]") == time.astype("datetime64[D]")
        except ValueError:
            return
        there = np.flatnonzero(mine & source.available)
        if there.size:
            self.state.frame = int(there[np.abs(source.time[there] - time).argmin()])
            return
        self.bar.param.trigger("runs")
        self._offer(str(time.astype("datetime64[M]")))

    def _offer(self, month: str) -> None:
        """Say that a month is not there, and how to get it."""
        known = sorted(m["key"] for m in self.service.months() if m["state"] == "available")
        text = self.t("notice.no_month", month=month, known=", ".join(known[:12]))
        if self.service.can_make_months:
            self.notify(text, action=f"make:{month}", label=self.t("notice.make"))
        else:
            self.notify(text)

    # -- from the browser ---------------------------------------------------------------

    def _shell_changed(self, target: str, event: param.parameterized.Event) -> None:
        values, _ = parse(f"{target}={event.new}", self.world)
        self.state.param.update(**values)

    def _shell_said(self, message: dict[str, Any]) -> None:
        if "dismiss" in message:
            self._dismiss(message["dismiss"])
        elif "complain" in message:
            self.notify(str(message["complain"])[:300])
        elif "step" in message:
            self.step(1 if message["step"] == 1 else -1)
        elif "went" in message:
            self._went(str(message["went"]))
        elif "act" in message:
            verb, _, month = str(message["act"]).partition(":")
            self.shell.tell(notices=[n for n in self.notices if n["action"] != message["act"]])
            if verb == "make":
                self.make_month(month)
            elif verb == "show":
                self._bar_said({"month": month})

    def make_month(self, month: str) -> None:
        """Simulate a month that the embedded world lacks."""
        known = any(entry["key"] == month for entry in self.service.months())
        if not (self.service.can_make_months and known):
            return
        self._asked_for = month
        self.notify(self.t("notice.making", month=month), level="info")
        self.service.make_month(month, lambda text: self.deliver(lambda: self.notify(text)))

    def _went(self, query: str) -> None:
        """Follow the browser's back and forward."""
        values, faults = parse(query, self.world)
        plain = ViewState(self.world)
        target = {name: getattr(plain, name) for name in ViewState.param.values(False)}
        target.pop("name", None)
        self._from_address = True
        try:
            self.state.param.update(**(target | values))
        finally:
            self._from_address = False
        self._tell_faults(faults)

    def _played(self, event: param.parameterized.Event) -> None:
        if not event.new:
            self._write_address()
            self._judge()
            self.inspector.refresh()

    # -- following the state ------------------------------------------------------------

    def _changed(self, *events: param.parameterized.Event) -> None:
        changed = {event.name for event in events}
        if changed & {"lang"}:
            self.shell.tell(address=self.state.address(), reload=next(self._serial))
            return
        with hold(self._document):
            if "page" in changed:
                self._open_page()
            else:
                self.view.update(changed)
            if "theme" in changed:
                self.page.dark_theme = self.state.theme == "dark"
                self.shell.scheme = self.state.theme
            if "present" in changed:
                self.shell.presenting = self.state.present
            if self.bar.frame != self.state.frame:
                self.bar.frame = self.state.frame
            self.shell.tell(title=f"{self.view.title} · co2net")
            if "inspector" in self.view.furniture:
                self.inspector.update(changed)
            if changed == {"frame"} and not self._from_address:
                self._stepped = True  # the maps first; numbers and address when they are `painted`
            elif not self.bar.playing:
                self._judge()
                self._write_address(quiet=changed == {"window"})

    def _open_page(self) -> None:
        key = self.state.page
        if key not in self._views:
            self._views[key] = registry()[key].build(self)
        self.view = self._views[key]
        with hold(self._document):
            self._board[:] = [self.view.board]
            self._toolbar[:] = [self.view.toolbar]
            if "bar" not in self.view.furniture:
                self.bar.playing = False
            self.bar.runs = self.service.runs()  # a page may narrow them
            self.shell.param.update(
                page=key,
                furniture=sorted(self.view.furniture),
                exports=[
                    {"what": what, "label": self.t(f"export.{what}"), "formats": list(formats)}
                    for what, formats in offers(key).items()
                ],
                inspector_open=self.view.inspector_open or self.state.point is not None,
            )
            self.shell.tell(title=f"{self.view.title} · co2net")
            self.view.update({*ViewState.param.values(False), "models"})
        if "inspector" in self.view.furniture:
            self.inspector.update(set(ViewState.param.values(False)))
            self._judge()

    def _write_address(self, quiet: bool = False) -> None:
        """Have the browser show the address; ``quiet`` ones are no step of back and forward."""
        address = self.state.address()
        if self._from_address:  # the browser has it already
            self.shell.facts["address"] = address
        else:
            self.shell.tell(replace=quiet)
            self.shell.tell(address=address)

    def painted(self, index: int, faults: dict[str, str]) -> None:
        """A frame is on screen."""
        self._answer(index)
        if faults and not self.bar.playing:
            # The panels are marked; one line says why.
            text = next(iter(faults.values()))
            if text != self._told:
                self._told = text
                self.notify(text)
        self.inspector.mark(index)
        stepped, self._stepped = self._stepped, False
        if stepped:
            self._judge()
            if not self.bar.playing:
                self._write_address()
        self._show_busy()

    def _answer(self, index: int) -> None:
        self.bar.shown = [index, next(self._serial)]

    def _judge(self) -> None:
        models = self.view.judged()
        if not models and "inspector" not in self.view.furniture:
            return
        self._show_busy()
        self._judging.submit(
            partial(
                judge,
                self.service,
                models,
                self.state.frame,
                self.state.region,
                self.state.point,
            ),
            self._judged,
            self.service.workers(models),
        )

    def _judged(self, numbers: Numbers) -> None:
        self.numbers = numbers
        self.view.judged_now(numbers)
        self.inspector.show_numbers(numbers)
        self._show_busy()

    def table(self, numbers: Numbers) -> str:
        """The table of numbers in the words of this session."""
        return table(numbers, self.t, self.state.theme, self.when(numbers.index))

    def _months_changed(self) -> None:
        months = self.service.months()
        self.bar.param.update(runs=self.service.runs(), months=months, cases=self.case_marks())
        self.view.update({"months"})
        month = self._asked_for
        state = next((entry["state"] for entry in months if entry["key"] == month), "")
        if not month or state == "making":
            return
        self._asked_for = ""
        self.shell.tell(notices=[n for n in self.notices if n["level"] != "info"])
        if state == "available":
            text = self.t("notice.made", month=month)
            self.notify(text, "info", f"show:{month}", self.t("notice.show"))

    def _models_changed(self) -> None:
        """Offer the models that there are now, in the page and in what its address may hold."""
        models = in_order(self.service.engine.names())
        self.world = self.state.world = replace(self.world, models=models)
        kept = tuple(name for name in self.state.models if name in models)
        if kept != self.state.models:
            self.state.models = kept or models[:2]
        self.view.update({"models"})
        if "inspector" in self.view.furniture:
            self._judge()

    # -- telling ------------------------------------------------------------------------

    def _show_busy(self) -> None:
        idle = self._delivery.loaded and self.frames.idle and self._judging.idle
        busy = bool(self.computing) or not idle
        self.shell.tell(busy=self.t("shell.computing") if busy and not self.bar.playing else "")

    @property
    def notices(self) -> list[dict[str, Any]]:
        """Notices on screen."""
        return self.shell.facts.get("notices", [])

    def notify(self, text: str, level: str = "warning", action: str = "", label: str = "") -> None:
        """Show one notice; the same text does not pile up."""
        kept = [n for n in self.notices if n["text"] != text][-2:]
        notice = {
            "id": next(self._ids),
            "text": text,
            "level": level,
            "action": action,
            "label": label,
        }
        self.shell.tell(notices=[*kept, notice])

    def _dismiss(self, number: Any) -> None:
        self.shell.tell(notices=[n for n in self.notices if n["id"] != number])

    def _tell_faults(self, faults: list[Fault]) -> None:
        if faults:
            listed = ", ".join(f"{fault.name}={fault.value}" for fault in faults)
            self.notify(self.t("notice.address", list=listed))

    @property
    def closed(self) -> bool:
        """Whether nobody waits for its work any more."""
        return self._closed or self.service.closed

    def close(self) -> None:
        """Forget the session; work that it has asked for ends."""
        self._closed = True
        self._stop_listening()
        self._views.clear()
