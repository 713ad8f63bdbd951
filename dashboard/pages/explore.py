"""Explore: one map of anything, at any time."""

from __future__ import annotations

from typing import Any

from dashboard.maps.layers import DIFFERENCE
from dashboard.pages import Page
from dashboard.pages.maps import MapView


class ExploreView(MapView):
    """One large map."""

    roles = ("main",)
    layout = "single"
    columns = 960

    @property
    def title(self) -> str:
        """See `dashboard.pages.View`."""
        return self.session.layer_name(self.session.state.show)

    def layers(self) -> tuple[str, ...]:
        """The chosen layer."""
        return (self.session.state.show,)

    def judged(self) -> tuple[str, ...]:
        """The model on the map, then those of Compare."""
        state, world = self.session.state, self.session.world
        shown = state.show.removeprefix(DIFFERENCE)
        return tuple(dict.fromkeys(m for m in (shown, state.a, state.b) if m in world.models))

    def controls(self) -> list[Any]:
        """What the map shows."""
        session = self.session
        t, world = session.t, session.world
        groups: dict[str, Any] = {
            t("tools.co2"): {session.layer_name(k): k for k in ("truth", *world.models)},
        }
        if world.models:
            groups[t("tools.differences")] = {
                session.layer_name(DIFFERENCE + k): DIFFERENCE + k for k in world.models
            }
        rest = [k for k in world.layers if k in world.source.variables]
        if rest:
            groups[t("tools.weather")] = {session.layer_name(k): k for k in rest}
        self._show = self.select("show", t("tools.show"), groups, 220)
        return [self._show]

    def sync(self) -> None:
        """See `MapView`."""
        self._show.value = self.session.state.show


PAGE = Page("explore", ExploreView)
