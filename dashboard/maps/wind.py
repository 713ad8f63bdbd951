"""The wind, drawn as short streaks that follow the flow, with a head at the end."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from co2net.grid import LatLonGrid
from dashboard.maps.projection import Projection, cell_weights

Array = NDArray[np.float64]

_STEPS = 6
_SPEED = 12.0  # m/s that give a streak as long as the streaks are apart
_HEAD = 0.28  # length of the head, of the distance between streaks
_CALM = 0.5  # m/s below which nothing is drawn


def streaks(
    projection: Projection,
    grid: LatLonGrid,
    eastward: NDArray[np.float32],
    northward: NDArray[np.float32],
    extent: tuple[float, float, float, float],
    across: int = 40,
) -> tuple[Array, Array]:
    """Polylines in the plane of the map, one after the other with NaN in between.

    A streak starts at each point of a lattice of the plane and goes with the wind; components
    are turned into the plane's directions where the streak is, which near a pole of the map
    differ from point to point.

    Parameters
    ----------
    eastward, northward : (H, W) m/s
    extent
        (x0, y0, x1, y1) of the plane to fill.
    across : int
        Streaks across the extent.

    Returns
    -------
    x, y : (M,)
    """
    x0, y0, x1, y1 = extent
    # On a map that is higher than wide they are as many as on one that is not.
    apart = (x1 - x0) / across / min(1.0, float(np.sqrt(0.51 * (x1 - x0) / (y1 - y0))))
    rows = np.arange(y0 + apart / 2, y1, apart)
    columns = np.arange(x0 + apart / 2, x1, apart)
    x, y = np.meshgrid(columns, rows)
    x[1::2] += apart / 2
    at = np.stack([x.ravel(), y.ravel()])
    u, v = eastward.ravel(), northward.ravel()

    def flow(at: Array) -> Array:
        """(2, P): speed and direction in the plane, m/s times its scale there."""
        lon, lat = projection.inverse(*at)
        known = np.isfinite(lon)
        out = np.full(at.shape, np.nan)
        if known.any():
            cells, weights = cell_weights(grid, lon[known], lat[known])
            east, north = projection.directions(lon[known], lat[known])
            out[:, known] = (u[cells] * weights).sum(1) * east + (v[cells] * weights).sum(1) * north
        return out

    first = flow(at)
    seen = np.hypot(*first) > _CALM
    at, velocity = at[:, seen], first[:, seen]
    path = [at]
    for _ in range(_STEPS):
        at = at + velocity * (apart / _SPEED / _STEPS)
        velocity = flow(at)
        path.append(np.where(np.isfinite(velocity), at, np.nan))  # no line leaves the map
    course = path[-1] - path[-2]
    length = np.hypot(*course)
    with np.errstate(invalid="ignore", divide="ignore"):
        course = course / length * np.minimum(_HEAD * apart, 2.5 * _STEPS * length)
    turned = np.stack([-course[1], course[0]])
    end = path[-1]
    path += [end - course + 0.5 * turned, end, end - course - 0.5 * turned]
    path.append(np.full_like(end, np.nan))
    lines = np.stack(path)  # (points, 2, streaks)
    return lines[:, 0].T.ravel(), lines[:, 1].T.ravel()
