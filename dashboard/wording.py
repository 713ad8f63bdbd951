"""What things are called on the page and in its exports, in the visitor's language."""

from __future__ import annotations

from co2net.layers import ANOMALY, DIFFERENCE, SPREAD, VARIABLES, derived, display
from co2net.regions import region
from dashboard.i18n import Translator
from dashboard.service import Service
from dashboard.state import ViewState


class Wording:
    """Names of layers, places and times of one view."""

    service: Service
    state: ViewState
    t: Translator

    def layer_name(self, layer: str) -> str:
        """What a layer is called."""
        t = self.t
        if layer == "truth":
            return t("map.simulated_truth" if self.service.simulated else "map.truth")
        if layer.startswith(DIFFERENCE):
            return t("map.difference", model=self.layer_name(layer.removeprefix(DIFFERENCE)))
        if layer.startswith(ANOMALY):
            return t("map.anomaly", what=self.layer_name(layer.removeprefix(ANOMALY)))
        if layer.startswith(SPREAD):
            return t("map.spread", count=len(self.state.models))
        if layer in VARIABLES:
            return t.or_else(f"variable.{layer}", layer)
        return t.model(layer)

    def quantity(self, layer: str) -> str:
        """What a colour bar measures."""
        kind = derived(layer)
        if kind:
            names = {DIFFERENCE: "difference", ANOMALY: "anomaly", SPREAD: "spread"}
            return self.t(f"map.co2_{names[kind]}")
        return self.layer_name(layer) if layer in VARIABLES else self.t("map.co2")

    def region_name(self) -> str:
        """What the chosen region is called."""
        chosen = region(self.state.region)
        return self.t.or_else(f"region.{chosen.key}", chosen.name_en)

    def when(self, index: int) -> str:
        """A frame's time in words."""
        time = self.service.source.time[index].astype("datetime64[s]").item()
        if self.state.lang == "zh":
            return f"{time.year}年{time.month}月{time.day}日 {time:%H:%M} UTC"
        return f"{time.day} {time:%b %Y %H:%M} UTC"

    def span_name(self, stretch: tuple[int, int]) -> str:
        """First and last day of a stretch of time."""
        first, last = (self.service.source.time[i].astype("datetime64[s]").item() for i in stretch)
        if self.state.lang == "zh":
            year = "" if first.year == last.year else f"{last.year}年"
            return f"{first.year}年{first.month}月{first.day}日 – {year}{last.month}月{last.day}日"
        year = "" if first.year == last.year else f" {first.year}"
        return f"{first.day} {first:%b}{year} – {last.day} {last:%b %Y}"

    def caption(self, layer: str, index: int) -> str:
        """Second line of a figure's title: quantity, unit, that it is simulated, and the time.

        Narrow panels cut the end, which the time bar tells too.
        """
        words = [f"{self.quantity(layer)} ({display(layer).unit})", self.when(index)]
        if self.service.simulated:
            words.insert(1, self.t("map.simulated"))
        return " · ".join(words)
