"""Compare: the truth and two models side by side, and their differences below."""

from __future__ import annotations

from typing import Any

from dashboard.maps.layers import DIFFERENCE
from dashboard.pages import Page
from dashboard.pages.maps import MapView


class CompareView(MapView):
    """Three maps of CO2 and two of differences."""

    roles = ("truth", "a", "b", "difference_a", "difference_b")
    layout = "compare"
    columns = 480
    inspector_open = False

    @property
    def title(self) -> str:
        """See `dashboard.pages.View`."""
        return " · ".join(self.session.layer_name(layer) for layer in self.layers()[:3])

    def layers(self) -> tuple[str, ...]:
        """Truth, models, differences."""
        a, b = self.session.state.a, self.session.state.b
        return "truth", a, b, DIFFERENCE + a, DIFFERENCE + b

    def judged(self) -> tuple[str, ...]:
        """Both models."""
        return tuple(dict.fromkeys((self.session.state.a, self.session.state.b)))

    def controls(self) -> list[Any]:
        """Which models."""
        session = self.session
        models = {session.layer_name(name): name for name in session.world.models}
        self._pair = [
            self.select("a", session.t("tools.a"), models, 170),
            self.select("b", session.t("tools.b"), models, 170),
        ]
        return self._pair

    def sync(self) -> None:
        """See `MapView`."""
        for widget, name in zip(
            self._pair, (self.session.state.a, self.session.state.b), strict=True
        ):
            widget.value = name


PAGE = Page("compare", CompareView)
