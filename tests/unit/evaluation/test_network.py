"""Models and observations at the stations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from co2net.errors import UserError
from co2net.evaluation.network import (
    at_stations,
    cycle_of_year,
    frames_of_month,
    read_sites,
    site_scores,
)
from co2net.evaluation.report import STATIONS, write_rows
from co2net.evaluation.sites import SiteRow
from co2net.inference import Engine
from tests.synthetic import SyntheticSource
from tests.unit.evaluation.fakes import GRID, Fake


@pytest.fixture(scope="module")
def engine() -> Engine:
    source = SyntheticSource(GRID, "2002-01-01", "2002-02-28", sites=5)
    return Engine(source, models=[Fake("near", 0.5), Fake("far", -2.0, frames=9)])


def test_scores_by_hand() -> None:
    observed = np.array([[1.0, 4.0, np.nan], [3.0, 4.0, 1.0], [5.0, np.nan, np.nan]])
    values = np.array([[2.0, 5.0, 0.0], [2.0, 3.0, 0.0], [8.0, 9.0, 0.0]])
    found = site_scores(observed, values)
    np.testing.assert_allclose(found["rmse"][:2], [np.sqrt((1 + 1 + 9) / 3), 1.0])
    np.testing.assert_allclose(found["bias"][:2], [1.0, 0.0], atol=1e-12)
    assert found["correlation"][0] == pytest.approx(np.corrcoef([1, 3, 5], [2, 2, 8])[0, 1])
    assert np.isnan(found["correlation"][1])  # the observation does not vary
    assert all(np.isnan(found[name][2]) for name in found)  # one pair is no sample


def test_values_are_those_of_the_stations_cells(engine: Engine) -> None:
    index = frames_of_month(engine.source, "2002-01", 5)
    found = at_stations(engine, ["near", "far"], index)
    rows, columns = engine.source.stations.cells(GRID)
    truth = engine.source.read(["co2"], index)[0][:, rows, columns]
    np.testing.assert_allclose(found.values["near"], truth + 0.5, atol=0.01)
    # The first two frames (0 and 5) have no window of nine frames before them.
    assert np.isnan(found.values["far"][:2]).all()
    np.testing.assert_allclose(found.values["far"][2:], truth[2:] - 2.0, atol=0.01)
    np.testing.assert_allclose(found.observed, truth, atol=0.01)
    np.testing.assert_allclose(found.scores("near")["bias"], 0.5, atol=0.01)
    np.testing.assert_allclose(found.scores("far")["rmse"], 2.0, atol=0.01)


def test_a_year_has_its_whole_months_and_one_sample_for_all(engine: Engine) -> None:
    cycle = cycle_of_year(engine, ["near", "far"], 2002, every=7)
    assert cycle.months == ("2002-01", "2002-02")
    # Over the same frames the models stay apart by exactly their shifts.
    np.testing.assert_allclose(cycle.values["near"] - cycle.observed, 0.5, atol=0.01)
    np.testing.assert_allclose(cycle.values["far"] - cycle.observed, -2.0, atol=0.01)
    assert cycle_of_year(engine, ["near"], 1999).months == ()


def test_work_can_be_given_up(engine: Engine) -> None:
    def stop(share: float, name: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        at_stations(engine, ["near"], frames_of_month(engine.source, "2002-01"), stop)


@pytest.mark.parametrize("month", ["spring", "2002-07", ""])
def test_a_month_without_data_is_refused(engine: Engine, month: str) -> None:
    with pytest.raises(UserError):
        frames_of_month(engine.source, month)


def test_scores_of_withheld_sites_are_read_as_they_were_written(tmp_path: Path) -> None:
    rows = [
        SiteRow("vit", "", 1, 2, "MLO", 19.5, -155.6, "rmse", 1.25, 40),
        SiteRow("vit", "", 0, 0, "MLO", 19.5, -155.6, "correlation", float("nan"), 40),
    ]
    write_rows(tmp_path / STATIONS, rows)
    first, second = read_sites(tmp_path / STATIONS)
    assert first == rows[0]
    assert np.isnan(second.value)
    with pytest.raises(UserError, match="evaluate --folds"):
        read_sites(tmp_path / "absent.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(UserError, match="no table of scores"):
        read_sites(tmp_path / "other.csv")
