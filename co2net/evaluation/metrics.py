"""Scores of fields against truth, weighted with exact cell areas and regions' masks.

With truth ``y`` and reconstruction ``u`` at frames t and cells i, weights ``a_i`` = cell area x
share of the cell in the region, and ``<x> = sum_i a_i x_i / sum_i a_i`` over cells where the
truth is known:

====================  =======================================================================
``rmse_document``     ``mean_t sqrt <(y - u)^2>``: the project document's, a mean of roots
``rmse``              ``sqrt mean_t <(y - u)^2>``: the root of the mean; never smaller
``bias``              ``mean_t <u - y>``
``acc``               ``sum_t <y' u'> / sqrt(sum_t <y'^2> sum_t <u'^2>)``, the document's
                      variant: ``y' = y - C``, ``u' = u - C``, C_i the mean of the truth over
                      the frames scored. Trend and season count as anomalies, so it flatters.
``acc_climatology``   the same about a climatology + level given for each frame (the
                      background): the skill in what a climatology does not know
====================  =======================================================================

The document weighs with ``cos(lat) / mean cos(lat)``; exact areas differ from it by a constant
factor, which a weighted mean cancels, on grids of equal steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from co2net.errors import UserError
from co2net.grid import LatLonGrid

Field = NDArray[np.floating[Any]]
Double = NDArray[np.float64]

METRICS: dict[str, str] = {
    "rmse_document": "umol mol-1",
    "rmse": "umol mol-1",
    "bias": "umol mol-1",
    "acc": "1",
    "acc_climatology": "1",
}
"""Name and unit of every score."""


@dataclass
class Scores:
    """Scores accumulated frame by frame: neither truth nor fields are kept.

    Parameters
    ----------
    grid
        Cells.
    masks : name -> (H, W) 0..1
        Regions; a cell counts by its share.

    Notes
    -----
    ACC about the truth's mean needs that mean before the sums; the sums of ``y``, ``u``, ``y^2``,
    ``u^2`` and ``y u`` by cell give it afterwards. They are taken about the first frame's area
    mean, and about the background, in double precision, so nothing cancels.
    """

    grid: LatLonGrid
    masks: Mapping[str, Field]
    frames: int = 0
    missing: int = 0
    _weights: Double = field(init=False, repr=False)
    _base: float | None = field(default=None, init=False, repr=False)
    _cell: dict[str, Double] = field(init=False, repr=False)
    _region: dict[str, Double] = field(init=False, repr=False)
    _counted: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name, mask in self.masks.items():
            if np.shape(mask) != self.grid.shape or not np.any(np.asarray(mask) > 0):
                raise UserError(f"region {name}: its mask holds no cell of {self.grid!r}")
        areas = [
            np.asarray(mask, dtype=np.float64) * self.grid.area for mask in self.masks.values()
        ]
        self._weights = np.stack(areas).reshape(len(areas), -1) / self.grid.area.sum()
        cells = self._weights.shape[1]
        self._cell = {name: np.zeros(cells) for name in ("n", "y", "u", "yy", "uu", "yu")}
        self._region = {
            name: np.zeros(len(areas)) for name in ("root", "square", "error", "yu", "yy", "uu")
        }
        self._counted = np.zeros(len(areas), dtype=np.int64)

    def update(self, truth: Field, estimate: Field, background: Field | None = None) -> None:
        """Count frames.

        Parameters
        ----------
        truth, estimate : (n, H, W) umol/mol
            Cells where the truth is NaN are left out, and counted in ``missing``.
        background : (n, H, W) umol/mol
            For ``acc_climatology``; without it that score is NaN.

        Raises
        ------
        UserError
            When the estimate has gaps where the truth has none.
        """
        y = np.asarray(truth, dtype=np.float64).reshape(len(truth), -1)
        u = np.asarray(estimate, dtype=np.float64).reshape(len(estimate), -1)
        known = np.isfinite(y)
        if not np.isfinite(u[known]).all():
            raise UserError("scores: the reconstruction has gaps where the truth has none")
        if self._base is None:
            self._base = float(np.nanmean(y)) if known.any() else 0.0
        self.frames += len(y)
        self.missing += int(np.count_nonzero(~known))
        y, u = np.where(known, y - self._base, 0), np.where(known, u - self._base, 0)
        for name, values in (("n", known), ("y", y), ("u", u)):
            self._cell[name] += values.sum(axis=0)
        for name, (a, b) in {"yy": (y, y), "uu": (u, u), "yu": (y, u)}.items():
            self._cell[name] += np.einsum("tn,tn->n", a, b)

        area = known @ self._weights.T
        some = area > 0
        area = np.where(some, area, 1)
        square = ((y - u) ** 2 @ self._weights.T) / area
        self._counted += some.sum(axis=0)
        self._region["root"] += np.sqrt(square).sum(axis=0)
        self._region["square"] += square.sum(axis=0)
        self._region["error"] += (((u - y) @ self._weights.T) / area).sum(axis=0)
        if background is None:
            self._region["yy"] += np.nan
            return
        c = np.asarray(background, dtype=np.float64).reshape(len(y), -1) - self._base
        y, u = np.where(known, y - c, 0), np.where(known, u - c, 0)
        for name, product in (("yy", y * y), ("uu", u * u), ("yu", y * u)):
            self._region[name] += ((product @ self._weights.T) / area).sum(axis=0)

    def results(self) -> dict[str, dict[str, float]]:
        """Region -> score -> value; NaN where nothing was counted or the truth does not vary."""
        cell, region = self._cell, self._region
        n = np.maximum(cell["n"], 1)
        mean = cell["y"] / n
        yy = self._weights @ (cell["yy"] - cell["n"] * mean**2)
        uu = self._weights @ (cell["uu"] - 2 * mean * cell["u"] + cell["n"] * mean**2)
        yu = self._weights @ (cell["yu"] - mean * cell["u"])
        varies = yy > 1e-12 * self._weights.sum(axis=1) * max(self.frames, 1)
        out = {}
        with np.errstate(invalid="ignore", divide="ignore"):
            count = self._counted.astype(np.float64)
            scores = {
                "rmse_document": region["root"] / count,
                "rmse": np.sqrt(region["square"] / count),
                "bias": region["error"] / count,
                "acc": np.where(varies, yu / np.sqrt(yy * uu), np.nan),
                "acc_climatology": region["yu"] / np.sqrt(region["yy"] * region["uu"]),
            }
        for number, name in enumerate(self.masks):
            out[name] = {metric: float(values[number]) for metric, values in scores.items()}
        return out


def _score(
    metric: str, truth: Field, estimate: Field, grid: LatLonGrid, mask: Field | None
) -> float:
    scores = Scores(grid, {"region": np.ones(grid.shape) if mask is None else mask})
    scores.update(truth, estimate)
    return scores.results()["region"][metric]


def rmse_document(
    truth: Field, estimate: Field, grid: LatLonGrid, mask: Field | None = None
) -> float:
    """Mean over frames of the root of each frame's mean square error (umol/mol).

    The document's ``RMSE``, its section 3. ``truth`` and ``estimate`` are (n, H, W).
    """
    return _score("rmse_document", truth, estimate, grid, mask)


def rmse(truth: Field, estimate: Field, grid: LatLonGrid, mask: Field | None = None) -> float:
    """Root of the mean square error over frames and cells (umol/mol), both (n, H, W)."""
    return _score("rmse", truth, estimate, grid, mask)


def bias(truth: Field, estimate: Field, grid: LatLonGrid, mask: Field | None = None) -> float:
    """Mean of estimate less truth (umol/mol), both (n, H, W)."""
    return _score("bias", truth, estimate, grid, mask)


def acc(truth: Field, estimate: Field, grid: LatLonGrid, mask: Field | None = None) -> float:
    """Anomaly correlation about the truth's mean over the frames given, both (n, H, W).

    The document's variant; see the module for what it flatters.
    """
    return _score("acc", truth, estimate, grid, mask)
