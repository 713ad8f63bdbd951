"""What an address says of Oceans: quantity, month, map, place, and what the panels are about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from co2net.ocean.basins import basins, reefs
from co2net.ocean.composites import COMPOSED
from co2net.ocean.engine import QUANTITIES
from co2net.regions import region
from co2net.source import FieldSource
from dashboard.oceans.layers import FIRST, PHASES, Layer, shown_as
from dashboard.state import ViewState


@dataclass(frozen=True)
class Choices:
    """The choices of a view.

    Parameters
    ----------
    state
        Of the view.
    source
        The data set.
    months
        Its whole months, YYYY-MM.
    """

    state: ViewState
    source: FieldSource
    months: tuple[str, ...] = ()

    @property
    def quantity(self) -> str:
        """What the map shows."""
        return str(self.state.details.get("quantity", FIRST))

    @property
    def month(self) -> str:
        """The month of a mean: that of the time, or the nearest that is whole; or empty."""
        if not self.months:
            return ""
        now = self.source.time[self.state.frame].astype("datetime64[M]")
        away = np.abs((np.array(self.months, dtype="datetime64[M]") - now).astype(int))
        return self.months[int(away.argmin())]

    @property
    def phase(self) -> str:
        """Which composite the map shows, one of `PHASES`; else empty."""
        word = str(self.state.details.get("mean", ""))
        return word if word in PHASES and self.quantity in COMPOSED else ""

    @property
    def momentary(self) -> bool:
        """Whether the map is of the time, not of its month."""
        wanted = self.state.details.get("mean") == "moment" or not self.months
        return wanted and not (self.phase or QUANTITIES[self.quantity].monthly_only)

    @property
    def layer(self) -> Layer:
        """What the map shows, of which time."""
        show = shown_as(self.quantity, self.state.show, self.state.world.models)
        month = "" if self.momentary or self.phase else self.month
        return Layer(self.quantity, show, month, self.state.frame, self.phase)

    @property
    def place(self) -> str:
        """Key of the basin, else of the region of all pages; the ocean for the whole Earth."""
        key = str(self.state.details.get("basin", self.state.region))
        return "ocean" if key == "global" else key

    @property
    def reef(self) -> str:
        """Key of the reef that is watched."""
        return str(self.state.details.get("reef", next(iter(reefs()))))

    @property
    def every(self) -> bool:
        """Whether series go over all months of the data."""
        return self.state.details.get("reach") == "all"


def went_to(details: Mapping[str, str], key: str) -> dict[str, Any]:
    """What the state keeps of a place: basins are the page's own, other regions all pages'."""
    kept = {name: word for name, word in details.items() if name != "basin"}
    if key in basins()[1:]:
        return {"details": kept | {"basin": key}, "region": "global"}
    return {"details": kept, "region": region(key).key}
