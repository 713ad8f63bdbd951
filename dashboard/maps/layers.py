"""How what a map shows is written: numbers, ticks and colour bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from co2net.colours import palette
from co2net.layers import (
    CO2,
    DIFFERENCE,
    LIMITS,
    VARIABLES,
    Display,
    derived,
    display,
    nice_limits,
    sample_limits,
)

__all__ = [
    "CO2",
    "DIFFERENCE",
    "LIMITS",
    "VARIABLES",
    "Display",
    "derived",
    "display",
    "nice_limits",
    "sample_limits",
]


def ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Round values within limits, for a colour bar."""
    span = high - low
    power = 10.0 ** np.floor(np.log10(span / most))
    step = next(s * power for s in (1.0, 2.0, 5.0, 10.0) if span / (s * power) <= most)
    first = np.ceil(low / step - 1e-9) * step
    values = np.arange(first, high + step * 1e-6, step)
    return [float(round(v, 10)) + 0.0 for v in values]


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
    places = ticks(low, high)
    digits = next((d for d in range(6) if np.allclose(places, np.round(places, d), 1e-6, 1e-9)), 6)
    return {
        "label": f"{label} ({shown.unit})",
        "colours": gradient(palette("diverging" if shown.diverging else "sequential")),
        "ticks": [{"at": 100 * (v - low) / span, "text": number(v, digits)} for v in places],
    }
