"""Numbers of a frame: how far each model is from the truth, and values at the chosen place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np

from co2net.errors import UserError
from co2net.evaluation.metrics import Scores
from dashboard.i18n import Translator
from dashboard.maps.layers import number
from dashboard.service import Service
from dashboard.theme import line

REGIONS = ("global", "ocean", "eurasia")
METRICS = {"rmse": "rmse", "bias": "bias", "acc": "acc_climatology"}
"""Scores of one frame and their names in `co2net.evaluation.metrics`. The ACC of a frame takes its
anomalies about the truth's mean over the frame's month, cell by cell."""


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
    masks = {key: service.mask(key) for key in regions}
    masks = {key: mask for key, mask in masks.items() if mask.sum() > 0}
    here = masks[region] * source.grid.area if region in masks else None
    cell = None if point is None else tuple(int(v) for v in source.grid.cell(*point))
    truth = None
    for name in ("truth", *models):
        try:
            values = service.engine.field(name, time)
        except UserError:
            continue
        if name == "truth":
            truth = values
        elif truth is not None:
            scores = Scores(source.grid, masks)
            scores.update(truth[None], values[None], service.month_mean(index)[None])
            for key, found in scores.results().items():
                for metric, score in METRICS.items():
                    out.scores[metric, name, key] = found[score]
        if cell is not None:
            out.here[name] = float(values[cell])
        elif here is not None:
            out.here[name] = float((values * here).sum() / here.sum())
    return out


def table(numbers: Numbers, t: Translator, theme: str, when: str) -> str:
    """HTML table of the scores; the best of each column is bold. Everything is escaped."""
    if not numbers.scores:
        return f'<p class="empty">{escape(t("numbers.empty"))}</p>'
    names = [t.or_else(f"region.{key}", t("numbers.box")) for key in numbers.regions]
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
            label, full = escape(t.model(model, short=True)), escape(t.model(model))
            cells = []
            for key in numbers.regions:
                value = numbers.scores.get((metric, model, key), float("nan"))
                mark = ' class="best"' if best[key] == model and len(numbers.models) > 1 else ""
                text = number(value, 2, signed=metric == "bias")
                cells.append(f"<td{mark}>{text}</td>")
            body.append(
                f'<tr data-metric="{metric}" data-model="{escape(model)}">'
                f'<th scope="row" title="{full}">'
                f'<span class="key" style="background:{drawn.colour}"></span>{label}</th>'
                f"{''.join(cells)}</tr>"
            )
    return (
        f"<table><caption>{escape(t('numbers.title'))} <small>{escape(when)}</small></caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    )


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
