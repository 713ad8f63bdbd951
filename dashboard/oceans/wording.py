"""What things of the sea are called on the page and in its exports."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from co2net.ocean.basins import basin
from co2net.ocean.composites import composites
from co2net.ocean.engine import Ocean
from dashboard.oceans.layers import SHOWN, Layer
from dashboard.wording import Wording

SIGNED = ("flux", "delta_pco2")
"""Quantities of which positive is into the atmosphere."""


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

    def measured(self, key: str) -> str:
        """A quantity with its unit."""
        unit = SHOWN[key].unit
        return f"{self.quantity(key)} ({unit})" if unit else self.quantity(key)

    def sign(self, key: str) -> str:
        """What the sign of a quantity means, where it needs a word."""
        return self.session.t("oceans.sign") if key in SIGNED else ""

    def of_layer(self, layer: Layer) -> str:
        """Quantity, unit and sign, for the map's colour bar."""
        parts = [self.measured(layer.quantity), self.sign(layer.quantity)]
        text = ", ".join(part for part in parts if part)
        if layer.phase:
            text = self.session.t("oceans.anomaly_of", what=text)
        return self.session.t("oceans.difference_of", what=text) if layer.apart else text

    def place(self, key: str) -> str:
        """What a basin, a reef, a named region or a box is called."""
        if key == "ocean":
            return self.session.t("oceans.whole")
        found = basin(key)
        name = found.name_zh if self.session.state.lang == "zh" else found.name_en
        return self.session.t.or_else(f"region.{key}", name)

    def phase(self, key: str) -> str:
        """What a composite is called."""
        return self.session.t(f"oceans.mean_{key}")

    def months(self, months: NDArray[np.datetime64]) -> str:
        """Months by name, runs of them by the first and the last."""
        when = months.astype("datetime64[M]")
        runs = np.split(when, np.flatnonzero(np.diff(when.astype(int)) > 1) + 1)
        names = [
            str(run[0]) if run.size == 1 else f"{run[0]} – {run[-1]}" for run in runs if run.size
        ]
        return ", ".join(names) or "–"

    def month(self, month: str) -> str:
        """A month in words."""
        time = np.datetime64(month, "M").item()
        if self.session.state.lang == "zh":
            return f"{time.year}年{time.month}月"
        return f"{time:%B %Y}"

    def when(self, layer: Layer) -> str:
        """The month of a mean, the time, or of how many months a composite is made."""
        if layer.phase and self.ocean is not None:
            found = composites(self.ocean, layer.quantity, layer.what)
            counts = {"warm": found.warm_months.size, "cold": found.cold_months.size}
            return self.session.t(f"oceans.of_{layer.phase}", **counts)
        if layer.quantity == "ph_error":
            return self.session.t("oceans.rms_of", month=self.month(layer.month))
        if layer.month:
            return self.session.t("oceans.mean_of", month=self.month(layer.month))
        return self.session.when(layer.frame)

    def faults(self, found: Mapping[str, str]) -> list[str]:
        """Why something of a model is not there, by name; ``place`` is no model."""
        t, name = self.session.t, self.session.layer_name
        return [
            t.told(text) if key == "place" else f"{name(key)}: {t.told(text)}"
            for key, text in found.items()
        ]

    def simulated(self) -> list[str]:
        """That the data set is simulated, where it is."""
        return [self.session.t("map.simulated")] if self.session.service.simulated else []

    def caption(self, layer: Layer) -> str:
        """Second line of a map's title: when, that it is simulated, what the sign means."""
        words = [*self.simulated(), self.when(layer), self.sign(layer.quantity)]
        return " · ".join(word for word in words if word)
