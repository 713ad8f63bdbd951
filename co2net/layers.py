"""What a map can show, how it is made of fields, and in which units and limits it is shown.

A layer's name says what it is made of, and is the same on the page, in addresses and in files:

===================  ====================================================================
``NAME``             the truth, a model or an auxiliary variable
``diff:NAME``        a model minus the truth
``anom:NAME``        the truth or a model minus the background (`BACKGROUND`)
``std:NAME,NAME``    standard deviation of two models or more, cell by cell
===================  ====================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from co2net.errors import UserError
from co2net.source import FieldSource

Field = NDArray[np.float32]

TRUTH = "truth"
DIFFERENCE, ANOMALY, SPREAD = "diff:", "anom:", "std:"
BACKGROUND = "climatology"
"""The model that gives the background: what the stations say of trend, season and hour."""


def ingredients(layer: str) -> tuple[str, ...]:
    """Names of the fields that a layer is made of.

    >>> ingredients("diff:vit")
    ('vit', 'truth')
    """
    if layer.startswith(DIFFERENCE):
        return layer.removeprefix(DIFFERENCE), TRUTH
    if layer.startswith(ANOMALY):
        return layer.removeprefix(ANOMALY), BACKGROUND
    if layer.startswith(SPREAD):
        names = tuple(layer.removeprefix(SPREAD).split(","))
        if len(set(names)) < 2:
            raise UserError("the spread of models needs two of them; choose more models")
        return names
    return (layer,)


def combine(layer: str, fields: Sequence[NDArray[np.floating[Any]]]) -> Field:
    """A layer from its `ingredients`, each (..., H, W) in one unit, which the layer keeps."""
    if layer.startswith((DIFFERENCE, ANOMALY)):
        return np.asarray(fields[0] - fields[1], dtype=np.float32)
    if layer.startswith(SPREAD):
        return np.std(np.stack(fields), axis=0, dtype=np.float64).astype(np.float32)
    return np.asarray(fields[0], dtype=np.float32)


LIMITS = {DIFFERENCE: (-8.0, 8.0), ANOMALY: (-10.0, 10.0), SPREAD: (0.0, 4.0)}
"""Colour limits (ppm) of what is derived, by its prefix, until the user chooses others."""


@dataclass(frozen=True)
class Display:
    """How a quantity is shown: ``shown = stored * factor + shift``.

    Parameters
    ----------
    unit
        Unit on the page.
    diverging
        Whether its colours diverge about zero.
    digits
        Decimals in hover and tables.
    """

    unit: str
    factor: float = 1.0
    shift: float = 0.0
    diverging: bool = False
    digits: int = 1


CO2 = Display("ppm", digits=2)
VARIABLES: dict[str, Display] = {
    "air_pressure": Display("hPa", 0.01),
    "specific_humidity": Display("g/kg", 1000.0),
    "air_temperature": Display("°C", 1.0, -273.15),
    "eastward_wind": Display("m/s", diverging=True),
    "northward_wind": Display("m/s", diverging=True),
    "geopotential_height": Display("m", digits=0),
    "surface_altitude": Display("m", digits=0),
}


def display(layer: str) -> Display:
    """How a layer is shown; differences and anomalies diverge, other CO2 does not."""
    if layer.startswith((DIFFERENCE, ANOMALY)):
        return Display("ppm", diverging=True, digits=2)
    if layer.startswith(SPREAD):
        return Display("ppm", digits=2)
    return VARIABLES.get(layer, CO2)


def derived(layer: str) -> str:
    """Prefix of what is derived from fields; empty for a field itself."""
    return next((prefix for prefix in LIMITS if layer.startswith(prefix)), "")


def nice_limits(low: float, high: float, *, symmetric: bool = False) -> tuple[float, float]:
    """Widen limits to round numbers, a tenth of the span apart at most.

    >>> nice_limits(361.3, 383.9)
    (360.0, 385.0)
    >>> nice_limits(-3.2, 7.1, symmetric=True)
    (-8.0, 8.0)
    """
    if symmetric:
        reach = max(abs(low), abs(high))
        low, high = -reach, reach
    span = max(high - low, 1e-6)
    power = 10.0 ** np.floor(np.log10(span))
    step = next(s * power for s in (0.05, 0.1, 0.2, 0.5, 1.0) if s * power >= span / 10)
    bottom, top = np.floor(low / step + 1e-9) * step, np.ceil(high / step - 1e-9) * step
    return float(np.round(bottom, 9)), float(np.round(top, 9))


def sample_limits(source: FieldSource, layer: str, frame: int) -> tuple[float, float]:
    """Colour limits of a quantity that hold for the whole year of a frame.

    They are those of 1 and 99 % of the values in some frames spread over what the source has
    of that year (for CO2, whose level rises) or of all years (for the weather), so that a scale
    never jumps while time runs.
    """
    shown = display(layer)
    available = np.flatnonzero(source.available)
    if shown is CO2:
        years = source.time[available].astype("datetime64[Y]")
        available = available[years == source.time[frame].astype("datetime64[Y]")]
    # Steps of the golden section visit all seasons and all hours of the day.
    share = (np.arange(24) * 0.6180339887498949) % 1.0
    probe = available[(share * available.size).astype(int)]
    name = "co2" if shown is CO2 else layer
    values = source.read([name], np.unique(probe))[0] * shown.factor + shown.shift
    low, high = np.nanpercentile(values, [1, 99])
    return nice_limits(float(low), float(high), symmetric=shown.diverging)
