"""Views of many frames at once: latitude against time, error by latitude, densities.

Everything is weighted by exact cell areas. Pictures of more points than pixels are made by
datashader, which counts or averages what falls into a pixel and drops nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from co2net.errors import UserError
from co2net.inference import Engine
from co2net.layers import combine, ingredients

Float = NDArray[np.float32]
Double = NDArray[np.float64]
Progress = Callable[[float, str], None]


def layer_fields(
    engine: Engine, layer: str, times: ArrayLike, progress: Progress | None = None
) -> Float:
    """(n, H, W): a layer of `co2net.layers` in the schema's units.

    Raises
    ------
    UserError
        When a field that it is made of cannot be had.
    """
    return combine(layer, [engine.fields(name, times, progress) for name in ingredients(layer)])


def hovmoller(
    engine: Engine,
    layer: str,
    times: ArrayLike,
    mask: NDArray[np.floating[Any]] | None = None,
    progress: Progress | None = None,
) -> Double:
    """(n, H): mean along every row of cells, time by time; NaN where a field cannot be had.

    Parameters
    ----------
    times : (n,) datetime64
    mask : (H, W) 0..1
        Share of each cell that counts; rows without any are NaN. None: all count.
    """
    wanted = np.atleast_1d(np.asarray(times, dtype="datetime64[s]"))
    weights = np.ones(engine.grid.shape) if mask is None else np.asarray(mask, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        weights = weights / weights.sum(axis=1, keepdims=True)
    possible = np.ones(wanted.size, dtype=bool)
    for name in ingredients(layer):
        possible &= np.isin(wanted, engine.times(name))
    out = np.full((wanted.size, engine.grid.shape[0]), np.nan)
    chosen = np.flatnonzero(possible)
    for start in range(0, chosen.size, 40):
        rows = chosen[start : start + 40]
        out[rows] = np.einsum("thw,hw->th", layer_fields(engine, layer, wanted[rows]), weights)
        if progress is not None:
            progress((start + rows.size) / chosen.size, layer)
    return out


def image(values: Double, columns: int, rows: int) -> Double:
    """(rows, columns): values (n, m), n along x and m along y, averaged onto pixels.

    NaN where there is nothing.
    """
    import datashader as ds
    import xarray as xr

    array = xr.DataArray(
        values.T.astype(np.float64),
        coords={"y": np.arange(values.shape[1]) + 0.5, "x": np.arange(values.shape[0]) + 0.5},
        dims=("y", "x"),
    )
    canvas = ds.Canvas(
        plot_width=columns,
        plot_height=rows,
        x_range=(0, values.shape[0]),
        y_range=(0, values.shape[1]),
    )
    made = canvas.raster(array, downsample_method="mean", interpolate="nearest")
    return np.asarray(made.values, dtype=np.float64)


def density(x: ArrayLike, y: ArrayLike, limits: tuple[float, float], size: int) -> NDArray[Any]:
    """(size, size): how many points (x, y) fall into each pixel of a square, y upwards."""
    import datashader as ds
    import pandas as pd

    if not limits[0] < limits[1]:
        raise UserError(f"density: limits {limits} hold nothing")
    frame = pd.DataFrame({"x": np.ravel(x), "y": np.ravel(y)})
    canvas = ds.Canvas(plot_width=size, plot_height=size, x_range=limits, y_range=limits)
    return np.asarray(canvas.points(frame, "x", "y").values, dtype=np.int64)


def hexagons(size: int, across: int) -> NDArray[np.int64]:
    """(size, size): number of the hexagon that holds each pixel of a square.

    Parameters
    ----------
    size
        Pixels of a side.
    across
        Hexagons of a side; every second row is shifted by half of one.
    """
    wide = size / across
    high = wide * np.sqrt(0.75)
    y, x = np.indices((size, size)) + 0.5
    row = np.floor(y / high)
    best = np.full((size, size), np.inf)
    found = np.zeros((size, size), dtype=np.int64)
    for k in (row, row + 1):
        shift = 0.5 * (k % 2)
        column = np.round(x / wide - shift)
        distance = (x - (column + shift) * wide) ** 2 + (y - k * high) ** 2
        number = (k * (across + 2) + column + 1).astype(np.int64)
        found = np.where(distance < best, number, found)
        best = np.minimum(best, distance)
    return found


def hexbin(counts: NDArray[np.integer[Any]], across: int) -> NDArray[np.int64]:
    """(size, size): counts of `density`, each pixel with the sum over its hexagon."""
    cells = hexagons(counts.shape[0], across)
    sums = np.bincount(cells.ravel(), weights=counts.ravel())
    return np.round(sums[cells]).astype(np.int64)


def error_by_latitude(truth: Float, estimate: Float) -> Double:
    """(H,): root mean square error of (n, H, W) fields along every row of cells."""
    square = (np.asarray(estimate, np.float64) - truth) ** 2
    return np.sqrt(square.mean(axis=(0, 2)))


def histogram(
    values: NDArray[np.floating[Any]], weights: NDArray[np.floating[Any]], edges: Double
) -> Double:
    """(bins,): share of the area, per unit of the values, in each bin.

    Parameters
    ----------
    values, weights : (H, W)
        Weights are areas; cells outside the edges count for the sum of areas only.
    """
    counts, _ = np.histogram(values.ravel(), edges, weights=weights.ravel())
    return counts / weights.sum() / np.diff(edges)
