"""Conservative transport of a tracer on the sphere, in five layers.

The scheme works on masses alone. Air moves through the faces of the cells; the tracer that goes
with it is the integral of a van Leer reconstruction over the air that crosses a face. The
horizontal wind derives from a streamfunction on cell corners, so that it has no divergence, plus
a mean overturning whose convergence the vertical flux takes up. The air masses therefore
return to their initial values after every step to rounding, constants stay constant, and the
tracer's mass changes by the surface flux alone. Nothing crosses a pole, and no filter is needed.

Sources: Lin and Rood (1996, Mon. Wea. Rev. 124) for flux-form transport at any Courant number
along longitude; van Leer (1977, J. Comput. Phys. 23) for the monotone slopes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from co2net.grid import EARTH_RADIUS_M, LatLonGrid

GRAVITY = 9.80665
"""Standard gravity (m/s2)."""
MOLAR_MASS_AIR = 0.0289644
"""Molar mass of dry air (kg/mol)."""
LAYERS_PA = (500.0, 4500.0, 13000.0, 32000.0, 48300.0)
"""Thickness of the layers, the surface's first (Pa); together the mean dry surface pressure."""

Array = NDArray[np.float64]
_jit = numba.njit(cache=True, error_model="numpy", nogil=True)


@dataclass(frozen=True)
class Geometry:
    """What the kernel needs to know of the grid.

    Parameters
    ----------
    air : (L, H) kg
        Air mass of a cell.
    thickness : (L,) kg/m2
        Air mass a unit area.
    area : (H,) m2
    dphi, dlam : float
        Steps in radians.
    cos_edge : (H+1,)
        Cosine of latitude on the cell edges, exactly zero at the poles.
    """

    air: Array
    thickness: Array
    area: Array
    dphi: float
    dlam: float
    cos_edge: Array

    @classmethod
    def of(cls, grid: LatLonGrid, layers_pa: tuple[float, ...] = LAYERS_PA) -> Geometry:
        """Geometry of a regular global grid."""
        thickness = np.array(layers_pa) / GRAVITY
        area = grid.area[:, 0].copy()
        cos_edge = np.cos(np.radians(grid.lat_edges))
        cos_edge[[0, -1]] = 0.0
        return cls(
            air=thickness[:, None] * area[None, :],
            thickness=thickness,
            area=area,
            dphi=float(np.pi / grid.shape[0]),
            dlam=float(2 * np.pi / grid.shape[1]),
            cos_edge=cos_edge,
        )


@_jit
def _slope(left: float, centre: float, right: float) -> float:
    """Monotonised central difference (van Leer 1977)."""
    a, b = centre - left, right - centre
    if a * b <= 0.0:
        return 0.0
    s = 0.5 * (a + b)
    limit = 2.0 * min(abs(a), abs(b))
    if s > limit:
        return limit
    if s < -limit:
        return -limit
    return s


@_jit
def sweep_x(q: Array, m: Array, flux: Array, slope: Array, carried: Array) -> None:
    """Advect along longitude, in place; a face may sweep any number of cells.

    Parameters
    ----------
    q : (H, W)
        Mixing ratio.
    m : (H, W) kg
        Air mass.
    flux : (H, W) kg
        Air that crosses the western face of a cell, eastward positive.
    slope, carried : (W,)
        Work space.
    """
    rows, columns = q.shape
    for j in range(rows):
        for i in range(columns):
            slope[i] = _slope(q[j, i - 1], q[j, i], q[j, i + 1 if i + 1 < columns else 0])
        for i in range(columns):
            rest = flux[j, i]
            if rest >= 0.0:
                c = i - 1 if i > 0 else columns - 1
                total = 0.0
                while rest > m[j, c]:
                    total += m[j, c] * q[j, c]
                    rest -= m[j, c]
                    c = c - 1 if c > 0 else columns - 1
                carried[i] = total + rest * (q[j, c] + 0.5 * slope[c] * (1.0 - rest / m[j, c]))
            else:
                rest = -rest
                c = i
                total = 0.0
                while rest > m[j, c]:
                    total += m[j, c] * q[j, c]
                    rest -= m[j, c]
                    c = c + 1 if c + 1 < columns else 0
                carried[i] = -total - rest * (q[j, c] - 0.5 * slope[c] * (1.0 - rest / m[j, c]))
        for i in range(columns):
            e = i + 1 if i + 1 < columns else 0
            mass = m[j, i] + flux[j, i] - flux[j, e]
            q[j, i] = (m[j, i] * q[j, i] + carried[i] - carried[e]) / mass
            m[j, i] = mass


@_jit
def sweep_y(q: Array, m: Array, flux: Array, mixed: Array, slope: Array, carried: Array) -> None:
    """Advect and diffuse along latitude, in place; a face sweeps less than a cell.

    Parameters
    ----------
    q, m : (H, W)
        Mixing ratio and air mass (kg).
    flux : (H+1, W) kg
        Air that crosses the southern face of a cell, northward positive; zero at the poles.
    mixed : (H+1,) kg
        Air exchanged both ways across a face by unresolved eddies.
    slope : (H, W)
        Work space.
    carried : (H+1, W)
        Work space.
    """
    rows, columns = q.shape
    slope[0] = 0.0
    slope[rows - 1] = 0.0
    for j in range(1, rows - 1):
        for i in range(columns):
            slope[j, i] = _slope(q[j - 1, i], q[j, i], q[j + 1, i])
    carried[0] = 0.0
    carried[rows] = 0.0
    for j in range(1, rows):
        for i in range(columns):
            f = flux[j, i]
            if f >= 0.0:
                value = q[j - 1, i] + 0.5 * slope[j - 1, i] * (1.0 - f / m[j - 1, i])
            else:
                value = q[j, i] - 0.5 * slope[j, i] * (1.0 + f / m[j, i])
            carried[j, i] = f * value - mixed[j] * (q[j, i] - q[j - 1, i])
    for j in range(rows):
        for i in range(columns):
            mass = m[j, i] + flux[j, i] - flux[j + 1, i]
            q[j, i] = (m[j, i] * q[j, i] + carried[j, i] - carried[j + 1, i]) / mass
            m[j, i] = mass


@_jit
def sweep_columns(
    q: Array, m: Array, air: Array, exchange: Any, area: Array, dt: float, source: Array
) -> None:
    """Vertical transport, mixing and surface flux: one implicit solve a column, in place.

    The air that the horizontal sweeps piled up in a layer leaves through its top, so that the
    layers have their own masses again. Upwind and implicit: positive at any time step.

    Parameters
    ----------
    q, m : (L, H, W)
        Mixing ratio (umol/mol) and air mass (kg) after the horizontal sweeps.
    air : (L, H) kg
        Air mass that every cell returns to.
    exchange : (L-1, H, W) kg m-2 s-1
        Air exchanged both ways between a layer and the next one above.
    area : (H,) m2
    dt : s
    source : (H, W) kg umol/mol
        Tracer that the surface adds to the lowest layer.
    """
    layers, rows, columns = q.shape
    upper = np.empty(layers)
    value = np.empty(layers)
    for j in range(rows):
        for i in range(columns):
            lift = 0.0  # air through the lower face, upward
            below = 0.0  # of the tracer below: what passes up through the lower face
            back = 0.0  # of the tracer here: what passes down through the lower face
            for k in range(layers):
                mass = air[k, j]
                right = m[k, j, i] * q[k, j, i]
                if k == 0:
                    right += source[j, i]
                if k < layers - 1:
                    rise = lift + m[k, j, i] - mass
                    mixed = exchange[k, j, i] * area[j] * dt
                    out = mixed + max(rise, 0.0)
                    down = mixed + max(-rise, 0.0)
                else:
                    rise, out, down = 0.0, 0.0, 0.0
                # mass q_k = m q + below q_{k-1} - back q_k - out q_k + down q_{k+1}
                diagonal = mass + back + out
                if k > 0:
                    diagonal -= below * upper[k - 1]
                    right += below * value[k - 1]
                upper[k] = down / diagonal
                value[k] = right / diagonal
                lift, below, back = rise, out, down
            q[layers - 1, j, i] = value[layers - 1]
            for k in range(layers - 2, -1, -1):
                q[k, j, i] = value[k] + upper[k] * q[k + 1, j, i]
            for k in range(layers):
                m[k, j, i] = air[k, j]


@_jit
def _fluxes(
    fx: Array,
    fy: Array,
    layer: int,
    psi: Any,
    shape: Array,
    zonal: Any,
    meridional: Any,
    cos_edge: Array,
    dphi: float,
    dlam: float,
    scale: float,
) -> None:
    """Air through the faces of one layer in a step; see `advance` for the arguments."""
    rows, columns = fx.shape
    radius = EARTH_RADIUS_M
    parts = psi.shape[0]
    for j in range(rows + 1):
        for i in range(columns):
            e = i + 1 if i + 1 < columns else 0
            south = 0.0
            step = 0.0
            for p in range(parts):
                south += shape[layer, p] * psi[p, j, i]
                step += shape[layer, p] * (psi[p, j, e] - psi[p, j, i])
            wind = meridional[layer, j] * radius * cos_edge[j] * dlam
            fy[j, i] = (step + wind) * scale if 0 < j < rows else 0.0
            if j > 0:
                # psi at the north-western corner of row j - 1 is `south` of this row
                fx[j - 1, i] -= south * scale
            if j < rows:
                fx[j, i] = (south + zonal[layer, j] * radius * dphi) * scale


@_jit
def advance(
    q: Array,
    m: Array,
    psi: Any,
    shape: Array,
    zonal: Any,
    meridional: Any,
    exchange: Any,
    diffusion: Array,
    source: Any,
    air: Array,
    thickness: Array,
    area: Array,
    cos_edge: Array,
    dphi: float,
    dlam: float,
    dt: float,
    steps: int,
    surface: Array,
) -> float:
    """Advance the state over one interval of constant weather and flux, in place.

    Parameters
    ----------
    q, m : (L, H, W)
        Mixing ratio (umol/mol) and air mass (kg).
    psi : (P, H+1, W) m2/s
        Streamfunctions on the south-western corners of the cells.
    shape : (L, P)
        Their share in each layer.
    zonal : (L, H) m/s
        Mean zonal wind of the cells.
    meridional : (L, H+1) m/s
        Mean meridional wind on the edges; without net mass flux over the layers.
    exchange : (L-1, H, W) kg m-2 s-1
    diffusion : (L,) m2/s
        Eddy diffusivity along latitude.
    source : (H, W) umol m-2 s-1
        Surface flux of CO2.
    air, thickness, area, cos_edge, dphi, dlam
        As in `Geometry`.
    dt : s
        Step.
    steps : int
        Steps in the interval, an even number.
    surface : (H, W)
        Receives the lowest layer at the middle of the interval.

    Returns
    -------
    float
        Largest Courant number along latitude; the scheme needs it below one.
    """
    layers, rows, columns = q.shape
    fx = np.empty((layers, rows, columns))
    fy = np.empty((layers, rows + 1, columns))
    mixed = np.zeros((layers, rows + 1))
    added = np.empty((rows, columns))
    slope_x, carried_x = np.empty(columns), np.empty(columns)
    slope_y, carried_y = np.empty((rows, columns)), np.empty((rows + 1, columns))
    courant = 0.0
    for k in range(layers):
        _fluxes(
            fx[k],
            fy[k],
            k,
            psi,
            shape,
            zonal,
            meridional,
            cos_edge,
            dphi,
            dlam,
            thickness[k] * dt,
        )
        for j in range(1, rows):
            mixed[k, j] = diffusion[k] * dt * thickness[k] * cos_edge[j] * dlam / dphi
            for i in range(columns):
                donor = air[k, j - 1] if fy[k, j, i] >= 0.0 else air[k, j]
                courant = max(courant, abs(fy[k, j, i]) / donor)
    for j in range(rows):
        for i in range(columns):
            added[j, i] = source[j, i] * MOLAR_MASS_AIR * area[j] * dt
    for step in range(steps):
        for k in range(layers):
            if step % 2 == 0:
                sweep_x(q[k], m[k], fx[k], slope_x, carried_x)
                sweep_y(q[k], m[k], fy[k], mixed[k], slope_y, carried_y)
            else:
                sweep_y(q[k], m[k], fy[k], mixed[k], slope_y, carried_y)
                sweep_x(q[k], m[k], fx[k], slope_x, carried_x)
        sweep_columns(q, m, air, exchange, area, dt, added)
        if 2 * (step + 1) == steps:
            surface[:] = q[0]
    return courant
