"""Numbers of a frame: how far each model is from the truth, and values at the chosen place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
from numpy.typing import NDArray

from co2net.errors import UserError
from dashboard.i18n import Translator
from dashboard.maps.layers import number
from dashboard.service import Service
from dashboard.theme import line

REGIONS = ("global", "ocean", "eurasia")
METRICS = ("rmse", "bias", "acc")


@dataclass
class Numbers:
    """Scores of one frame.

    Parameters
    ----------
    index
        The frame.
    models, regions
        Rows and columns.
    scores
        By (metric, model, region).
    here
        Value of the truth and of every model at the chosen point or over the chosen region.
    """

    index: int
    models: tuple[str, ...]
    regions: tuple[str, ...]
    scores: dict[tuple[str, str, str], float] = field(default_factory=dict)
    here: dict[str, float] = field(default_factory=dict)


def judge(
    service: Service,
    models: Sequence[str],
    index: int,
    region: str,
    point: tuple[float, float] | None,
) -> Numbers:
    """Compare models with the truth at one frame; safe in any thread."""
    source = service.source
    regions = (*REGIONS, region) if region not in REGIONS else REGIONS
    out = Numbers(index, tuple(models), regions)
    time = source.time[index]
    weights = {key: service.mask(key) * source.grid.weights for key in regions}
    here = weights[region]
    cell = None if point is None else tuple(int(v) for v in source.grid.cell(*point))
    for name in ("truth", *models):
        try:
            values = service.engine.field(name, time).astype(np.float64)
        except UserError:
            continue
        if name == "truth":
            truth = values
        else:
            for key, weight in weights.items():
                if weight.sum() <= 0:
                    continue
                for metric in METRICS:
                    out.scores[metric, name, key] = _score(metric, values, truth, weight)
        if cell is not None:
            out.here[name] = float(values[cell])
        elif here.sum() > 0:
            out.here[name] = float((values * here).sum() / here.sum())
    return out


def table(numbers: Numbers, t: Translator, theme: str, region_name: str, when: str) -> str:
    """HTML table of the scores; the best of each column is bold. Everything is escaped."""
    if not numbers.scores:
        return f'<p class="empty">{escape(t("numbers.empty"))}</p>'
    names = [t.or_else(f"region.{key}", region_name) for key in numbers.regions]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in ["", *names])
    body = []
    for metric in METRICS:
        body.append(
            f'<tr><th class="metric" scope="rowgroup" colspan="{len(names) + 1}">'
            f"{escape(t('numbers.' + metric))}</th></tr>"
        )
        best = {key: _best(numbers, metric, key) for key in numbers.regions}
        for model in numbers.models:
            drawn = line(model, theme)
            label = escape(t.or_else(f"model.{model}", drawn.label))
            cells = []
            for key in numbers.regions:
                value = numbers.scores.get((metric, model, key), float("nan"))
                mark = ' class="best"' if best[key] == model and len(numbers.models) > 1 else ""
                text = number(value, 2, signed=metric == "bias")
                cells.append(f"<td{mark}>{text}</td>")
            body.append(
                f'<tr data-metric="{metric}" data-model="{escape(model)}"><th scope="row" title="{label}">'
                f'<span class="key" style="background:{drawn.colour}"></span>{label}</th>'
                f"{''.join(cells)}</tr>"
            )
    return (
        f"<table><caption>{escape(t('numbers.title'))} <small>{escape(when)}</small></caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    )


def _score(
    metric: str,
    values: NDArray[np.float64],
    truth: NDArray[np.float64],
    weight: NDArray[np.float64],
) -> float:
    weight = weight / weight.sum()
    error = values - truth
    if metric == "rmse":
        return float(np.sqrt((weight * error**2).sum()))
    if metric == "bias":
        return float((weight * error).sum())
    mean = (weight * truth).sum()
    y, u = values - mean, truth - mean
    return float((weight * y * u).sum() / np.sqrt((weight * y**2).sum() * (weight * u**2).sum()))


def _best(numbers: Numbers, metric: str, key: str) -> str | None:
    found = {
        model: numbers.scores[metric, model, key]
        for model in numbers.models
        if np.isfinite(numbers.scores.get((metric, model, key), float("nan")))
    }
    if not found:
        return None
    if metric == "acc":
        return max(found, key=found.__getitem__)
    return min(found, key=lambda model: abs(found[model]))
