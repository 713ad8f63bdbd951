"""What the map of Oceans shows: quantities of the sea, in the units and limits of the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from co2net.inference import TRUTH
from co2net.layers import DIFFERENCE, Display, nice_limits
from co2net.ocean.composites import composites
from co2net.ocean.engine import QUANTITIES, Ocean
from co2net.ocean.enso import Composite
from dashboard.state import ViewState

Field = NDArray[np.float32]
Progress = Callable[[float, str], None]

FIRST = "flux"
"""The quantity that a new visitor sees."""
SHOWN = {
    "flux": Display("mol m⁻² yr⁻¹", diverging=True, digits=2),
    "delta_pco2": Display("µatm", diverging=True),
    "co2": Display("ppm", digits=2),
    "ph": Display("", digits=3),
    "aragonite": Display("", digits=2),
    "ph_error": Display("", digits=4),
    "pco2_sea": Display("µatm"),
    "pco2_air": Display("µatm"),
    "sst": Display("°C"),
    "ice": Display("", digits=2),
}
"""Quantities that the page offers, in its order; an empty unit is that of a pure number."""
_LIMITS = {
    "flux": (-5.0, 5.0),
    "delta_pco2": (-120.0, 120.0),
    "ph": (7.9, 8.25),
    "aragonite": (1.0, 4.0),
    "ph_error": (0.0, 0.005),
    "pco2_sea": (240.0, 480.0),
    "sst": (-2.0, 30.0),
    "ice": (0.0, 1.0),
}
"""Colour limits, the same at all times and for truth and models. The rest are those of a year."""
_APART = {
    "flux": 0.2,
    "delta_pco2": 3.0,
    "co2": 3.0,
    "pco2_air": 3.0,
    "ph": 0.004,
    "aragonite": 0.01,
}
"""Reach of the colours of a model minus the truth."""
PHASES = ("nino", "warm", "cold")
"""What a map of a composite shows: El Nino less La Nina, or the anomaly of one of them."""
_SAMPLES = 8


@dataclass(frozen=True)
class Layer:
    """One map of the sea.

    Parameters
    ----------
    quantity
        Key of `SHOWN`.
    show
        ``truth``, a model, or ``diff:`` and a model.
    month
        YYYY-MM of a monthly mean; empty: the frame.
    frame
        Position on the time axis.
    phase
        One of `PHASES`, of a composite; then there is neither month nor frame. Else empty.
    """

    quantity: str
    show: str
    month: str
    frame: int
    phase: str = ""

    @property
    def apart(self) -> bool:
        """Whether it is a difference."""
        return self.show.startswith(DIFFERENCE)

    @property
    def what(self) -> str:
        """The truth, or the model that it is of."""
        return self.show.removeprefix(DIFFERENCE)

    @property
    def display(self) -> Display:
        """Unit, decimals, and whether the colours diverge."""
        shown = SHOWN[self.quantity]
        if self.phase:
            return Display(shown.unit, diverging=True, digits=max(2, shown.digits + self.apart))
        return Display(shown.unit, diverging=True, digits=shown.digits + 1) if self.apart else shown


def shown_as(quantity: str, show: str, models: tuple[str, ...]) -> str:
    """What can be shown of a quantity: the truth where models make no difference.

    Of an error, the first model, for the truth has none.
    """
    name = show.removeprefix(DIFFERENCE)
    known = name in models
    if quantity == "ph_error":
        return name if known else (*models, TRUTH)[0]
    return show if known and QUANTITIES[quantity].of_model else TRUTH


def field(ocean: Ocean, layer: Layer, progress: Progress | None = None) -> Field:
    """(H, W): the values of a layer in the units of the page, which are those of `QUANTITIES`."""

    def one(what: str) -> Field:
        if layer.phase:
            found = composites(ocean, layer.quantity, what, progress)
            return side(found, layer.phase).astype(np.float32)
        if layer.month:
            return ocean.month(layer.quantity, what, layer.month, progress)
        time = ocean.engine.source.time[layer.frame]
        return ocean.frames(layer.quantity, what, time, progress)[0]

    return one(layer.what) - one(TRUTH) if layer.apart else one(layer.what)


def side(found: Composite, phase: str) -> NDArray[np.float64]:
    """(H, W): one of the maps of a composite."""
    return found.difference if phase == "nino" else getattr(found, phase)


def limits(ocean: Ocean, layer: Layer, state: ViewState) -> tuple[float, float]:
    """Colour limits of a layer: constant, or for CO2 in the air those of the frame's year.

    What the visitor has chosen for CO2 goes before. Composites have one symmetric scale: that of
    the truth's El Nino less La Nina.
    """
    if layer.phase and not layer.apart:
        values = composites(ocean, layer.quantity, TRUTH).difference
        reach = float(np.nanpercentile(np.abs(values), 98))
        return nice_limits(-reach, reach, symmetric=True)
    if layer.quantity == "co2" and layer.apart and state.spread is not None:
        return -state.spread, state.spread
    if layer.quantity == "co2" and not layer.apart and state.co2 is not None:
        return state.co2
    if layer.apart:
        return -_APART[layer.quantity], _APART[layer.quantity]
    if layer.quantity in _LIMITS:
        return _LIMITS[layer.quantity]
    years = ocean.times().astype("datetime64[Y]")
    year = np.datetime64(layer.month or ocean.engine.source.time[layer.frame], "Y")
    times = ocean.times()[years == year]
    some = times[np.linspace(0, times.size - 1, min(_SAMPLES, times.size)).astype(int)]
    low, high = np.nanpercentile(ocean.frames(layer.quantity, TRUTH, some), [1, 99])
    return nice_limits(float(low), float(high))
