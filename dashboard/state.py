"""What a view is: everything that its address holds, checked on the way in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import numpy as np
import param

from co2net.errors import UserError
from co2net.layers import ANOMALY, BACKGROUND, DIFFERENCE, SPREAD
from co2net.regions import region
from co2net.source import FieldSource, nearest_frame
from dashboard.i18n import LANGUAGES
from dashboard.maps.layers import VARIABLES
from dashboard.maps.projection import PROJECTIONS
from dashboard.theme import family_of

# The order in which families of models are offered; others follow. The first two are Compare's
# defaults: our best, and the strongest method without a network.
_ORDER = (
    "co2net-plus",
    "interpolation",
    "co2net",
    "vit",
    "swinlstm",
    "cyclegan",
    "cyclegan-paired",
    "senseiver",
    "interpolation-window",
    "kriging",
    "climatology",
)


def in_order(models: Sequence[str]) -> tuple[str, ...]:
    """Names of models, the best known first, and variants after all that are no variant."""
    known = {name: place for place, name in enumerate(_ORDER)}

    def place(name: str) -> tuple[bool, int, str]:
        family, variant = family_of(name)
        return variant != "", known.get(family, len(known)), name

    return tuple(sorted(models, key=place))


Word = Callable[[str, "World"], str]
"""Gives a word of an address as it shall be kept, or raises ValueError or UserError."""

THEMES = ("light", "dark")
SPANS = (2, 10, 30, 90)
"""Days about the chosen time that series and numbers can cover."""
MOST = 5
"""Models that can be compared at once."""


@dataclass(frozen=True)
class World:
    """What there is to choose from.

    Parameters
    ----------
    source
        The data set.
    pages, models
        Keys of pages and names of models (`in_order`), the defaults first.
    words
        What the addresses of single pages hold besides: by page, the name of each word and what
        checks it (`dashboard.pages.Page.words`).
    """

    source: FieldSource
    pages: tuple[str, ...]
    models: tuple[str, ...]
    words: Mapping[str, Mapping[str, Word]] = field(default_factory=dict)

    @property
    def layers(self) -> tuple[str, ...]:
        """Everything that one map can show."""
        variables = tuple(name for name in self.source.variables if name in VARIABLES)
        co2 = ("truth", *self.models)
        layers = [*co2, *(DIFFERENCE + name for name in self.models)]
        if BACKGROUND in self.models:
            layers += [ANOMALY + name for name in co2 if name != BACKGROUND]
        if len(self.models) > 1:
            layers.append(SPREAD)
        return (*layers, *variables)

    @property
    def winds(self) -> bool:
        """Whether there is a wind to draw."""
        return {"eastward_wind", "northward_wind"} <= set(self.source.variables)

    def first_frame(self) -> int:
        """Where a new visitor starts: the middle of the latest month."""
        available = np.flatnonzero(self.source.available)
        if available.size == 0:
            raise UserError("the data set holds no frames; run `co2net simulate` first")
        months = self.source.time[available].astype("datetime64[M]")
        latest = available[months == months[-1]]
        return int(latest[latest.size // 2])


class ViewState(param.Parameterized):
    """One session's view. Every parameter is part of the address."""

    page = param.String()
    frame = param.Integer()
    show = param.String("truth")
    models = param.Parameter((), doc="Names of up to `MOST` models.")
    region = param.String("global")
    projection = param.String("robinson")
    point = param.Tuple(None, length=2, allow_None=True)
    lang = param.String("en")
    theme = param.String("light")
    co2 = param.Tuple(None, length=2, allow_None=True)
    spread = param.Number(None, allow_None=True)
    cells = param.Boolean(False)
    stations = param.Boolean(True)
    wind = param.Boolean(False)
    cases = param.Boolean(False)
    centre = param.Tuple(None, length=2, allow_None=True, doc="Of the globe; None: by region.")
    window = param.Tuple(None, length=3, allow_None=True, doc="x, y, half width of the view.")
    span = param.Integer(10, doc="Days of series and numbers.")
    present = param.Boolean(False, doc="Full screen, without controls.")
    details = param.Dict({}, doc="Words of single pages, by name; their defaults are left out.")

    def __init__(self, world: World, **values: Any) -> None:
        defaults = {
            "page": world.pages[0],
            "frame": world.first_frame(),
            "models": world.models[:2],
        }
        super().__init__(**(defaults | values))
        self.world = world

    def keep(self, **words: str) -> None:
        """Keep words of a page in the address; an empty one leaves it."""
        self.details = {name: word for name, word in (self.details | words).items() if word}

    def address(self) -> str:
        """The query string that gives this view back, without the ``?``."""
        world = self.world
        words = {
            "page": self.page,
            "time": np.datetime_as_string(world.source.time[self.frame], unit="m"),
        }
        if self.show != "truth":
            words["show"] = self.show
        own = world.words.get(self.page, {})
        # A page with models of its own names those of Explore and Compare only where chosen.
        chosen = self.models != world.models[:2] or not {"series", "lines", "model"} & set(own)
        if self.models and chosen:
            words["models"] = ",".join(self.models)
        for name in ("region", "projection", "lang", "theme"):
            if getattr(self, name) != ViewState.param[name].default:
                words[name] = getattr(self, name)
        if self.point is not None:
            words["point"] = f"{self.point[0]:.2f},{self.point[1]:.2f}"
        if self.co2 is not None:
            words["co2"] = f"{self.co2[0]:g},{self.co2[1]:g}"
        if self.spread is not None:
            words["spread"] = f"{self.spread:g}"
        if self.cells:
            words["cells"] = "1"
        if not self.stations:
            words["stations"] = "0"
        if self.centre is not None:
            words["centre"] = f"{self.centre[0]:g},{self.centre[1]:g}"
        if self.window is not None:
            words["window"] = ",".join(f"{value:.1f}" for value in self.window)
        if self.span != ViewState.param.span.default:
            words["span"] = str(self.span)
        for name in ("wind", "cases", "present"):
            if getattr(self, name):
                words[name] = "1"
        for name in own:
            if name in self.details:
                words[name] = self.details[name]
        return urlencode(words, safe=":,", quote_via=quote)


@dataclass(frozen=True)
class Fault:
    """A parameter of an address that could not be used."""

    name: str
    value: str


def parse(query: str, world: World) -> tuple[dict[str, Any], list[Fault]]:
    """Read an address. Whatever cannot be used is left at its default and reported.

    Parameters
    ----------
    query
        Query string, with or without ``?``. Anything may stand in it.

    Returns
    -------
    values
        For `ViewState`.
    faults
        What was not understood, shortened, for a notice.
    """
    try:
        words = dict(parse_qsl(query.lstrip("?")[:4000], max_num_fields=50))
    except ValueError:
        return {}, [Fault("address", query[:60])]
    values: dict[str, Any] = {}
    faults = []
    own = {name: check for page in world.words.values() for name, check in page.items()}
    for name, word in words.items():
        if name in own:
            try:
                checked = own[name](word, world)
            except (UserError, ValueError, OverflowError):
                faults.append(Fault(name, word[:60]))
            else:
                values.setdefault("details", {})[name] = checked
            continue
        reader = _READERS.get(name)
        if reader is None:
            continue
        try:
            target, value = reader(word, world)
        except (UserError, ValueError, OverflowError):
            faults.append(Fault(name, word[:60]))
        else:
            values[target] = value
    return values, faults


def _choice(target: str, choices: Sequence[str], word: str) -> tuple[str, str]:
    if word not in choices:
        raise ValueError(word)
    return target, word


def _numbers(word: str, count: int) -> tuple[float, ...]:
    numbers = tuple(float(part) for part in word.split(","))
    if len(numbers) != count or not np.all(np.isfinite(numbers)):
        raise ValueError(word)
    return numbers


def _read_time(word: str, world: World) -> tuple[str, int]:
    if len(word) > 30:
        raise ValueError(word)
    wanted = np.datetime64(word.removesuffix("Z"), "s")
    if np.isnat(wanted):
        raise ValueError(word)
    found = nearest_frame(world.source, wanted)
    # A day beyond what there is counts as a fault; the hours of a day do not.
    if abs(world.source.time[found] - wanted) > np.timedelta64(1, "D"):
        raise ValueError(word)
    return "frame", found


def _read_point(word: str, world: World) -> tuple[str, tuple[float, float]]:
    lat, lon = _numbers(word, 2)
    if abs(lat) > 90 or abs(lon) > 360:
        raise ValueError(word)
    world.source.grid.cell(lat, lon)
    return "point", (lat, (lon + 180.0) % 360.0 - 180.0)


def _read_models(word: str, world: World) -> tuple[str, tuple[str, ...]]:
    names = tuple(dict.fromkeys(word.split(",")))
    if not 1 <= len(names) <= MOST or not set(names) <= set(world.models):
        raise ValueError(word)
    return "models", names


def _read_centre(word: str, world: World) -> tuple[str, tuple[float, float]]:
    lat, lon = _numbers(word, 2)
    if abs(lat) > 90 or abs(lon) > 360:
        raise ValueError(word)
    return "centre", (lat, (lon + 180.0) % 360.0 - 180.0)


def _read_window(word: str, world: World) -> tuple[str, tuple[float, float, float]]:
    x, y, reach = _numbers(word, 3)
    if not (abs(x) <= 250 and abs(y) <= 250 and 0.5 <= reach <= 500):
        raise ValueError(word)
    return "window", (x, y, reach)


def _read_span(word: str, world: World) -> tuple[str, int]:
    if word not in map(str, SPANS):
        raise ValueError(word)
    return "span", int(word)


def _read_limits(word: str, world: World) -> tuple[str, tuple[float, float]]:
    low, high = _numbers(word, 2)
    if not 0 <= low < high <= 5000:
        raise ValueError(word)
    return "co2", (low, high)


def _read_spread(word: str, world: World) -> tuple[str, float]:
    (spread,) = _numbers(word, 1)
    if not 0 < spread <= 1000:
        raise ValueError(word)
    return "spread", spread


def _read_flag(target: str, word: str) -> tuple[str, bool]:
    return target, _choice(target, ("0", "1"), word)[1] == "1"


_READERS: dict[str, Any] = {
    "page": lambda word, world: _choice("page", world.pages, word),
    "time": _read_time,
    "show": lambda word, world: _choice("show", world.layers, word),
    "models": _read_models,
    "region": lambda word, world: ("region", region(word).key),
    "projection": lambda word, world: _choice("projection", PROJECTIONS, word),
    "point": _read_point,
    "lang": lambda word, world: _choice("lang", tuple(LANGUAGES), word),
    "theme": lambda word, world: _choice("theme", THEMES, word),
    "co2": _read_limits,
    "spread": _read_spread,
    "cells": lambda word, world: _read_flag("cells", word),
    "stations": lambda word, world: _read_flag("stations", word),
    "wind": lambda word, world: _read_flag("wind", word),
    "cases": lambda word, world: _read_flag("cases", word),
    "present": lambda word, world: _read_flag("present", word),
    "centre": _read_centre,
    "window": _read_window,
    "span": _read_span,
}
