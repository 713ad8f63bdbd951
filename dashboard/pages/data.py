"""Data: the stores that are there, whether they are sound, and how to add others."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

import panel as pn

from co2net.assets import data_path
from co2net.datasets.catalog import Entry, load_catalog
from co2net.datasets.verify import Report, verify
from co2net.errors import UserError
from co2net.stores import StoreCard, describe, find_stores
from dashboard.components import Part, css, js
from dashboard.maps.layers import number
from dashboard.numbers import Numbers
from dashboard.pages import Page
from dashboard.service import Latest
from dashboard.state import World

if TYPE_CHECKING:
    from dashboard.session import Session


_TELL_SECONDS = 0.3


class _StaleError(Exception):
    """The visitor has left."""


class DataPart(Part):
    """Cards of stores and of data sets.

    Told: ``stores``, ``catalog``, ``checks``, ``faults``, ``open``.
    """

    _esm = js("news", "parts", "data")
    _stylesheets: ClassVar[list[str]] = css("base", "data")


class DataView:
    """The page of one session."""

    furniture: frozenset[str] = frozenset()
    inspector_open = False

    def __init__(self, session: Session) -> None:
        self.session = session
        self._cards: list[StoreCard] = []
        self._checks: dict[str, dict[str, Any]] = {}
        self._work: Latest[Any] = Latest(session.service.quick, session.deliver)
        self.board = DataPart(
            self._said, strings=session.t.section("data"), sizing_mode="stretch_both"
        )
        self.toolbar = pn.Column(sizing_mode="stretch_width", margin=0)

    @property
    def title(self) -> str:
        """See `dashboard.pages.View`."""
        return self.session.t("page.data")

    def judged(self) -> tuple[str, ...]:
        """See `dashboard.pages.View`."""
        return ()

    def judged_now(self, numbers: Numbers) -> None:
        """See `dashboard.pages.View`."""

    def _said(self, message: dict[str, Any]) -> None:
        session = self.session
        if "check" in message:
            n = message["check"]
            if isinstance(n, int) and 0 <= n < len(self._cards):
                path = self._cards[n].path
                if self._checks.get(str(path), {}).get("state") != "running":
                    self._told(path, {"state": "running", "share": "0 %"})
                    session.service.patient.submit(self._check, path)
        elif "entry" in message:
            session.state.keep(dataset=str(message["entry"]) if message["entry"] in _keys() else "")

    # -- following the state ------------------------------------------------------------

    def update(self, changed: set[str]) -> None:
        """See `dashboard.pages.View`."""
        if changed & {"details", "page"}:
            self.board.tell(open=self.session.state.details.get("dataset", ""))
        if changed & {"page", "months", "models"}:
            store = self.session.service.store
            self._work.submit(partial(_look, store), self._show)

    def _show(self, found: tuple[list[StoreCard], tuple[Entry, ...], str]) -> None:
        self._cards, entries, fault = found
        title = self.session.t.told(str(self.session.service.source.attrs.get("title", "")))
        stores = [self._store(card) for card in self._cards]
        if self.session.service.store is None:
            stores.insert(0, {"title": title, "path": "", "current": True})
        self.board.tell(
            stores=stores,
            catalog=[self._entry(entry) for entry in entries],
            faults=[fault] if fault else [],
        )
        self._tell_checks()

    def _store(self, card: StoreCard) -> dict[str, Any]:
        t = self.session.t
        current = self.session.service.store
        mine = current is not None and current.resolve() == card.path.resolve()
        if card.fault:
            return {"title": card.path.name, "path": str(card.path), "fault": card.fault,
                    "current": mine}  # fmt: skip
        years: dict[str, list[float]] = {}
        for month, share in card.months.items():
            years.setdefault(month[:4], [-1.0] * 12)[int(month[5:]) - 1] = round(share, 3)
        hours = card.step_hours
        step = t("data.hours", n=f"{hours:g}") if hours < 240 else t("data.months_step")
        count, network = str(card.stations), t.told(card.network)
        facts = [
            ("source", t.told(card.source)),
            ("version", card.version),
            ("licence", card.licence),
            ("digest", card.digest),
            ("path", _short(card.path)),
            ("grid", f"{card.shape[0]} × {card.shape[1]}"),
            ("step", step),
            ("frames", f"{card.frames} / {card.capacity}"),
            ("span", f"{card.first} – {card.last}" if card.first else ""),
            ("size", _bytes(card.size)),
            ("stations", network if count in network.split() else f"{count}, {network}"),
        ]
        gaps = [a if a == b else f"{a} – {b}" for a, b in card.gaps]
        return {
            "title": t.told(card.title) or card.path.name,
            "path": str(card.path),
            "current": mine,
            "simulated": card.simulated,
            "facts": [[t(f"data.{key}"), value] for key, value in facts if value],
            "years": [[year, shares] for year, shares in years.items()],
            "gaps": ", ".join(gaps[:12]) + (" …" if len(gaps) > 12 else ""),
            "variables": [
                [
                    t.or_else(
                        f"variable.{one.name}", t("map.co2") if one.name == "co2" else one.name
                    ),
                    one.name,
                    one.units,
                ]
                for one in card.variables
            ],
            "absent": ", ".join(t.or_else(f"variable.{name}", name) for name in card.absent),
        }

    def _entry(self, entry: Entry) -> dict[str, Any]:
        t, lang = self.session.t, self.session.state.lang
        period = "" if entry.period is None else " – ".join(entry.period)
        facts = [
            ("provider", entry.provider),
            ("span", period),
            ("resolution", entry.resolution),
            ("size", entry.size),
            ("licence", entry.licence),
            ("citation", entry.citation),
            ("acknowledgement", entry.acknowledgement or ""),
            ("address", entry.url or ""),
        ]
        return {
            "key": entry.key,
            "title": entry.title[lang],
            "text": entry.description[lang],
            "role": t(f"data.role_{entry.role}"),
            "included": entry.included,
            "simulated": entry.simulated,
            "agreement": entry.agreement,
            "facts": [[t(f"data.{key}"), value] for key, value in facts if value],
            "variables": [[one.original, one.store, one.level] for one in entry.variables],
            "obtain": list(entry.obtain[lang]),
            "commands": list(entry.commands),
        }

    # -- checks -------------------------------------------------------------------------

    def _check(self, path: Path) -> None:
        """What ``co2net data verify`` does, in a worker's thread."""
        session, told = self.session, [monotonic()]

        def progress(share: float, _: str) -> None:
            if session.closed:
                raise _StaleError
            if monotonic() - told[0] > _TELL_SECONDS:
                told[0] = monotonic()
                running = {"state": "running", "share": f"{share:.0%}"}
                session.deliver(partial(self._told, path, running))

        try:
            found = self._report(verify(path, progress=progress))
        except UserError as error:
            found = {"state": "faulty", "faults": [str(error)]}
        except _StaleError:
            return
        session.deliver(partial(self._told, path, found))

    def _report(self, found: Report) -> dict[str, Any]:
        t = self.session.t
        lacking = [
            f"{t.or_else(f'variable.{name}', name)} {share:.2%}"
            for name, share in found.missing.items()
            if share > 0
        ]
        return {
            "state": "faulty" if found.faults else "sound",
            "seen": t("data.seen", checked=found.checked, frames=found.frames),
            "missing": ", ".join(lacking),
            "years": [
                [
                    str(year.year),
                    str(year.months),
                    number(year.store, 2),
                    number(year.noaa, 2),
                    number(year.difference, 2, signed=True),
                ]
                for year in found.years
            ],
            "notes": list(found.notes),
            "faults": list(found.faults),
        }

    def _told(self, path: Path, state: dict[str, Any]) -> None:
        self._checks[str(path)] = state
        self._tell_checks()

    def _tell_checks(self) -> None:
        self.board.tell(checks=dict(self._checks))


def _look(store: Path | None) -> tuple[list[StoreCard], tuple[Entry, ...], str]:
    """The stores, the one on the page first, and the catalogue."""
    paths = [] if store is None else [store]
    known = {path.resolve() for path in paths}
    paths += [path for path in find_stores(data_path()) if path.resolve() not in known]
    try:
        return [describe(path) for path in paths], load_catalog(), ""
    except UserError as error:
        return [describe(path) for path in paths], (), str(error)


def _short(path: Path) -> str:
    """A path from the program's own folder, where it lies in there."""
    home = data_path().resolve().parent
    whole = path.resolve()
    return str(whole.relative_to(home) if whole.is_relative_to(home) else path)


def _bytes(count: int) -> str:
    """A size for people, in powers of 1000."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit in ("B", "kB") else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _keys() -> tuple[str, ...]:
    try:
        return tuple(entry.key for entry in load_catalog())
    except UserError:
        return ()


def _dataset(word: str, world: World) -> str:
    if word not in _keys():
        raise ValueError(word)
    return word


PAGE = Page("data", DataView, {"dataset": _dataset})
