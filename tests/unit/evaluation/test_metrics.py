"""Scores against values derived by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from co2net.errors import UserError
from co2net.evaluation.metrics import METRICS, Scores, acc, bias, rmse, rmse_document
from co2net.grid import LatLonGrid

GRID = LatLonGrid.regular(18, 36)


def truth_of(frames: int = 5) -> NDArray[np.float64]:
    return 400 + np.random.default_rng(0).normal(0, 3, (frames, *GRID.shape))


def test_a_constant_offset_is_its_own_error() -> None:
    truth = truth_of()
    assert rmse(truth, truth - 2.5, GRID) == pytest.approx(2.5)
    assert rmse_document(truth, truth - 2.5, GRID) == pytest.approx(2.5)
    assert bias(truth, truth - 2.5, GRID) == pytest.approx(-2.5)


def test_the_mean_of_roots_is_not_the_root_of_the_mean() -> None:
    truth = truth_of(2)
    estimate = truth.copy()
    estimate[1] += 4.0  # errors of 0 and 4: (0 + 4) / 2 and sqrt((0 + 16) / 2)
    assert rmse_document(truth, estimate, GRID) == pytest.approx(2.0)
    assert rmse(truth, estimate, GRID) == pytest.approx(np.sqrt(8.0))


def test_one_cell_counts_by_its_exact_area() -> None:
    truth = truth_of(1)
    estimate = truth.copy()
    estimate[0, 0, 7] += 6.0  # from 90S to 80S and 10 degrees wide
    share = (np.sin(np.radians(-80)) - np.sin(np.radians(-90))) / 2 * 10 / 360
    assert rmse(truth, estimate, GRID) == pytest.approx(6 * np.sqrt(share))
    assert bias(truth, estimate, GRID) == pytest.approx(6 * share)


def test_an_error_of_cos_lat_has_the_integral_of_its_square() -> None:
    # int cos^2 d(sin) / 2 over the sphere = 1 - 1/3
    fine = LatLonGrid.regular(360, 4)
    truth = np.zeros((1, *fine.shape))
    error = np.cos(np.radians(fine.lat))[None, :, None] * np.ones((1, 1, 4))
    assert rmse(truth, truth + error, fine) == pytest.approx(np.sqrt(2 / 3), abs=1e-5)
    north = np.zeros(fine.shape)
    north[fine.lat > 30] = 1  # int from 1/2 to 1 of (1 - s^2) ds / (1/2) = 5/12
    assert rmse(truth, truth + error, fine, north) == pytest.approx(np.sqrt(5 / 12), abs=1e-4)


def test_a_region_counts_cells_by_their_share() -> None:
    truth = truth_of(3)
    estimate = truth.copy()
    estimate[:, 5] += 1.0
    estimate[:, 12] += 3.0  # the same area as row 5
    mask = np.zeros(GRID.shape)
    mask[5], mask[12] = 1.0, 0.25
    assert bias(truth, estimate, GRID, mask) == pytest.approx((1 + 0.25 * 3) / 1.25)
    assert rmse(truth, estimate, GRID, mask) == pytest.approx(np.sqrt((1 + 0.25 * 9) / 1.25))
    with pytest.raises(UserError, match="holds no cell"):
        rmse(truth, estimate, GRID, np.zeros(GRID.shape))


def test_anomaly_correlation_by_hand() -> None:
    truth = truth_of(40)
    mean = truth.mean(axis=0)
    assert acc(truth, truth, GRID) == pytest.approx(1.0)
    assert acc(truth, mean - 3 * (truth - mean), GRID) == pytest.approx(-1.0)  # amplitude is free
    assert (
        np.isnan(acc(truth, np.broadcast_to(mean, truth.shape), GRID))
        or abs(acc(truth, np.broadcast_to(mean, truth.shape), GRID)) < 1e-6
    )
    # An offset counts, for u is taken about the truth's mean: y' = +-1, u' = y' + 1
    two = np.stack([np.full(GRID.shape, 399.0), np.full(GRID.shape, 401.0)])
    assert acc(two, two + 1, GRID) == pytest.approx(2 / np.sqrt(2 * 4))
    assert np.isnan(acc(two[:1], two[:1], GRID))  # one frame has no anomaly


def test_a_climatology_that_knows_the_season_takes_it_out_of_the_acc() -> None:
    season = 10 * np.sin(2 * np.pi * np.arange(48) / 48)[:, None, None] * np.ones(GRID.shape)
    rng = np.random.default_rng(1)
    weather, other = rng.normal(0, 1, (2, 48, *GRID.shape))
    scores = Scores(GRID, {"globe": np.ones(GRID.shape)})
    scores.update(400 + season + weather, 400 + season + other, 400 + season)
    result = scores.results()["globe"]
    assert result["acc"] > 0.97  # the document's variant is flattered by the season
    assert abs(result["acc_climatology"]) < 0.05  # there is no skill in the weather
    assert set(result) == set(METRICS)


def test_frames_may_come_in_any_portions() -> None:
    truth = truth_of(11)
    estimate = truth + np.random.default_rng(2).normal(1, 2, truth.shape)
    background = truth + np.random.default_rng(3).normal(0, 2, truth.shape)
    masks = {"globe": np.ones(GRID.shape), "half": np.linspace(0, 1, GRID.lon.size) + 0 * truth[0]}
    whole, parts = Scores(GRID, masks), Scores(GRID, masks)
    whole.update(truth, estimate, background)
    for part in np.split(np.arange(11), [1, 4, 10]):
        parts.update(truth[part], estimate[part], background[part])
    for name in masks:
        for metric in METRICS:
            assert parts.results()[name][metric] == pytest.approx(whole.results()[name][metric])


def test_unknown_truth_is_left_out_and_counted() -> None:
    truth = truth_of(4)
    estimate = truth + 2.0
    truth[1, 3, 4:10] = np.nan
    estimate[1, 3, 4:10] = 1e6
    scores = Scores(GRID, {"globe": np.ones(GRID.shape)})
    scores.update(truth, estimate)
    assert scores.missing == 6
    assert scores.frames == 4
    assert scores.results()["globe"]["rmse_document"] == pytest.approx(2.0)
    estimate[0, 0, 0] = np.nan
    with pytest.raises(UserError, match="gaps where the truth has none"):
        scores.update(truth, estimate)
