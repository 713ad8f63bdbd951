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
``correlation``       Pearson's of y and u over all cells and frames, each counted by its area
``amplitude``         ``sqrt(sum_t <(u - U)^2> / sum_t <(y - C)^2>)``, U_i the mean of u over
                      the frames scored: how much the cells' values move in time, the model's
                      over the truth's. 1 is right, less is too smooth; blind to bias.
====================  =======================================================================

The document weighs with ``cos(lat) / mean cos(lat)``; exact areas differ from it by a constant
factor, which a weighted mean cancels, on grids of equal steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
    "correlation": "1",
    "amplitude": "1",
}
"""Name and unit of every score."""

_CELL = ("n", "y", "u")
_REGION = ("count", "root", "square", "error", "area", "y", "u", "yy", "uu", "yu",
           "cyy", "cuu", "cyu")  # fmt: skip


@dataclass
class Scores:
    """Scores accumulated frame by frame and block by block: no field is kept.

    Parameters
    ----------
    grid
        Cells.
    masks : name -> (H, W) 0..1
        Regions; a cell counts by its share.
    blocks : int
        Stretches of time whose sums are kept apart, for `Sums.scores` of resampled blocks.

    Notes
    -----
    ACC about the truth's mean needs that mean before the sums; the sums of ``y`` and ``u`` by
    block and cell give it afterwards. They are taken about the first frames' mean, in double
    precision, so nothing cancels.
    """

    grid: LatLonGrid
    masks: Mapping[str, Field]
    blocks: int = 1
    frames: int = 0
    missing: int = 0
    _weights: Double = field(init=False, repr=False)
    _base: float = field(default=np.nan, init=False, repr=False)
    _cell: dict[str, Double] = field(init=False, repr=False)
    _region: dict[str, Double] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name, mask in self.masks.items():
            if np.shape(mask) != self.grid.shape or not np.any(np.asarray(mask) > 0):
                raise UserError(f"region {name}: its mask holds no cell of {self.grid!r}")
        areas = [
            np.asarray(mask, dtype=np.float64) * self.grid.area for mask in self.masks.values()
        ]
        self._weights = np.stack(areas).reshape(len(areas), -1) / self.grid.area.sum()
        cells = self._weights.shape[1]
        self._cell = {name: np.zeros((self.blocks, cells)) for name in _CELL}
        self._region = {name: np.zeros((self.blocks, len(areas))) for name in _REGION}

    def update(
        self,
        truth: Field,
        estimate: Field,
        background: Field | None = None,
        block: ArrayLike = 0,
    ) -> None:
        """Count frames.

        Parameters
        ----------
        truth, estimate : (n, H, W) umol/mol
            Cells where the truth is NaN are left out, and counted in ``missing``.
        background : (n, H, W) umol/mol
            For ``acc_climatology``; without it that score is NaN.
        block : int or (n,) int
            Which block each frame belongs to.

        Raises
        ------
        UserError
            When the estimate has gaps where the truth has none.
        """
        y = np.asarray(truth, dtype=np.float64).reshape(len(truth), -1)
        u = np.asarray(estimate, dtype=np.float64).reshape(len(estimate), -1)
        known = np.isfinite(y)
        whole = bool(known.all())
        if not np.isfinite(u if whole else u[known]).all():
            raise UserError("scores: the reconstruction has gaps where the truth has none")
        if np.isnan(self._base) and known.any():
            self._base = float(np.nanmean(y))
        base = 0.0 if np.isnan(self._base) else self._base
        self.frames += len(y)
        self.missing += int(np.count_nonzero(~known))
        y, u = y - base, u - base
        if not whole:
            y, u = np.where(known, y, 0), np.where(known, u, 0)
        weights = self._weights.T
        area = known @ weights
        some = area > 0
        share = np.where(some, area, 1)
        square = ((y - u) ** 2 @ weights) / share
        found = {
            "count": some.astype(np.float64),
            "root": np.sqrt(square),
            "square": square,
            "error": (u - y) @ weights / share,
            "area": area,
            "y": y @ weights,
            "u": u @ weights,
            "yy": (y * y) @ weights,
            "uu": (u * u) @ weights,
            "yu": (y * u) @ weights,
        }
        if background is None:
            found |= {name: np.full_like(area, np.nan) for name in ("cyy", "cuu", "cyu")}
        else:
            c = np.asarray(background, dtype=np.float64).reshape(len(y), -1) - base
            v, w = (y - c, u - c) if whole else (np.where(known, y - c, 0),
                                                 np.where(known, u - c, 0))  # fmt: skip
            found |= {
                "cyy": (v * v) @ weights,
                "cuu": (w * w) @ weights,
                "cyu": (v * w) @ weights,
            }
        blocks = np.broadcast_to(np.asarray(block, dtype=np.int64), len(y))
        for number in np.unique(blocks):
            rows = blocks == number
            for name, values in (("n", known), ("y", y), ("u", u)):
                self._cell[name][number] += values[rows].sum(axis=0)
            for name, values in found.items():
                self._region[name][number] += values[rows].sum(axis=0)

    def sums(self) -> Sums:
        """What all scores, and those of any resampled blocks, follow from."""
        cell, region, weights = self._cell, self._region, self._weights.T
        n = np.maximum(cell["n"].sum(axis=0), 1)
        mean, own = cell["y"].sum(axis=0) / n, cell["u"].sum(axis=0) / n

        def about(centre: Double, a: str, b: str) -> Double:
            """(blocks, regions): sums of (a - centre)(b - centre)."""
            product = region["".join(sorted(a + b, reverse=True))]
            linear = (cell[a] + cell[b]) * centre
            return product - linear @ weights + (cell["n"] * centre**2) @ weights

        return Sums(
            tuple(self.masks),
            {
                **{name: values.copy() for name, values in region.items()},
                "myy": about(mean, "y", "y"),
                "muu": about(mean, "u", "u"),
                "myu": about(mean, "u", "y"),
                "ouu": about(own, "u", "u"),
            },
        )

    def results(self) -> dict[str, dict[str, float]]:
        """Region -> score -> value; NaN where nothing was counted or the truth does not vary."""
        scores = self.sums().scores()
        return {
            name: {metric: float(values[number]) for metric, values in scores.items()}
            for number, name in enumerate(self.masks)
        }

    # -- keeping ------------------------------------------------------------------------

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Everything counted, to go on with later."""
        return {
            "counts": np.array([self.frames, self.missing]),
            "base": np.array(self._base),
            **{f"cell_{name}": values for name, values in self._cell.items()},
            **{f"region_{name}": values for name, values in self._region.items()},
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Inverse of `to_arrays`, on scores of the same grid, regions and blocks."""
        self.frames, self.missing = (int(value) for value in arrays["counts"])
        self._base = float(arrays["base"])
        self._cell = {name: arrays[f"cell_{name}"].copy() for name in _CELL}
        self._region = {name: arrays[f"region_{name}"].copy() for name in _REGION}


@dataclass(frozen=True)
class Sums:
    """Sums over frames, by block and region.

    Parameters
    ----------
    regions : (R,) str
    values : name -> (B, R)
        About the truth's mean by cell: ``myy, muu, myu``; about the estimate's own: ``ouu``;
        about the background: ``cyy, cuu, cyu``; the others as in `Scores`.
    """

    regions: tuple[str, ...]
    values: Mapping[str, Double]

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return len(self.values["count"])

    @property
    def frames(self) -> NDArray[np.int64]:
        """(R,): frames counted in each region."""
        return self.values["count"].sum(axis=0).astype(np.int64)

    def scores(self, weights: Double | None = None) -> dict[str, Double]:
        """Score -> (R,), or (K, R) for K weightings of the blocks.

        Parameters
        ----------
        weights : (K, B)
            How often each block counts; None counts each once. The means by cell that ``acc``
            and ``amplitude`` refer to stay those of all blocks.
        """
        each = np.ones((1, self.blocks)) if weights is None else weights
        s = {name: each @ values for name, values in self.values.items()}
        varies = s["myy"] > 1e-12 * s["area"]
        with np.errstate(invalid="ignore", divide="ignore"):
            y, u = s["y"] / s["area"], s["u"] / s["area"]
            spread_y, spread_u = s["yy"] / s["area"] - y**2, s["uu"] / s["area"] - u**2
            out = {
                "rmse_document": s["root"] / s["count"],
                "rmse": np.sqrt(s["square"] / s["count"]),
                "bias": s["error"] / s["count"],
                "acc": np.where(varies, s["myu"] / np.sqrt(s["myy"] * s["muu"]), np.nan),
                "acc_climatology": s["cyu"] / np.sqrt(s["cyy"] * s["cuu"]),
                "correlation": np.where(
                    np.minimum(spread_y, spread_u) > 1e-12,
                    (s["yu"] / s["area"] - y * u) / np.sqrt(spread_y * spread_u),
                    np.nan,
                ),
                "amplitude": np.where(varies, np.sqrt(np.maximum(s["ouu"], 0) / s["myy"]), np.nan),
            }
        return {name: values[0] for name, values in out.items()} if weights is None else out


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
