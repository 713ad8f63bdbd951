"""Numbers of a frame: how far each model is from the truth, and values at the chosen place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from html import escape

import numpy as np
from numpy.typing import NDArray

from co2net import diagnostics
from co2net.errors import UserError
from co2net.evaluation.metrics import Scores
from dashboard.i18n import Translator
from dashboard.maps.layers import nice_limits, number
from dashboard.service import Service
from dashboard.theme import line

FRAMES = 120
"""Most frames that scores of a stretch of time read."""
PIXELS = 320
"""Of a side of a scatter plot."""
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
    edges, shares : (bins + 1,) ppm; name -> (bins,)
        Over a region, share of its area per ppm.
    """

    index: int
    models: tuple[str, ...]
    regions: tuple[str, ...]
    scores: dict[tuple[str, str, str], float] = field(default_factory=dict)
    here: dict[str, float] = field(default_factory=dict)
    edges: NDArray[np.float64] | None = None
    shares: dict[str, NDArray[np.float64]] = field(default_factory=dict)


@dataclass
class SpanNumbers:
    """Scores over a stretch of time, model by model as they are computed.

    Parameters
    ----------
    stretch
        First and last frame.
    frames
        How many frames of it were read: all, or evenly spread ones where there are many.
    scores
        By (metric, model, region).
    errors : model -> (H,)
        Root mean square error by latitude.
    points : model -> (size, size)
        How many cells have which truth (to the right) and which value (upwards).
    limits
        Of the axes of ``points``, ppm.
    whole
        Whether all models are there.
    """

    stretch: tuple[int, int]
    frames: int
    limits: tuple[float, float]
    scores: dict[tuple[str, str, str], float] = field(default_factory=dict)
    errors: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    points: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    whole: bool = False


class _StaleError(Exception):
    """Something else has been asked for meanwhile."""


def judge_span(
    service: Service,
    models: Sequence[str],
    stretch: tuple[int, int],
    region: str,
    tell: Callable[[SpanNumbers], None],
    stale: Callable[[], bool],
) -> None:
    """Compare models with the truth over a stretch of time; safe in any thread.

    Of more than `FRAMES` frames every k-th is read, k odd, so that all hours of the day count.
    """
    source = service.source
    index = np.arange(stretch[0], stretch[1] + 1)
    every = -(-index.size // FRAMES)
    index = index[:: every + (every + 1) % 2]
    index = index[source.available[index]]
    if index.size == 0:
        return
    keys = (*REGIONS, region) if region not in REGIONS else REGIONS
    masks = {key: service.mask(key) for key in keys}
    masks = {key: mask for key, mask in masks.items() if mask.sum() > 0}
    truth = service.engine.fields("truth", source.time[index])
    means = np.stack([service.month_mean(int(i)) for i in index])
    out = SpanNumbers(stretch, index.size, _round_limits(truth))

    def check(share: float, what: str) -> None:
        if stale():
            raise _StaleError

    for name in models:
        known = np.isin(source.time[index], service.engine.times(name))
        if not known.any():
            continue
        try:
            values = service.engine.fields(name, source.time[index[known]], check)
        except UserError:
            continue
        except _StaleError:
            return
        scores = Scores(source.grid, masks)
        scores.update(truth[known], values, means[known])
        for key, found in scores.results().items():
            for metric, score in METRICS.items():
                out.scores[metric, name, key] = found[score]
        out.errors[name] = diagnostics.error_by_latitude(truth[known], values)
        out.points[name] = diagnostics.density(truth[known], values, out.limits, PIXELS)
        done = dict(out.scores), dict(out.errors), dict(out.points)
        tell(SpanNumbers(stretch, index.size, out.limits, *done))
    tell(replace(out, whole=True))


def _round_limits(values: NDArray[np.float32]) -> tuple[float, float]:
    low, high = np.nanpercentile(values[:: max(1, len(values) // 16)], [0.1, 99.9])
    return nice_limits(float(low), float(high))


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
            if out.edges is None:
                inside = values[here > 0]
                out.edges = np.linspace(*nice_limits(float(inside.min()), float(inside.max())), 41)
            out.shares[name] = diagnostics.histogram(values, here, out.edges)
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


def strips(
    frame: Numbers | None,
    span: SpanNumbers | None,
    models: Sequence[str],
    regions: Sequence[str],
    t: Translator,
    theme: str,
    stretch: str,
) -> list[str]:
    """HTML: names of the rows, and a table a model of its scores; the best is bold.

    Every cell has the score of the frame and, smaller, that of the stretch of time.
    """
    names = [t.or_else(f"region.{key}", t("numbers.box")) for key in regions]
    rows = "".join(f"<tr><th>{escape(name)}</th></tr>" for name in names)
    head = (
        f"<table><thead><tr><th>{escape(t('numbers.frame'))} <i>{escape(stretch)}</i>"
        f"</th></tr></thead><tbody>{rows}</tbody></table>"
    )
    out = [head]
    kinds = [found.scores if found is not None else {} for found in (frame, span)]
    titles = "".join(
        f'<th scope="col" title="{escape(t("numbers." + metric))}">'
        f"{escape(t('numbers.short_' + metric))}</th>"
        for metric in METRICS
    )
    for model in models:
        body = []
        for key, name in zip(regions, names, strict=True):
            cells = []
            for metric in METRICS:
                texts = []
                for scores in kinds:
                    value = scores.get((metric, model, key), float("nan"))
                    text = number(value, 2, signed=metric == "bias")
                    best = _best_of(scores, models, metric, key) == model and len(models) > 1
                    texts.append(f'<span class="best">{text}</span>' if best else text)
                cells.append(f"<td>{texts[0]}<i>{texts[1]}</i></td>")
            body.append(
                f'<tr data-region="{escape(key)}"><th class="hidden" scope="row">'
                f"{escape(name)}</th>{''.join(cells)}</tr>"
            )
        colour = line(model, theme).colour
        out.append(
            f'<table data-model="{escape(model)}" style="border-top-color:{colour}"><caption '
            f'class="hidden">{escape(t.model(model))}</caption><thead><tr>'
            f'<td class="hidden"></td>{titles}</tr></thead><tbody>{"".join(body)}</tbody></table>'
        )
    return out


def _best(numbers: Numbers, metric: str, key: str) -> str | None:
    return _best_of(numbers.scores, numbers.models, metric, key)


def _best_of(
    scores: dict[tuple[str, str, str], float], models: Sequence[str], metric: str, key: str
) -> str | None:
    found = {
        model: scores[metric, model, key]
        for model in models
        if np.isfinite(scores.get((metric, model, key), float("nan")))
    }
    if not found:
        return None
    if metric == "acc":
        return max(found, key=found.__getitem__)
    return min(found, key=lambda model: abs(found[model]))
