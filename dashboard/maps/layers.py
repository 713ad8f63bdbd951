"""What a map can show, how it is written, scaled and coloured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from co2net.source import FieldSource
from dashboard.theme import palette

DIFFERENCE = "diff:"
"""Prefix of a layer that shows a model minus the truth."""
DIFFERENCE_LIMITS = (-8.0, 8.0)
"""Colour limits of differences (ppm) until the user chooses others."""


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
    """How a layer is shown; differences diverge, everything else that is CO2 does not."""
    if layer.startswith(DIFFERENCE):
        return Display("ppm", diverging=True, digits=2)
    return VARIABLES.get(layer, CO2)


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


def ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Round values within limits, for a colour bar."""
    span = high - low
    power = 10.0 ** np.floor(np.log10(span / most))
    step = next(s * power for s in (1.0, 2.0, 5.0, 10.0) if span / (s * power) <= most)
    first = np.ceil(low / step - 1e-9) * step
    values = np.arange(first, high + step * 1e-6, step)
    return [float(round(v, 10)) + 0.0 for v in values]


def sample_limits(source: FieldSource, layer: str, frame: int) -> tuple[float, float]:
    """Colour limits of a quantity that hold for the whole year of a frame.

    They are those of 2 and 98 % of the values in some frames spread over what the source has
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
    low, high = np.nanpercentile(values, [2, 98])
    return nice_limits(float(low), float(high), symmetric=shown.diverging)


def number(value: float, digits: int, *, signed: bool = False) -> str:
    """A number for people; a dash where there is none."""
    if not np.isfinite(value):
        return "–"
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    return text.replace("-", "−")


def gradient(colours: Sequence[str], steps: int = 24) -> list[str]:
    """A few of the colours, enough for a smooth gradient in a style sheet."""
    index: NDArray[np.int64] = np.linspace(0, len(colours) - 1, steps).round().astype(int)
    return [colours[i] for i in index]


def colour_bar(label: str, shown: Display, low: float, high: float) -> dict[str, Any]:
    """What the browser needs to draw a colour bar: label with unit, colours, ticks in percent."""
    span = high - low
    digits = 0 if all(v == int(v) for v in ticks(low, high)) else 1
    if span < 1:
        digits = 2
    return {
        "label": f"{label} ({shown.unit})",
        "colours": gradient(palette("diverging" if shown.diverging else "sequential")),
        "ticks": [
            {"at": 100 * (v - low) / span, "text": number(v, digits)} for v in ticks(low, high)
        ],
    }
