"""The document's three case studies: daily means over a region, truth and models side by side.

The cases are the document's dates and places; what happens on them here is what the data set
holds. In the simulated world the events were put in by hand, and no number is an observation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from co2net.errors import UserError
from co2net.inference import TRUTH, window_length
from co2net.regions import region
from co2net.source import FieldSource

if TYPE_CHECKING:
    from co2net.models.base import Reconstructor

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Case:
    """An event: which region, and its first and last day.

    Parameters
    ----------
    key, title : str
    region : str
        Key of `co2net.regions.region`.
    start, end : str
        ISO days, inclusive.
    role : str
        What the days were to the models.
    """

    key: str
    title: str
    region: str
    start: str
    end: str
    role: str


CASES = (
    Case("amazon-fires", "Amazon fires", "amazon", "2019-08-04", "2019-08-10", "validation"),
    Case("siberian-uptake", "Siberian uptake", "siberia", "2020-06-03", "2020-06-23", "test"),
    Case("california-fires", "California fires", "california", "2020-10-11", "2020-10-30", "test"),
)


@dataclass(frozen=True)
class CaseSeries:
    """Daily means of a case.

    Parameters
    ----------
    case
        Which.
    days : (D,) datetime64[D]
    values : name -> (D,) umol/mol
        ``truth`` first, then the models.
    """

    case: Case
    days: NDArray[np.datetime64]
    values: dict[str, NDArray[np.float64]]


def case_series(
    source: FieldSource,
    models: Sequence[Reconstructor],
    case: Case,
    progress: Progress | None = None,
) -> CaseSeries:
    """Area means over the case's region, averaged over the frames of each day.

    Raises
    ------
    UserError
        When the data set lacks a frame that the days or the models' windows need.
    """
    start, end = np.datetime64(case.start, "D"), np.datetime64(case.end, "D")
    index = np.flatnonzero((source.time >= start) & (source.time < end + 1))
    reach = max([1, *(window_length(model) for model in models)])
    needed = np.arange(index[0] - reach + 1, index[-1] + 1) if index.size else index
    if needed.size == 0 or needed[0] < 0 or not source.available[needed].all():
        raise UserError(f"case {case.key}: the data set lacks frames of {case.start} to {case.end}")
    weights = region(case.region).mask(source.grid) * source.grid.area
    weights = weights / weights.sum()
    days, day = np.unique(source.time[index].astype("datetime64[D]"), return_inverse=True)
    values = {name: np.zeros(days.size) for name in (TRUTH, *(m.info.name for m in models))}
    for number, today in enumerate(days):
        frames = index[day == number]
        fields = [source.read(["co2"], frames)[0], *(m.reconstruct(source, frames) for m in models)]
        for name, field in zip(values, fields, strict=True):
            values[name][number] = np.einsum("thw,hw->t", field, weights).mean()
        if progress is not None:
            progress((number + 1) / days.size, f"{case.key}, {today}")
    return CaseSeries(case, days, values)


def markdown(series: Sequence[CaseSeries]) -> str:
    """A table a case: first and last day, lowest, highest, and distance from the truth."""
    lines = [
        "## Case studies",
        "",
        "The document's dates and places; what happens there is the data set's own. In the "
        "simulated world the events were put in by hand.",
        "",
    ]
    for item in series:
        case, truth = item.case, item.values[TRUTH]
        lines += [
            f"### {case.title}, {case.start} to {case.end} ({case.role})",
            "",
            f"Daily means over the region `{case.region}`, ppm. Error: root mean square of the "
            "daily means; r: their correlation with the truth's.",
            "",
            "| | first day | last day | lowest | highest | error | r |",
            "|---|---|---|---|---|---|---|",
        ]
        for name, values in item.values.items():
            cells = [values[0], values[-1], values.min(), values.max()]
            text = " | ".join(f"{value:.1f}" for value in cells)
            apart = "– | –"
            if name != TRUTH:
                error = np.sqrt(np.mean((values - truth) ** 2))
                apart = f"{error:.2f} | {np.corrcoef(values, truth)[0, 1]:.2f}"
            lines.append(f"| {name} | {text} | {apart} |")
        lines.append("")
    return "\n".join(lines[:-1]) + "\n"
