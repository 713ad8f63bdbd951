"""From a model's own grid to a store's: bilinear, on regular, Gaussian and curvilinear grids."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from co2net.errors import UserError
from co2net.grid import LatLonGrid, bilinear

Regrid = Callable[[NDArray[np.float32]], NDArray[np.float32]]

_NEWTON = 12
_SLACK = 1e-6
_REACH = 1.6


def regridder(lat: ArrayLike, lon: ArrayLike, target: LatLonGrid) -> Regrid:
    """A function that brings fields (..., H, W) to the target's cells (..., H', W').

    Parameters
    ----------
    lat, lon : degrees
        Cell centres: one dimension each, in any order and any turn of longitude, or two
        dimensions (H, W) of a curvilinear grid.
    target
        Where values are wanted. Beyond the last row of centres (between it and the pole) the
        value of the nearest centre holds.

    Raises
    ------
    UserError
        When the coordinates are not sound, or leave cells of the target without a value.
    """
    lat, lon = np.asarray(lat, dtype=np.float64), np.asarray(lon, dtype=np.float64)
    if not (np.isfinite(lat).all() and np.isfinite(lon).all()) or np.abs(lat).max() > 90.001:
        raise UserError("latitudes or longitudes are missing or no degrees")
    if lat.ndim == lon.ndim == 1:
        grid, rows, columns = LatLonGrid.from_coords(lat, lon)
        _require_globe(grid)

        def straight(fields: NDArray[np.float32]) -> NDArray[np.float32]:
            sorted_ = fields[..., rows, :][..., columns]
            return bilinear(sorted_, grid, target).astype(np.float32)

        return straight
    if lat.ndim == 2 and lat.shape == lon.shape and min(lat.shape) >= 2:
        places, weights = _curvilinear(lat, lon, target)

        def bent(fields: NDArray[np.float32]) -> NDArray[np.float32]:
            flat = fields.reshape(*fields.shape[:-2], -1)
            found = np.einsum("...nk,nk->...n", flat[..., places], weights)
            return found.reshape(*fields.shape[:-2], *target.shape).astype(np.float32)

        return bent
    raise UserError(
        f"its grid has coordinates of shapes {lat.shape} and {lon.shape}; only latitude by "
        "longitude and curvilinear grids can be read"
    )


def _require_globe(grid: LatLonGrid) -> None:
    step = np.diff(grid.lat).max()
    if not grid.cyclic or grid.lat[0] - step > -88 or grid.lat[-1] + step < 88:
        raise UserError(
            f"its grid spans {grid.lat[0]:g} to {grid.lat[-1]:g} degrees north and "
            f"{grid.lon[0]:g} to {grid.lon[-1]:g} east; the whole globe is wanted"
        )


def _vectors(lat: NDArray[np.float64], lon: NDArray[np.float64]) -> NDArray[np.float64]:
    phi, lam = np.radians(lat), np.radians(lon)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def _curvilinear(
    lat: NDArray[np.float64], lon: NDArray[np.float64], target: LatLonGrid
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Flat positions (N, 4) and weights (N, 4) of every target cell.

    Of the four quadrilaterals about the nearest centre, that which holds the target, both seen
    in the gnomonic projection about it; inside, the inverse of the bilinear map by Newton's
    method. Where none holds it, the nearest centre, if it is near.
    """
    from scipy.spatial import cKDTree

    height, width = lat.shape
    nodes = _vectors(lat, lon)
    wanted_lat, wanted_lon = (
        axis.ravel() for axis in np.meshgrid(target.lat, target.lon, indexing="ij")
    )
    points = _vectors(wanted_lat, wanted_lon)
    distance, nearest = cKDTree(nodes.reshape(-1, 3)).query(points)
    row, column = np.divmod(nearest, width)
    seam = np.linalg.norm(nodes[:, 0] - nodes[:, -1], axis=-1)
    spacing = np.linalg.norm(np.diff(nodes, axis=1), axis=-1)
    cyclic = bool(np.median(seam) < _REACH * np.median(spacing))

    south, west = np.meshgrid([-1, 0], [-1, 0], indexing="ij")
    low = row[:, None] + south.ravel()
    left = column[:, None] + west.ravel()
    inside = (low >= 0) & (low + 1 < height)
    if cyclic:
        left %= width
    else:
        inside &= (left >= 0) & (left + 1 < width)
    low, left = np.clip(low, 0, height - 2), np.clip(left, 0, width - 1)
    right = (left + 1) % width
    corners = np.stack(
        [
            low * width + left,
            low * width + right,
            (low + 1) * width + left,
            (low + 1) * width + right,
        ],
        axis=-1,
    )  # fmt: skip  (N, 4 quadrilaterals, 4 corners)

    zero = np.zeros_like(wanted_lon)
    east = _vectors(zero, wanted_lon + 90.0)
    north = np.cross(points, east)
    around = nodes.reshape(-1, 3)[corners]
    along = np.einsum("nqcx,nx->nqc", around, points)
    x = np.einsum("nqcx,nx->nqc", around, east) / along
    y = np.einsum("nqcx,nx->nqc", around, north) / along
    u, v = _inverse_bilinear(x, y)
    outside = np.maximum(np.abs(u - 0.5), np.abs(v - 0.5)) - 0.5
    outside = np.where(inside & (along > 0.1).all(axis=-1) & np.isfinite(outside), outside, np.inf)
    best = np.argmin(outside, axis=1)
    each = np.arange(points.shape[0])
    held = outside[each, best] <= _SLACK
    u, v = np.clip(u[each, best], 0, 1), np.clip(v[each, best], 0, 1)
    weights = np.stack([(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v], axis=-1)
    places = corners[each, best]
    places[~held] = nearest[~held, None]
    weights[~held] = (1.0, 0.0, 0.0, 0.0)
    reach = _REACH * np.quantile(spacing.max(axis=1), 0.9)
    far = ~held & (distance > reach)
    if far.any():
        raise UserError(f"its grid leaves {far.mean():.0%} of the globe's cells without a value")
    return places, weights


def _inverse_bilinear(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(u, v) in which the bilinear map of four corners (..., 4) reaches the origin."""
    u, v = np.full(x.shape[:-1], 0.5), np.full(x.shape[:-1], 0.5)

    def terms(c: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        return (
            c[..., 0],
            c[..., 1] - c[..., 0],
            c[..., 2] - c[..., 0],
            c[..., 3] - c[..., 2] - c[..., 1] + c[..., 0],
        )

    ax, bx, cx, dx = terms(x)
    ay, by, cy, dy = terms(y)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for _ in range(_NEWTON):
            fx, fy = ax + bx * u + cx * v + dx * u * v, ay + by * u + cy * v + dy * u * v
            xu, xv, yu, yv = bx + dx * v, cx + dx * u, by + dy * v, cy + dy * u
            det = xu * yv - xv * yu
            u = np.clip(u - (fx * yv - fy * xv) / det, -5, 6)
            v = np.clip(v - (xu * fy - yu * fx) / det, -5, 6)
    return u, v
