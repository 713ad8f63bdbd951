"""Scoring models on periods: the frames, the intervals, and going on after a break."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from co2net.errors import UserError
from co2net.evaluation import scores
from co2net.evaluation.entrants import Entrant, survey
from co2net.evaluation.scores import OUTSIDE, Part, Period, Row, margins, rows, score, split_periods
from co2net.windows import Split, split
from tests.synthetic import SyntheticSource
from tests.unit.evaluation.fakes import GRID, Fake, named

YEARS = split("carbontracker")
MASKS = {"global": np.ones(GRID.shape), "north": np.repeat(GRID.lat > 0, 36).reshape(18, 36) * 1.0}


@pytest.fixture(scope="module")
def source() -> SyntheticSource:
    return SyntheticSource(GRID, "2001-12-30", "2002-02-28", sites=5)


def scored(
    source: Any, models: list[Any], periods: list[str], folder: Path, every: int = 1, **more: Any
) -> tuple[Part, ...]:
    asked = named(models)
    return score(
        source, asked, survey(source, asked), [Period(p) for p in periods], YEARS, MASKS, folder,
        every, **more,
    ).parts  # fmt: skip


def text(found: tuple[Part, ...]) -> list[str]:
    """Every digit; NaN is equal to itself."""
    return [repr(row) for row in rows(found)]


def table(found: tuple[Part, ...]) -> dict[tuple[str, str, str, str], Row]:
    return {(r.period, r.model, r.region, r.metric): r for r in rows(found)}


def test_every_model_is_scored_on_the_same_frames(source: SyntheticSource, tmp_path: Path) -> None:
    near, far = Fake("near", 0.5), Fake("far", -2.0, frames=20)
    told: list[float] = []
    periods = ["2002", "2002-01", "2002-02-03/2002-02-09"]
    found = scored(source, [near, far], periods, tmp_path, 7, progress=lambda s, _: told.append(s))
    assert near.seen == far.seen  # also where one of them needs a longer window
    value = table(found)
    assert value["2002", "near", "global", "rmse_document"].value == pytest.approx(0.5, abs=1e-4)
    assert value["2002-01", "far", "north", "bias"].value == pytest.approx(-2.0, abs=1e-4)
    assert value["2002-02-03/2002-02-09", "far", "north", "bias"].n == 8  # 7 days of 8, every 7th
    assert told[-1] == pytest.approx(1.0)
    assert told == sorted(told)


def test_no_window_crosses_from_one_part_of_the_split_into_another(source: SyntheticSource) -> None:
    index = Period("2002").index(source, YEARS, 1, reach=8)
    assert str(source.time[index[0]]) == "2002-01-01T22:30:00"  # the eighth frame of the year
    assert source.time[index[0] - 7] >= np.datetime64("2002-01-01")
    sampled = Period("2002").index(source, YEARS, 9, reach=8)
    longer = Period("2002").index(source, YEARS, 9, reach=30)
    assert set(longer) < set(sampled) < set(index)  # the sample does not depend on the window
    # a split under which both years are of one part lets windows cross New Year
    one = Split("one", ((2001, 2002),), (), ())
    assert str(source.time[Period("2002").index(source, one, 1, reach=8)[0]]).startswith(
        "2002-01-01T01"
    )
    assert Period("2002-01").role(YEARS) == "train"
    assert Period("1990").role(YEARS) == OUTSIDE
    with pytest.raises(UserError, match="from one part of the split into another"):
        Period("2001-12-20/2002-01-02").role(YEARS)


def test_years_of_a_split_that_the_data_hold(source: SyntheticSource) -> None:
    found, absent = split_periods(source, YEARS, "validation")
    assert [period.name for period in found] == ["2001"]
    assert absent == ["2019"]
    with pytest.raises(UserError, match="no frame of the test years 2000, 2020"):
        split_periods(source, YEARS, "test")
    with pytest.raises(UserError, match="choose train, validation, test"):
        split_periods(source, YEARS, "exam")


@pytest.mark.parametrize("name", ["soon", "2002-13", "2002-01-05/2002-01-04", "20", "2002/1/1"])
def test_a_period_that_is_none(name: str) -> None:
    with pytest.raises(UserError, match="write a year, month or day"):
        _ = Period(name).span


def test_broken_off_and_run_again_it_gives_the_same(
    source: SyntheticSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = text(scored(source, [Fake("a", 0.5, 8)], ["2002-01"], tmp_path / "whole"))
    monkeypatch.setattr(scores, "_SAVE_SECONDS", 0.0)  # as if every batch took long
    with pytest.raises(KeyboardInterrupt):
        scored(source, [Fake("a", 0.5, 8, breaks=90)], ["2002-01"], tmp_path / "parts")
    again = Fake("a", 0.5, 8)
    found = text(scored(source, [again], ["2002-01"], tmp_path / "parts"))
    assert 0 < len(again.seen) < 31 * 8 - 90  # it went on
    assert found == whole  # bit by bit
    idle = Fake("a", 0.5, 8)
    assert text(scored(source, [idle], ["2002-01"], tmp_path / "parts")) == whole
    assert idle.seen == []


def test_only_what_changed_is_scored_again(source: SyntheticSource, tmp_path: Path) -> None:
    scored(source, [Fake("a", 0.5), Fake("b", 1.0)], ["2002-01"], tmp_path, 5)
    a, b = Fake("a", 0.5), Fake("b", 2.0)  # b has new weights
    value = table(scored(source, [a, b], ["2002-01"], tmp_path, 5))
    assert not a.seen
    assert b.seen
    assert value["2002-01", "b", "global", "bias"].value == pytest.approx(2.0, abs=1e-4)
    other = SyntheticSource(GRID, "2001-12-30", "2002-02-28", sites=5, seed=1)
    scored(other, [a], ["2002-01"], tmp_path, 5)
    assert a.seen  # other data: nothing is taken over
    (next((tmp_path / ".parts").glob("a-*.npz"))).write_bytes(b"broken")
    a = Fake("a", 0.5)
    scored(other, [a], ["2002-01"], tmp_path, 5)
    assert a.seen  # a damaged part is made again


def test_unknown_truth_is_left_out_and_counted(source: SyntheticSource, tmp_path: Path) -> None:
    class Gaps(SyntheticSource):
        def read(self, names: Any, index: Any) -> Any:
            values = super().read(names, index)
            values[:, :, 3, 4:10] = np.nan
            return values

    class Whole(Fake):
        def reconstruct(self, source: Any, index: Any) -> Any:
            return np.nan_to_num(super().reconstruct(source, index), nan=0.0)

    gaps = Gaps(GRID, "2002-01-01", "2002-01-20", sites=5)
    (part,) = scored(gaps, [Whole("a", 2.0)], ["2002-01"], tmp_path)
    assert part.missing == 6 * part.frames
    value = table((part,))["2002-01", "a", "global", "rmse_document"]
    assert value.value == pytest.approx(2.0, abs=1e-4)

    class Holes(Fake):
        def reconstruct(self, source: Any, index: Any) -> Any:
            return super().reconstruct(source, index) * np.nan

    with pytest.raises(UserError, match="holes: scores: the reconstruction has gaps"):
        scored(source, [Holes("holes", 0.0)], ["2002-01"], tmp_path)


def test_a_period_without_a_whole_window(source: SyntheticSource, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="period 1999: the data set holds no whole window"):
        scored(source, [Fake("a", 1.0)], ["1999"], tmp_path)


class Noisy(Fake):
    """Errors that last for days, of the same size in all cells, larger by ``factor``."""

    factor = 1.0

    def reconstruct(self, source: Any, index: Any) -> Any:
        day = (source.time[index].astype("datetime64[D]").astype(int) // 3).astype(int)
        size = np.array([np.random.default_rng(int(d)).normal(2, 1) for d in day])
        error = (self.factor * size + self.shift).astype(np.float32)
        return source.read(["co2"], index)[0] + error[:, None, None]


def test_intervals_need_weeks_and_hold_the_value(tmp_path: Path) -> None:
    source = SyntheticSource(GRID, "2002-01-01", "2002-04-30", sites=5)
    value = table(scored(source, [Noisy("a", 0.0)], ["2002", "2002-02"], tmp_path, 3))
    year = value["2002", "a", "global", "bias"]
    assert year.low < year.value < year.high
    assert np.isnan(value["2002-02", "a", "global", "bias"].low)  # four weeks are too few


def test_margins_take_out_what_the_weeks_have_in_common(tmp_path: Path) -> None:
    source = SyntheticSource(GRID, "2002-01-01", "2002-04-30", sites=5)
    worse = Noisy("worse", 0.0)
    worse.factor = 2.0
    found = scored(source, [Noisy("better", 0.0), worse], ["2002"], tmp_path, 3)
    (margin,) = margins(found, ["global"], ["rmse_document"])
    assert (margin.model, margin.other) == ("better", "worse")
    assert margin.percent == pytest.approx(50, abs=0.1)
    # the errors themselves vary much between weeks, half of each other always
    assert margin.percent_high - margin.percent_low < 0.1
    assert margin.low < margin.difference < margin.high < 0


def test_seeds_are_shown_and_their_mean(tmp_path: Path) -> None:
    source = SyntheticSource(GRID, "2002-01-01", "2002-04-30", sites=5)
    first, second = Noisy("a", 0.0, digest="one"), Noisy("a", 1.0, digest="two")
    asked = [Entrant("a", "0", lambda: first), Entrant("a", "1", lambda: second)]
    found = score(
        source, asked, survey(source, asked), [Period("2002")], YEARS, MASKS, tmp_path, 3
    ).parts  # fmt: skip
    value = {r.seed: r for r in rows(found) if (r.metric, r.region) == ("bias", "global")}
    assert set(value) == {"0", "1", "all"}
    assert value["all"].value == pytest.approx((value["0"].value + value["1"].value) / 2)
    spread = value["all"].high - value["all"].low
    assert spread > value["0"].high - value["0"].low  # another training is another chance
