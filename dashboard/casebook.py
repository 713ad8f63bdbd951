"""What a case study says: its frames and colours in a data set, its text and its table."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape

import numpy as np
from numpy.typing import NDArray

from co2net.evaluation.cases import Case, CaseSeries, case_frames
from co2net.inference import TRUTH
from co2net.ocean.engine import Ocean
from co2net.ocean.events import daily_means
from co2net.regions import region
from dashboard.maps.layers import nice_limits, number
from dashboard.oceans.layers import SHOWN
from dashboard.oceans.wording import OceanWording
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


def sentences(words: Wording, *texts: str) -> str:
    """One text; Chinese has no blanks between sentences."""
    return ("" if words.state.lang == "zh" else " ").join(texts)


def flux_series(
    ocean: Ocean,
    found: CaseSeries,
    progress: Callable[[float, str], None] | None = None,
    show: Callable[[CaseSeries], None] | None = None,
) -> CaseSeries:
    """Daily means of the flux through the sea of a case's region, mol m-2 yr-1.

    Parameters
    ----------
    found
        The case's CO2; the flux is that of the same names at the same frames.
    progress
        Told the share done, and the name.
    show
        Given the series after every name.

    Raises
    ------
    UserError
        When the region has no sea.
    """
    case, names = found.case, list(found.values)
    models = [name for name in names if name != TRUTH]
    times = ocean.engine.source.time[case_frames(ocean.engine, case, models, every(case))]
    values: dict[str, NDArray[np.float64]] = {}
    for n, name in enumerate(names):

        def tell(share: float, name: str, n: int = n) -> None:
            if progress is not None:
                progress((n + share) / len(names), name)

        tell(0.0, name)
        days, own = daily_means(ocean, "flux", [name], case.region, times, tell)
        values |= own
        flux = CaseSeries(case, days, dict(values))
        if show is not None:
            show(flux)
    return flux


def flux_story(flux: CaseSeries, words: Wording) -> str:
    """What the flux did, in numbers of this data set."""
    t, truth = words.t, flux.values[TRUTH]
    ends = dict(zip(("first", "last"), (truth[0], truth[-1]), strict=True))
    numbers = {key: _plain(f"{value:+.2f}") for key, value in ends.items()}
    change = _plain(f"{flux.change(truth):+.2f}")
    text = t("cases.flux_story", **numbers, change=change, unit=SHOWN["flux"].unit)
    if not flux.scores:
        return text
    best = flux.best
    told = t(
        "cases.flux_best",
        name=words.layer_name(best),
        change=_plain(f"{flux.change(flux.values[best]):+.2f}"),
        rmse=number(flux.scores[best]["rmse"], 3),
        unit=SHOWN["flux"].unit,
    )
    return sentences(words, text, told)


def table(found: CaseSeries, words: Wording, theme: str) -> str:
    """HTML: every series' first, last, change, and scores; everything is escaped."""
    note = words.t("cases.note")
    if found.case.months:
        note = sentences(words, note, words.t("cases.sampled", every=every(found.case)))
    return _table(found, words, theme, "ppm", (1, 2), note)


def flux_table(flux: CaseSeries, sea: OceanWording, theme: str) -> str:
    """HTML: the same of the flux."""
    t, unit = sea.session.t, SHOWN["flux"].unit
    note = t("cases.flux_note", unit=unit, sign=sea.sign("flux"))
    title = sea.measured("flux")
    return _table(flux, sea.session, theme, unit, (2, 3), note, title)


def _table(
    found: CaseSeries,
    words: Wording,
    theme: str,
    unit: str,
    digits: tuple[int, int],
    note: str,
    title: str = "",
) -> str:
    t = words.t
    columns = ["first", "last", "change", "rmse", "correlation", "amplitude"]
    hints = {key: t(f"cases.{key}_hint", unit=unit) for key in columns}
    head = "".join(
        f'<th scope="col" title="{escape(hints[key])}">{escape(t(f"cases.{key}"))}</th>'
        for key in columns
    )
    scores = found.scores
    best = found.best if len(scores) > 1 else ""
    body = []
    for name, values in found.values.items():
        drawn = line(name, theme)
        own = scores.get(name, {})
        cells = [
            number(float(values[0]), digits[0]),
            number(float(values[-1]), digits[0]),
            number(round(found.change(values), digits[0]) + 0.0, digits[0], signed=True),
            number(own["rmse"], digits[1]) if "rmse" in own else "",
            *(number(own[key], 2) if key in own else "" for key in ("correlation", "amplitude")),
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
    caption = f"<caption>{escape(title)}</caption>" if title else ""
    return (
        f'<table>{caption}<thead><tr><th scope="col"></th>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table><p class=hint>{escape(note)}</p>"
    )


def _plain(text: str) -> str:
    """A number without a sign where it is nothing, and with a true minus; days as they are."""
    if re.fullmatch(r"[+-]?0\.0+", text):
        return text.lstrip("+-")
    return "−" + text[1:] if text.startswith("-") else text
