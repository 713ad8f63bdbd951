"""The table of scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from co2net.errors import UserError
from co2net.evaluation.report import Period, evaluate, markdown, read_about, read_rows, results_page
from tests.synthetic import SyntheticSource
from tests.unit.evaluation.fakes import GRID, Fake


@pytest.fixture(scope="module")
def source() -> SyntheticSource:
    return SyntheticSource(GRID, "2001-12-30", "2002-02-28", sites=5)


def test_every_model_is_scored_on_the_same_frames(source: SyntheticSource, tmp_path: Path) -> None:
    seen: dict[str, list[int]] = {}

    class Noting(Fake):
        def reconstruct(self, source: Any, index: NDArray[np.int64]) -> NDArray[np.float32]:
            seen.setdefault(self.info.name, []).extend(int(i) for i in index)
            return super().reconstruct(source, index)

    models = [Noting("near", 0.5), Noting("far", -2.0, frames=20)]
    periods = [
        Period("2002", "test", 7),
        Period("2002-01", "validation"),
        Period("2002-02", "test", 9),
    ]
    told: list[float] = []
    rows = evaluate(
        source, models, periods, tmp_path / "s.csv", progress=lambda s, _: told.append(s)
    )
    assert seen["near"] == seen["far"]  # also where one of them needs a longer window
    assert min(seen["near"]) >= 19
    value = {(r.period, r.model, r.region, r.metric): r.value for r in rows}
    assert value["2002", "near", "global", "rmse_document"] == pytest.approx(0.5, abs=1e-4)
    assert value["2002-01", "far", "ocean", "bias"] == pytest.approx(-2.0, abs=1e-4)
    assert {r.frames for r in rows if r.period == "2002-01"} == {31 * 8 - 3}
    assert told[-1] == pytest.approx(1.0)
    assert told == sorted(told)


def test_what_is_written_is_read_again_with_its_provenance(
    source: SyntheticSource, tmp_path: Path
) -> None:
    out = tmp_path / "s.csv"
    rows = evaluate(source, [Fake("near", 0.5)], [Period("2002-01", "test", 5)], out)
    again = read_rows(out)
    assert [(r.model, r.region, r.metric) for r in again] == [
        (r.model, r.region, r.metric) for r in rows
    ]
    about = read_about(out)
    assert about["data"]["simulated"] is True
    assert about["parts"]["2002-01 near"]["stride"] == 5
    assert about["provenance"]["co2net"]
    assert "/" not in json.dumps(about["parts"])  # no path of this machine


def test_run_again_it_scores_only_what_changed(source: SyntheticSource, tmp_path: Path) -> None:
    out = tmp_path / "s.csv"
    periods = [Period("2002-01", "test", 5)]
    evaluate(source, [Fake("a", 0.5), Fake("b", 1.0)], periods, out)
    a, b = Fake("a", 0.5), Fake("b", 2.0)  # b has new weights
    rows = evaluate(source, [a, b], periods, out)
    assert a.calls == 0
    assert b.calls > 0
    value = {(r.model, r.metric): r.value for r in rows if r.region == "global"}
    assert value["b", "bias"] == pytest.approx(2.0, abs=1e-4)
    assert value["a", "bias"] == pytest.approx(0.5, abs=1e-4)
    a = Fake("a", 0.5)
    other = SyntheticSource(GRID, "2001-12-30", "2002-02-28", sites=5, seed=1)
    evaluate(other, [a], periods, out)
    assert a.calls > 0  # other data: nothing is taken over


def test_broken_off_it_keeps_what_it_had(source: SyntheticSource, tmp_path: Path) -> None:
    class Breaks(Fake):
        def reconstruct(self, source: Any, index: NDArray[np.int64]) -> NDArray[np.float32]:
            raise KeyboardInterrupt

    out = tmp_path / "s.csv"
    periods = [Period("2002-01", "test", 5), Period("2002-02", "test", 5)]
    evaluate(source, [Fake("a", 0.5)], periods, out)
    with pytest.raises(KeyboardInterrupt):
        evaluate(source, [Fake("new", 1.0), Breaks("b", 0.0), Fake("a", 0.5)], periods, out)
    a, new = Fake("a", 0.5), Fake("new", 1.0)
    evaluate(source, [new, a], periods[:1], out)
    assert a.calls == 0  # although the run broke off before it came to it
    assert new.calls == 0
    assert set(read_about(out)["parts"]) == {"2002-01 new", "2002-01 a"}


def test_the_tables_put_the_best_first_and_in_bold(source: SyntheticSource, tmp_path: Path) -> None:
    out = tmp_path / "s.csv"
    rows = evaluate(
        source, [Fake("far", -2.0), Fake("near", 0.5)], [Period("2002-01", "test", 9)], out
    )
    lines = markdown(rows, read_about(out), ("global", "ocean")).splitlines()
    assert "2002-01 (test)" in lines[0]
    assert "every 9th" in lines[2]
    assert lines[6].startswith("| near | **0.500** / ")
    assert lines[7].startswith("| far | 2.000 / ")


def test_the_page_says_that_the_world_is_simulated(source: SyntheticSource, tmp_path: Path) -> None:
    out = tmp_path / "s.csv"
    rows = evaluate(source, [Fake("near", 0.5)], [Period("2002-01", "test", 9)], out)
    page = results_page(rows, read_about(out), "co2net evaluate --every 9")
    assert "**The world is simulated.**" in page
    assert "    co2net evaluate --every 9\n" in page
    assert "| near | – | 0.00 M | – | 2001-2002, every frame |" in page
    assert "## 2002-01 (test)" in page
    about = read_about(out)
    about["data"]["simulated"] = False
    assert "simulated" not in results_page(rows, about, "x")


def test_the_page_names_who_loses_to_the_climatology(
    source: SyntheticSource, tmp_path: Path
) -> None:
    out = tmp_path / "s.csv"
    models = [Fake("near", 0.5), Fake("climatology", 1.0), Fake("far", -2.0)]
    rows = evaluate(source, models, [Period("2002-01", "test", 9)], out)
    page = results_page(rows, read_about(out), "x")
    assert "- Worse than the climatology, globally: far (2002-01).\n" in page
    assert "no comparison of architectures" not in page
    about = read_about(out)
    for count, part in enumerate(about["parts"].values()):
        part["trained_on"] = {"steps": 9, "windows": 100 * (count + 1), "seconds": 60}
    page = results_page(rows, about, "x")
    assert "between 100 and 300 windows in training" in page


def test_periods_that_the_data_lack_are_refused(source: SyntheticSource, tmp_path: Path) -> None:
    for name, message in (("1999", "no whole window"), ("soon", "year, month or day")):
        with pytest.raises(UserError, match=message):
            evaluate(source, [Fake("a", 1.0)], [Period(name, "test")], tmp_path / "s.csv")
    with pytest.raises(UserError, match="distinct names"):
        evaluate(source, [Fake("a", 1.0)] * 2, [Period("2002", "test")], tmp_path / "s.csv")
    with pytest.raises(UserError, match="no scores at"):
        read_rows(tmp_path / "none.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(UserError, match="no table of scores"):
        read_rows(tmp_path / "other.csv")
