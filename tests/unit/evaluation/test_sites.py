"""Stations held out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from co2net.errors import UserError
from co2net.evaluation.entrants import survey
from co2net.evaluation.scores import Period
from co2net.evaluation.sites import SiteRow, Withheld, chosen_sites, folds, score_sites
from co2net.grid import great_circle_km
from co2net.inference import source_digest
from co2net.source import StationNetwork
from co2net.windows import split
from tests.synthetic import SyntheticSource
from tests.unit.evaluation.fakes import GRID, Fake, named

YEARS = split("carbontracker")


@pytest.fixture(scope="module")
def source() -> SyntheticSource:
    return SyntheticSource(GRID, "2002-01-01", "2002-01-20", sites=40)


class Echo(Fake):
    """At a station's cell what it reports, 300 umol/mol elsewhere and where it is silent."""

    def reconstruct(self, source: Any, index: Any) -> Any:
        self.seen += [int(i) for i in index]
        out = np.full((index.size, *GRID.shape), 300.0, dtype=np.float32)
        row, column = source.stations.cells(GRID)
        seen = source.observations(index)
        out[:, row, column] = np.where(np.isfinite(seen), seen, 300.0)
        return out


def test_withheld_sites_fall_silent_and_nothing_else_changes(source: SyntheticSource) -> None:
    given, index = Withheld(source, [3, 7]), np.arange(5)
    values, whole = given.observations(index), source.observations(index)
    assert np.isnan(values[:, [3, 7]]).all()
    others = np.delete(np.arange(40), [3, 7])
    np.testing.assert_array_equal(values[:, others], whole[:, others])
    assert np.isfinite(source.observations(index)).all()  # the source itself is as it was
    np.testing.assert_array_equal(given.read(["co2"], index), source.read(["co2"], index))
    assert given.stations is source.stations
    assert source_digest(given) != source_digest(source)  # no field of one is taken for the other's
    assert source_digest(given) != source_digest(Withheld(source, [3]))


def test_folds_part_the_sites_into_compact_patches(source: SyntheticSource) -> None:
    found = folds(source, 10)
    assert sorted(np.concatenate(found)) == list(range(40))
    assert {fold.size for fold in found} == {4}
    again = folds(source, 10)
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))

    def spread(groups: Any) -> float:
        lat, lon = source.stations.lat, source.stations.lon
        return float(np.mean([
            great_circle_km(lat[g][:, None], lon[g][:, None], lat[g], lon[g]).max() for g in groups
        ]))  # fmt: skip

    random = np.random.default_rng(0).permutation(40).reshape(10, 4)
    assert spread(found) < 0.5 * spread(random)
    with pytest.raises(UserError, match="choose 2 to 40"):
        folds(source, 41)


def test_a_site_in_the_same_cell_goes_with_its_neighbour() -> None:
    source = SyntheticSource(GRID, "2002-01-01", "2002-01-02", sites=4)
    known = source.stations
    row, column = known.cells(GRID)
    source.stations = StationNetwork(
        (*known.code, "TWIN"), (*known.name, "Twin"),
        np.append(known.lat, GRID.lat[row[1]] + 1), np.append(known.lon, GRID.lon[column[1]]),
        np.zeros(5), "test",
    )  # fmt: skip
    assert chosen_sites(source, "S01").tolist() == [1, 4]
    assert chosen_sites(source, "TWIN, S02").tolist() == [1, 2, 4]
    assert {tuple(fold) for fold in folds(source, 4)} == {(0,), (1, 4), (2,), (3,)}


def test_a_share_is_drawn_with_its_seed(source: SyntheticSource) -> None:
    assert chosen_sites(source, "0.25").size == 10
    np.testing.assert_array_equal(chosen_sites(source, "0.25"), chosen_sites(source, "0.25"))
    assert not np.array_equal(chosen_sites(source, "0.25"), chosen_sites(source, "0.25", seed=1))
    for text, message in (
        ("1.5", "between 0 and 1"),
        ("S00,Atlantis", "no site Atlantis"),
        ("0.999", "no site would be left"),
        (",".join(source.stations.code), "no site would be left"),
    ):
        with pytest.raises(UserError, match=message):
            chosen_sites(source, text)


def test_scores_with_and_without_the_site_as_input(source: SyntheticSource, tmp_path: Path) -> None:
    asked, groups = named([Echo("echo", 0.0, frames=8)]), folds(source, 5)
    known = survey(source, asked)
    found = score_sites(source, asked, known, [Period("2002-01")], YEARS, groups, tmp_path, every=7)
    value = {(r.code, r.withheld, r.metric): r for r in found}
    assert {r.code for r in found} == set(source.stations.code)
    index = Period("2002-01").index(source, YEARS, 7, 8)
    truth = source.observations(index).astype(np.float64)
    for site, code in enumerate(source.stations.code):
        assert value[code, 0, "rmse"].value == 0.0
        expected = np.sqrt(np.mean((truth[:, site] - 300) ** 2))
        assert value[code, 1, "rmse"].value == pytest.approx(expected)
        assert value[code, 1, "rmse"].n == index.size
        assert site in groups[value[code, 1, "rmse"].fold]
        assert (code, 1, "correlation") not in value  # it does not vary
        assert value[code, 0, "correlation"].value == pytest.approx(1.0)
    idle = Echo("echo", 0.0, frames=8)
    again = score_sites(
        source, named([idle]), known, [Period("2002-01")], YEARS, groups, tmp_path, every=7
    )  # fmt: skip
    assert again == found
    assert not idle.seen


def test_silent_sites_are_left_out_of_the_table(tmp_path: Path) -> None:
    class Silent(SyntheticSource):
        def observations(self, index: Any) -> Any:
            values = super().observations(index)
            values[:, 0] = np.nan
            values[::2, 1] = np.nan
            return values

    source = Silent(GRID, "2002-01-01", "2002-01-04", sites=4)
    asked = named([Fake("near", 0.5)])
    found: list[SiteRow] = score_sites(
        source, asked, survey(source, asked), [Period("2002-01")], YEARS,
        [np.array([0, 1])], tmp_path,
    )  # fmt: skip
    assert {r.code for r in found} == {"S01"}
    assert {r.n for r in found} == {16}
