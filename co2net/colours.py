"""Colours of maps and of models, the same on the page, in figures and in documents."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

# Ten samples each of the colour maps batlow and vik by F. Crameri (MIT licence,
# doi:10.5281/zenodo.1243862): perceptually even and readable to the colour-blind.
_BATLOW = "011959 103F60 1C5460 3C6D56 687B3E 9D892B D29343 F8A17B FDB7BC FACCFA"
# Of vik the middle besides, which lies between two samples: zero must be the lightest.
_VIK = "001261 033E7D 1E6F9D 71A8C4 C9DDE7 EBE5E0 EACEBD D39774 BE6533 8B2706 590008"
_VIK_AT = (0, 1, 2, 3, 4, 4.5, 5, 6, 7, 8, 9)


@cache
def palette(kind: str, size: int = 256) -> tuple[str, ...]:
    """Colours from low to high as ``#rrggbb``.

    Parameters
    ----------
    kind : {'sequential', 'diverging'}
        For values, or for differences about zero.
    """
    samples = {"sequential": _BATLOW, "diverging": _VIK}[kind].split()
    rgb = np.array([[int(s[k : k + 2], 16) for k in (0, 2, 4)] for s in samples]) / 255
    lab = _to_oklab(rgb)
    places = np.arange(10) if kind == "sequential" else np.array(_VIK_AT)
    even = np.column_stack([np.interp(np.linspace(0, 9, size), places, c) for c in lab.T])
    levels = np.clip(np.round(_from_oklab(even) * 255), 0, 255).astype(int)
    return tuple("#{:02x}{:02x}{:02x}".format(*level) for level in levels)


# Oklab: B. Ottosson (2020), https://bottosson.github.io/posts/oklab
_M1 = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_M2 = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def _to_oklab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ _M1.T) @ _M2.T


def _from_oklab(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    linear = (lab @ np.linalg.inv(_M2).T) ** 3 @ np.linalg.inv(_M1).T
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def lightness(colour: str) -> float:
    """Oklab lightness (0..1) of ``#rrggbb``."""
    rgb = np.array([[int(colour[k : k + 2], 16) for k in (1, 3, 5)]]) / 255
    return float(_to_oklab(rgb)[0, 0])


def contrast(first: str, second: str) -> float:
    """WCAG 2 contrast ratio of two colours ``#rrggbb``."""

    def luminance(colour: str) -> float:
        rgb = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@dataclass(frozen=True)
class Line:
    """How a model is written and drawn: a fixed colour, and a dash as the second cue."""

    label: str
    colour: str
    dash: tuple[int, ...]


# Colours after Okabe and Ito (2008), https://jfly.uni-koeln.de/color
_LINES = {
    "co2net": Line("CO2-Net", "#0072B2", ()),
    "co2net-plus": Line("CO2-Net+", "#D53E8F", (10, 3)),
    "vit": Line("ViT", "#E69F00", (6, 3)),
    "swinlstm": Line("SwinLSTM", "#009E73", (8, 3, 2, 3)),
    "cyclegan": Line("CycleGAN", "#CC79A7", (3, 3)),
    "senseiver": Line("Senseiver", "#D55E00", (9, 4, 3, 4, 3, 4)),
    "cyclegan-paired": Line("CycleGAN (paired)", "#CC79A7", (7, 2, 1, 2, 1, 2)),
    "interpolation": Line("Optimal interpolation", "#56B4E9", (2, 2)),
    "interpolation-window": Line("OI of the window", "#117FAE", (5, 2, 2, 2)),
    "kriging": Line("Kriging", "#7A6F00", (7, 2, 2, 2, 2, 2)),
    "climatology": Line("Climatology", "#8a8f98", (1, 3)),
}
_VARIANTS = ((9, 2, 2, 2), (5, 2, 1, 2, 1, 2), (12, 3, 3, 3), (2, 4))
_SPARE = ("#B07AA1", "#76B7B2", "#9C755F", "#B8860B")


def model_line(name: str) -> Line:
    """Colour and dash of a model; one that is not known gets a colour that stays its own.

    A variant such as ``vit-absolute`` has the colour of its family and another dash.
    """
    if name in _LINES:
        return _LINES[name]
    family, variant = family_of(name)
    if variant:
        drawn = _LINES[family]
        dash = _VARIANTS[0 if variant == "absolute" else sum(variant.encode()) % len(_VARIANTS)]
        return Line(f"{drawn.label} ({variant})", drawn.colour, dash)
    return Line(name, _SPARE[sum(name.encode()) % len(_SPARE)], (4, 2, 1, 2))


def family_of(name: str) -> tuple[str, str]:
    """Known family of a model and what distinguishes it: ``vit-absolute`` -> ``vit, absolute``."""
    parts = name.split("-")
    for count in range(len(parts), 0, -1):
        family = "-".join(parts[:count])
        if family in _LINES:
            return family, "-".join(parts[count:])
    return name, ""
