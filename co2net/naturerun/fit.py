"""Coefficients of the surface fluxes, fitted to CarbonTracker CT2019B.

Run once by the developers, where the reference data are; the world reads the result,
``coefficients.npz``. The reference data themselves are not shipped.

Source: CarbonTracker CT2019B zonal monthly fluxes (Jacobson et al. 2020, NOAA Global Monitoring
Laboratory, https://carbontracker.noaa.gov), via NCAR so-co2-airborne-obs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from co2net.assets import atomic_path

COEFFICIENTS = Path(__file__).with_name("coefficients.npz")
COMPONENTS = {"ocean": "SFCO2_OCN", "land": "SFCO2_LND", "fossil": "SFCO2_FFF"}
RANK = {"ocean": 12, "land": 16, "fossil": 2}
"""Patterns of interannual anomalies that are kept a component."""


def reference_fluxes(reference: Path) -> dict[str, NDArray[np.float64]]:
    """CT2019B's monthly fluxes in bands of 2 degrees, 2000-2018.

    Returns
    -------
    dict
        Component -> (228, 90) PgC/yr a band, south first.
    """
    import xarray as xr

    path = reference / "carbontracker-derived" / "fluxes_za_ts_monthly.nc"
    with xr.open_dataset(path) as data:
        return {
            name: data[variable].values.reshape(-1, 90, 2).sum(axis=2)
            for name, variable in COMPONENTS.items()
        }


def fit(reference: Path, path: Path = COEFFICIENTS) -> None:
    """Fit a mean cycle a band and the leading patterns of its anomalies; write them."""
    arrays = {}
    for name, flux in reference_fluxes(reference).items():
        cycle = flux.reshape(-1, 12, 90).mean(axis=0)
        anomaly = flux - np.tile(cycle, (flux.shape[0] // 12, 1))
        left, size, right = np.linalg.svd(anomaly, full_matrices=False)
        rank = RANK[name]
        arrays[f"{name}_cycle"] = cycle.astype(np.float32)
        arrays[f"{name}_months"] = (left[:, :rank] * size[:rank]).astype(np.float32)
        arrays[f"{name}_bands"] = right[:rank].astype(np.float32)
    with atomic_path(path) as draft, draft.open("wb") as handle:
        np.savez_compressed(handle, **arrays)
