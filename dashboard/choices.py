"""What a view's address chooses on the pages of cases and stations, with the defaults."""

from __future__ import annotations

from collections.abc import Sequence

from co2net.evaluation.cases import Case
from co2net.source import FieldSource, whole_months
from dashboard.pages import shown_model
from dashboard.state import ViewState, World

CASE_LINES = 8
"""Most series of a case that are drawn, the truth among them."""
_OF_CASE = ("co2net-plus", "vit", "interpolation")
STATION_LINES = 7
"""Most models of a station that are drawn."""
_OF_STATION = ("co2net-plus", "interpolation", "vit")


def case_models(state: ViewState, world: World, case: Case | None) -> tuple[str, ...]:
    """Models whose series of a case are drawn."""
    there = world.models
    word = state.details.get("series")
    if word is not None:
        chosen = [name for name in word.split(",") if name in there]
    else:
        asked = case.models if case and case.models else _OF_CASE
        chosen = [name for name in asked if name in there] or list(there[:2])
    return tuple(chosen[: CASE_LINES - 1])


def station_models(state: ViewState, world: World) -> tuple[str, ...]:
    """Models that are drawn for a station; the one on the map among them."""
    word = state.details.get("lines")
    names = _OF_STATION if word is None else word.split(",")
    shown = shown_model(state, world)
    chosen = dict.fromkeys(name for name in (shown, *names) if name in world.models)
    return tuple(chosen)[:STATION_LINES]


def station_month(state: ViewState, source: FieldSource) -> str:
    """The month of the stations; the latest whole one where the address names none."""
    there = whole_months(source)
    word = state.details.get("month", "")
    return word if word in there else (there[-1] if there else "")


def station_code(state: ViewState, codes: Sequence[str]) -> str:
    """The chosen station; the first where the address names none."""
    word = state.details.get("station", "")
    return word if word in codes else (*codes, "")[0]
