"""The pieces of the check table."""

from __future__ import annotations

import numpy as np
import pytest

from co2net.assets import reference_path
from co2net.grid import LatLonGrid
from co2net.naturerun.check import CheckRow, format_table, mean_cycle
from co2net.naturerun.fit import COEFFICIENTS, RANK, reference_fluxes
from co2net.naturerun.statistics import marine_mask


def test_mean_cycle_of_a_known_series() -> None:
    when = 2000 + np.arange(3653) / 365.25
    values = 370 + 2 * (when - 2000) + 0.05 * (when - 2000) ** 2
    values = values + 5 * np.cos(2 * np.pi * (when - 100 / 365.25))
    amplitude, day = mean_cycle(when, values)
    assert amplitude == pytest.approx(10, rel=0.01)
    assert abs(day - (100 + 182.6)) < 3


def test_table_shows_misses() -> None:
    text = format_table(
        [
            CheckRow("first", 1.5, "at most 2", "ppm", True),
            CheckRow("second", 3.0, "at most 2", "ppm", False, "why"),
            CheckRow("third", float("nan"), "at most 2", "ppm", None),
        ]
    )
    assert "ok" in text
    assert "MISS" in text
    assert "(why)" in text


def test_masks() -> None:
    grid = LatLonGrid.ct()
    sea = marine_mask(grid)
    assert sea.any(axis=1).all()  # every band has an open sea or stands for itself
    assert not (sea & (grid.land_fraction > 0.5))[20:80].any()


def test_coefficients_follow_the_reference() -> None:
    reference = reference_path()
    if reference is None:
        pytest.skip("reference data are not here (they are not shipped)")
    seen = reference_fluxes(reference)
    with np.load(COEFFICIENTS, allow_pickle=False) as file:
        for name, rank in RANK.items():
            assert file[f"{name}_bands"].shape == (rank, 90)
            fitted = np.tile(file[f"{name}_cycle"], (19, 1))
            fitted = fitted + file[f"{name}_months"] @ file[f"{name}_bands"]
            error = np.sqrt(((fitted - seen[name]) ** 2).mean() / (seen[name] ** 2).mean())
            assert error < 0.1
