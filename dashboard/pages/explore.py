"""Explore: one map of anything, at any time, or its zonal means against time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from co2net.layers import ANOMALY, DIFFERENCE, SPREAD
from dashboard.hovmoller import Hovmoller
from dashboard.pages import Page
from dashboard.pages.maps import Arrangement, MapView
from dashboard.state import MOST, World

if TYPE_CHECKING:
    from dashboard.session import Session

VIEWS = ("map", "hovmoller")


def _view(word: str, world: World) -> str:
    if word not in VIEWS[1:]:
        raise ValueError(word)
    return word


class ExploreView(MapView):
    """One large map."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._hovmoller: Hovmoller | None = None

    @property
    def title(self) -> str:
        """See `dashboard.pages.View`."""
        return self.session.layer_name(self.layers()[0])

    def arrangement(self) -> Arrangement:
        """See `MapView`."""
        return Arrangement("single", ("main",))

    def layers(self) -> tuple[str, ...]:
        """The chosen layer."""
        state = self.session.state
        return (SPREAD + ",".join(state.models) if state.show == SPREAD else state.show,)

    def judged(self) -> tuple[str, ...]:
        """The model on the map, then those of Compare."""
        state, world = self.session.state, self.session.world
        shown = state.show.removeprefix(DIFFERENCE).removeprefix(ANOMALY)
        names = (m for m in (shown, *state.models) if m in world.models)
        return tuple(dict.fromkeys(names))[:MOST]

    def controls(self) -> list[Any]:
        """What is shown, and how."""
        session = self.session
        t, world = session.t, session.world

        def named(layers: list[str]) -> dict[str, str]:
            return {session.layer_name(layer): layer for layer in layers}

        groups: dict[str, Any] = {t("tools.co2"): named(["truth", *world.models])}
        for prefix, title in ((DIFFERENCE, "tools.differences"), (ANOMALY, "tools.anomalies")):
            found = [layer for layer in world.layers if layer.startswith(prefix)]
            if found:
                groups[t(title)] = named(found)
        if SPREAD in world.layers:
            groups[t("tools.spread")] = named([SPREAD])
        rest = [k for k in world.layers if k in world.source.variables]
        if rest:
            groups[t("tools.weather")] = named(rest)
        self._show = self.select("show", t("tools.show"), groups, 200)
        views = {t(f"tools.view_{key}"): key for key in VIEWS}
        self._as = self.choose("view", t("tools.view"), views, 130, VIEWS[0])
        return [self._show, self._as]

    def sync(self) -> None:
        """See `MapView`."""
        self._show.value = self.session.state.show
        self._as.value = self.session.state.details.get("view", VIEWS[0])

    def update(self, changed: set[str]) -> None:
        """See `dashboard.pages.View`."""
        wanted = self.session.state.details.get("view", VIEWS[0])
        if wanted == "hovmoller" and self._hovmoller is None:
            self._hovmoller = Hovmoller(self.session)
        board = self.maps if wanted == "map" or self._hovmoller is None else self._hovmoller.board
        if board is not self.board:
            self.board = board
            self.session.show_board()
        super().update(changed)
        if self._hovmoller is not None and board is self._hovmoller.board:
            self._hovmoller.update(self.layers()[0])


PAGE = Page("explore", ExploreView, {"view": _view})
