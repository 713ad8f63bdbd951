"""What things of the sea are called on the page and in its exports."""

from __future__ import annotations

import numpy as np

from co2net.layers import Display
from co2net.ocean.basins import basin
from co2net.ocean.engine import Ocean
from dashboard.oceans.layers import SHOWN, Layer
from dashboard.wording import Wording

SIGNED = ("flux", "delta_pco2")
"""Quantities whose sign needs a word."""


class OceanWording:
    """Names of quantities, places and times, in the words of a session or an export.

    Parameters
    ----------
    session
        Whose language, state and data set.
    """

    def __init__(self, session: Wording) -> None:
        self.session = session
        self.ocean: Ocean | None = None

    def quantity(self, key: str) -> str:
        """What a quantity is called."""
        return self.session.t(f"oceans.quantity_{key}")

    def quantities(self) -> dict[str, str]:
        """Keys of all quantities by what they are called."""
        return {self.quantity(key): key for key in SHOWN}

    def measured(self, key: str, shown: Display | None = None) -> str:
        """A quantity with its unit and what its sign means."""
        unit = (shown or SHOWN[key]).unit
        text = f"{self.quantity(key)} ({unit})" if unit else self.quantity(key)
        return self.signed(text) if key in SIGNED else text

    def of_layer(self, layer: Layer) -> str:
        """`measured`, for the map's colour bar."""
        text = self.measured(layer.quantity, layer.display)
        return self.session.t("oceans.difference_of", what=text) if layer.apart else text

    def signed(self, text: str) -> str:
        """A text, and that positive is into the atmosphere."""
        return f"{text}, {self.session.t('oceans.sign')}"

    def place(self, key: str) -> str:
        """What a basin, a reef, a named region or a box is called."""
        if key == "ocean":
            return self.session.t("oceans.whole")
        found = basin(key)
        name = found.name_zh if self.session.state.lang == "zh" else found.name_en
        return self.session.t.or_else(f"region.{key}", name)

    def month(self, month: str) -> str:
        """A month in words."""
        time = np.datetime64(month, "M").item()
        if self.session.state.lang == "zh":
            return f"{time.year}年{time.month}月"
        return f"{time:%B %Y}"

    def when(self, layer: Layer) -> str:
        """The month of a mean, or the time."""
        if layer.month:
            return self.session.t("oceans.mean_of", month=self.month(layer.month))
        return self.session.when(layer.frame)

    def simulated(self) -> list[str]:
        """That the data set is simulated, where it is."""
        return [self.session.t("map.simulated")] if self.session.service.simulated else []

    def caption(self, layer: Layer) -> str:
        """Second line of a map's title: when, that it is simulated, what the sign means."""
        words = [*self.simulated(), self.when(layer)]
        if layer.quantity in SIGNED:
            words.append(self.session.t("oceans.sign"))
        return " · ".join(words)
