"""What a case study says: its frames and colours in a data set, its text and its table."""

from __future__ import annotations

import re
from html import escape

import numpy as np
from numpy.typing import NDArray

from co2net.evaluation.cases import Case, CaseSeries
from co2net.inference import TRUTH
from co2net.regions import region
from dashboard.maps.layers import nice_limits, number
from dashboard.service import Service
from dashboard.theme import line
from dashboard.wording import Wording

COMPARISON_EVERY = 9
"""Of months that are compared, every 9th frame counts: 27 a month, at all hours of the day."""


def every(case: Case) -> int:
    """Every how many frames of a case are read."""
    return COMPARISON_EVERY if case.kind == "comparison" else 1


def frames_of(case: Case, service: Service) -> NDArray[np.int64]:
    """Positions of all frames of a case on the time axis, whether they hold data or not."""
    time = service.source.time
    parts = [np.flatnonzero((time >= a) & (time < b + 1)) for a, b in case.spans]
    return np.concatenate(parts).astype(np.int64)


def missing_months(case: Case, service: Service) -> list[str]:
    """Months (YYYY-MM) of a case of which the data lack frames or that lie beyond them."""
    there = service.source.available
    index = frames_of(case, service)
    months = service.source.time[index].astype("datetime64[M]")
    lacking = set(months[~there[index]].astype(str).tolist())
    for start, end in case.spans:
        wanted = np.arange(start.astype("datetime64[M]"), end.astype("datetime64[M]") + 1)
        lacking |= {str(month) for month in wanted if month not in months}
    return sorted(lacking)


def limits_of(case: Case, service: Service) -> tuple[float, float]:
    """Colour limits of CO2 that hold for all frames of a case, and suit its surroundings.

    5 and 95 % of the truth in the region's box and a quarter of its size around it (2 and 98 % of
    the whole Earth), in some frames spread over the case.
    """
    source = service.source
    index = frames_of(case, service)
    index = index[np.linspace(0, index.size - 1, min(12, index.size)).astype(int)]
    fields = service.engine.fields(TRUTH, source.time[index])
    west, south, east, north = region(case.region).bounds
    margin = max(east - west, north - south) / 4
    rows = (source.grid.lat >= south - margin) & (source.grid.lat <= north + margin)
    columns = (source.grid.lon - west + margin) % 360.0 <= east - west + 2 * margin
    if not (rows.any() and columns.any()):
        rows[:], columns[:] = True, True
    share = [5, 95] if region(case.region).polygons else [2, 98]
    low, high = np.nanpercentile(fields[:, rows][:, :, columns], share)
    return nice_limits(float(low), float(high))


def story(found: CaseSeries, words: Wording) -> str:
    """The case's text with the numbers of this data set."""
    lang = words.state.lang
    values = {name: _plain(text) for name, text in found.placeholders(lang).items()}
    if "best" in values:
        values["best"] = words.layer_name(values["best"])
    return found.case.fill(lang, values)


def table(found: CaseSeries, words: Wording, theme: str) -> str:
    """HTML: every series' first, last, change, and scores; everything is escaped."""
    t = words.t
    columns = ["first", "last", "change", "rmse", "correlation", "amplitude"]
    head = "".join(
        f'<th scope="col" title="{escape(t(f"cases.{key}_hint"))}">{escape(t(f"cases.{key}"))}</th>'
        for key in columns
    )
    scores = found.scores
    best = found.best if len(scores) > 1 else ""
    body = []
    for name, values in found.values.items():
        drawn = line(name, theme)
        own = scores.get(name, {})
        cells = [
            number(float(values[0]), 1),
            number(float(values[-1]), 1),
            number(found.change(values), 1, signed=True),
            *(
                number(own[key], 2) if key in own else ""
                for key in ("rmse", "correlation", "amplitude")
            ),
        ]
        row = "".join(
            f"<td{' class=best' if name == best and key == 'rmse' else ''}>{escape(cell)}</td>"
            for key, cell in zip(columns, cells, strict=True)
        )
        body.append(
            f'<tr data-model="{escape(name)}"><th scope="row">'
            f'<span class="key" style="background:{drawn.colour}"></span>'
            f"{escape(words.layer_name(name))}</th>{row}</tr>"
        )
    note = t("cases.note")
    if found.case.months:
        note += " " + t("cases.sampled", every=every(found.case))
    return (
        f'<table><thead><tr><th scope="col"></th>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table><p class=hint>{escape(note)}</p>"
    )


def _plain(text: str) -> str:
    """A number without a sign where it is nothing, and with a true minus; days as they are."""
    if re.fullmatch(r"[+-]?0\.0+", text):
        return text.lstrip("+-")
    return "−" + text[1:] if text.startswith("-") else text
