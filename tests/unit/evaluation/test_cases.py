"""Case studies."""

from __future__ import annotations

import numpy as np
import pytest

from co2net.errors import UserError
from co2net.evaluation.cases import CASES, Case, case_series, markdown
from co2net.regions import region
from tests.synthetic import SyntheticSource
from tests.unit.evaluation.test_report import GRID, Fake

CASE = Case("flood", "A flood", "amazon", "2002-01-03", "2002-01-05", "test")


@pytest.fixture(scope="module")
def source() -> SyntheticSource:
    return SyntheticSource(GRID, "2002-01-01", "2002-01-31", sites=5)


def test_daily_means_over_the_region(source: SyntheticSource) -> None:
    found = case_series(source, [Fake("near", 0.5, frames=8)], CASE)
    assert found.days.astype(str).tolist() == ["2002-01-03", "2002-01-04", "2002-01-05"]
    fields = source.read(["co2"], np.arange(16, 40))[0].reshape(3, 8, *GRID.shape)
    weights = region("amazon").mask(GRID) * GRID.area
    expected = np.average(fields.mean(axis=1).reshape(3, -1), axis=1, weights=weights.ravel())
    np.testing.assert_allclose(found.values["truth"], expected, rtol=1e-6)
    np.testing.assert_allclose(found.values["near"], expected + 0.5, rtol=1e-6)


def test_the_table_tells_how_far_from_the_truth(source: SyntheticSource) -> None:
    text = markdown([case_series(source, [Fake("near", -0.5)], CASE)])
    assert "2002-01-03 to 2002-01-05 (test)" in text
    truth, near = (line for line in text.splitlines() if line.startswith(("| truth", "| near")))
    assert truth.endswith("| – | – |")
    assert near.endswith("| 0.50 | 1.00 |")


def test_days_that_the_data_lack_are_refused(source: SyntheticSource) -> None:
    with pytest.raises(UserError, match="amazon-fires: the data set lacks frames"):
        case_series(source, [], CASES[0])
    early = Case("early", "Early", "amazon", "2002-01-01", "2002-01-02", "test")
    assert case_series(source, [Fake("near", 0.5)], early).days.size == 2
    with pytest.raises(UserError, match="lacks frames"):  # no window before the first frame
        case_series(source, [Fake("near", 0.5, frames=8)], early)
