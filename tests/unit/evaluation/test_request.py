"""The one evaluation, from what is asked to the files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from co2net.errors import UserError
from co2net.evaluation import report
from co2net.evaluation.cases import load_cases
from co2net.evaluation.entrants import Entrant, entrants, survey
from co2net.evaluation.metrics import METRICS
from co2net.evaluation.request import Outcome, Request, run
from co2net.grid import LatLonGrid
from co2net.observations import Observations
from co2net.source import StationNetwork
from tests.synthetic import SyntheticSource
from tests.unit.evaluation.fakes import GRID, Fake, named

TRAIN = {"model": "vit", "preset": "XS"}
CASE = """
- key: flood
  title: {en: A flood, zh: 洪水}
  kind: event
  region: amazon
  start: 2002-01-03
  end: 2002-01-05
  text: {en: "{truth_change}", zh: "{truth_change}"}
- key: later
  title: {en: Later, zh: 以后}
  kind: event
  region: amazon
  start: 2005-01-03
  end: 2005-01-05
  text: {en: "{truth_change}", zh: "{truth_change}"}
"""


@pytest.fixture(scope="module")
def source() -> SyntheticSource:
    return SyntheticSource(GRID, "2001-12-28", "2002-03-10", sites=8)


@pytest.fixture
def studies(tmp_path: Path) -> Any:
    path = tmp_path / "cases.yml"
    path.write_text(CASE, encoding="utf-8")
    return lambda: load_cases(path)


def evaluated(
    source: Any, models: list[Any], out: Path, studies: Any = tuple, **asked: Any
) -> Outcome:
    request = Request(**{"periods": ["2002"], "every": 9, **asked})
    return run(
        request, source, out, command=request.command(None, Path("results"), None),
        asked=named(models), load_cases=studies,
    )  # fmt: skip


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def test_every_file_of_an_evaluation(source: SyntheticSource, studies: Any, tmp_path: Path) -> None:
    out = tmp_path / "results"
    models = [Fake("near", 0.5), Fake("far", -2.0, frames=8)]
    done = evaluated(source, models, out, studies)
    found = report.read_rows(out / "scores.csv")
    assert list(lines(out / "scores.csv")[0]) == [
        "model", "seed", "split", "period", "region", "metric", "value", "low", "high", "n",
    ]  # fmt: skip
    assert {row.metric for row in found} == set(METRICS) - {"acc_climatology"}
    assert {"global", "ocean", "land", "eurasia", "lat_60N_90N", "station_cells", "no_station",
            "dist_0_500", "dist_500_1500", "dist_1500_up"} <= {r.region for r in found}  # fmt: skip
    value = {(r.model, r.region, r.metric): r.value for r in found}
    assert value["far", "global", "rmse_document"] == pytest.approx(2.0, abs=1e-4)
    assert value["far", "global", "amplitude"] == pytest.approx(1.0, abs=1e-4)
    about = json.loads((out / "scores.json").read_text())
    assert about["data"]["simulated"] is True
    assert about["models"]["near"]["trained_on"] == {"years": "2001-2002"}
    assert about["seeds"] == {"near": [""], "far": [""]}
    assert about["bootstrap"]["draws"] == 1000
    assert about["commit"] == about["provenance"]["commit"]
    assert about["command"] == "co2net evaluate --periods 2002 --every 9 --out results"
    assert str(tmp_path) not in json.dumps(about)  # no path of this machine
    pairs = {(m["model"], m["other"], m["region"]) for m in lines(out / "margins.csv")}
    assert ("near", "far", "global") in pairs
    assert ("far", "near", "global") not in pairs
    scored = {(c["model"], c["metric"]): float(c["value"]) for c in lines(out / "cases.csv")}
    assert scored["far", "rmse"] == pytest.approx(2.0, abs=1e-4)
    assert scored["far", "change"] == pytest.approx(scored["truth", "change"], abs=1e-3)
    assert len(lines(out / "case_series.csv")) == 3 * 3
    assert any("later: the data set lacks frames" in note for note in done.notes)
    page = (out / "results.md").read_text()
    assert "**The world is simulated.**" in page
    assert "| near | **0.500**" in page
    assert "### A flood, 2002-01-03 to 2002-01-05" in page
    assert page.index("| near |") < page.index("| far |")  # the best first


def test_killed_and_run_again_it_writes_the_same_files(
    source: SyntheticSource, studies: Any, tmp_path: Path
) -> None:
    evaluated(source, [Fake("a", 0.5), Fake("b", 1.0)], tmp_path / "whole", studies)
    parts = tmp_path / "parts"
    for breaks in (1, 60):  # in the first maps, then in the case studies or the second model
        with pytest.raises(KeyboardInterrupt):
            evaluated(
                source, [Fake("a", 0.5), Fake("b", 1.0, breaks=breaks)], parts, studies
            )  # fmt: skip
        assert not (parts / "scores.csv").exists()  # nothing half done
    idle = Fake("a", 0.5)
    evaluated(source, [idle, Fake("b", 1.0)], parts, studies)
    assert len(idle.seen) < 30  # at most the case study
    for name in ("scores.csv", "margins.csv", "cases.csv", "case_series.csv"):
        assert (parts / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_stations_held_out(source: SyntheticSource, tmp_path: Path) -> None:
    done = evaluated(source, [Fake("near", 0.5)], tmp_path, folds=4, every=20)
    found = lines(tmp_path / "stations.csv")
    assert list(found[0]) == [
        "model", "seed", "withheld", "fold", "code", "lat", "lon", "metric", "value", "n",
    ]  # fmt: skip
    assert {row["code"] for row in found} == set(source.stations.code)
    assert {row["fold"] for row in found} == {"0", "1", "2", "3"}
    about = json.loads((tmp_path / "stations.json").read_text())
    assert sorted(code for fold in about["folds"] for code in fold) == sorted(source.stations.code)
    assert "| near | 0.50 | 0.50 | 0.50 | 0.50 |" in done.text
    assert "## Stations held out" in (tmp_path / "results.md").read_text()
    evaluated(source, [Fake("near", 0.5)], tmp_path, withhold="S00,S03", every=20)
    assert {row["code"] for row in lines(tmp_path / "stations.csv")} == {"S00", "S03"}


def test_stations_judged_by_what_was_measured(source: SyntheticSource, tmp_path: Path) -> None:
    """Two of the eight sites measured, one of them 3 ppm above the data set."""
    index = np.arange(source.time.size)
    values = source.observations(index)[:, [2, 5]] + np.float32([0, 3])
    sites = source.stations
    network = StationNetwork(
        ("S02", "S05"), ("a", "b"), sites.lat[[2, 5]], sites.lon[[2, 5]], np.zeros(2), "measured"
    )
    count = np.ones(values.shape, dtype=np.int32)
    about = {"title": "Measured", "simulated": False}
    made = Observations(network, source.time, values, count, np.full_like(values, np.nan), about)
    made.save(tmp_path / "o.obs")
    done = evaluated(
        source, [Fake("near", 0.5)], tmp_path / "out", withhold="S02,S05", cases=False,
        observations=str(tmp_path / "o.obs"),
    )  # fmt: skip
    bias = {row["code"]: row["value"] for row in done.lines if row["metric"] == "bias"}
    assert bias["S02"] - bias["S05"] == pytest.approx(3, abs=0.01)
    wrote = json.loads((tmp_path / "out" / "stations.json").read_text())
    assert wrote["data"]["observations"] == "Measured"
    assert "--observations o.obs" in wrote["command"]


def test_the_page_names_who_loses_to_the_climatology(
    source: SyntheticSource, tmp_path: Path
) -> None:
    models = [Fake("near", 0.5), Fake("climatology", 1.0), Fake("far", -2.0)]
    evaluated(source, models, tmp_path)
    page = (tmp_path / "results.md").read_text()
    assert "- Worse than the climatology, globally: far (2002).\n" in page
    assert "- Seeds: one each." in page


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"split": "exam"}, "split 'exam': choose test, validation or train"),
        ({"every": 0}, "every must be at least 1"),
        ({"periods": ["soon"]}, "period 'soon'"),
        ({"regions": ["atlantis"]}, "region 'atlantis' is unknown"),
        ({"withhold": "0.1", "folds": 3}, "give one of --withhold, --folds and --table"),
        ({"table": "4-1"}, "table '4-1': choose 3-3"),
        ({"table": "3-3", "budget": "much"}, "budget 'much': write 200 steps"),
        ({"folds": -1}, "folds"),
        ({"periods": None}, "no frame of the test years 2000, 2020"),
        ({"periods": ["1999"]}, "period 1999: the data set holds no whole window"),
        ({"folds": 30}, "folds 30: choose 2 to 8"),
        ({"withhold": "MLO"}, "no site MLO"),
    ],
)
def test_bad_input_gets_one_line(
    source: SyntheticSource, tmp_path: Path, asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        evaluated(source, [Fake("near", 0.5)], tmp_path, **asked)
    assert "\n" not in str(caught.value)


def test_results_of_another_version_are_not_mixed_in(
    source: SyntheticSource, tmp_path: Path
) -> None:
    evaluated(source, [Fake("near", 0.5)], tmp_path)
    about = json.loads((tmp_path / "scores.json").read_text())
    del about["frames"]
    (tmp_path / "scores.json").write_text(json.dumps(about))
    with pytest.raises(UserError, match="of another version; score again or remove both"):
        evaluated(source, [Fake("near", 0.5)], tmp_path, folds=2, every=40)
    with pytest.raises(UserError, match="no scores at"):
        report.read_rows(tmp_path / "none.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(UserError, match="no table of scores"):
        report.read_rows(tmp_path / "other.csv")


def test_models_that_cannot_take_part(source: SyntheticSource, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no trained model 'nonesuch'; there are"):
        entrants(["nonesuch"])
    other = Fake("other", 0.0)
    other.grid = LatLonGrid.regular(9, 18)
    with pytest.raises(UserError, match=r"other is for LatLonGrid\(9 x 18"):
        survey(source, named([other]))

    class Picky(Fake):
        def reader(self, source: Any) -> None:
            raise UserError("the data set lacks air_pressure, which the model was trained with")

    with pytest.raises(UserError, match="picky: the data set lacks air_pressure"):
        survey(source, named([Picky("picky", 0.0)]))


def test_seeds_are_folders_with_their_number(tmp_path: Path) -> None:
    for folder, seed in (("net", 0), ("net@1", 1), ("net@7", 7), ("other@2", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "config.json").write_text(
            json.dumps({"train": {**TRAIN, "seed": seed}})
        )
    found = entrants([str(tmp_path / "net")], seeds=True)
    assert [(one.name, one.seed) for one in found] == [("net", "0"), ("net", "1"), ("net", "7")]
    assert [one.title for one in found] == ["net", "net@1", "net@7"]
    assert [one.label for one in entrants([str(tmp_path / "other@2")])] == ["other@2"]
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "net").mkdir()
    (tmp_path / "copy" / "net" / "config.json").write_text(
        json.dumps({"train": {**TRAIN, "seed": 0}})
    )
    with pytest.raises(UserError, match="net@0 would take part twice"):
        entrants([str(tmp_path / "net"), str(tmp_path / "copy" / "net")])


def test_case_studies_are_of_the_first_seed(
    source: SyntheticSource, studies: Any, tmp_path: Path
) -> None:
    fakes = [Fake("net", offset) for offset in (1.0, 2.0, 6.0)]
    asked = [Entrant("net", str(n), lambda one=one: one) for n, one in enumerate(fakes)]
    request = Request(periods=["2002"], every=40)
    run(request, source, tmp_path, command="", asked=asked, load_cases=studies)
    scored = {(c["model"], c["seed"]) for c in lines(tmp_path / "cases.csv")}
    assert scored == {("truth", ""), ("net", "0")}
    seeds = {row.seed for row in report.read_rows(tmp_path / "scores.csv")}
    assert {"0", "1", "2"} < seeds  # and their mean


def test_silent_stations_are_no_error(tmp_path: Path) -> None:
    """Documented: a model then has the weather alone, and is scored like any other."""
    from co2net.evaluation.sites import Withheld

    source = SyntheticSource(GRID, "2002-01-01", "2002-01-12", sites=4)
    silent = Withheld(source, np.arange(4))
    done = evaluated(silent, [Fake("near", 0.5)], tmp_path)
    assert done.lines
    assert Entrant("near", "", lambda: Fake("near", 0.5)).label == "near"


def test_a_run_outside_the_program_says_how_it_was_trained(tmp_path: Path) -> None:
    train = {
        "model": "vit", "preset": "XS", "target": "absolute", "steps": 800, "epochs": None,
        "minutes": None, "batch": 2, "rate": 0.001, "wind_loss": 0.2, "seed": 3, "frames": 8,
        "interval": 2, "split": "carbontracker", "options": {"patch": [6, 9]},
    }  # fmt: skip
    (tmp_path / "vit-absolute").mkdir()
    (tmp_path / "vit-absolute" / "config.json").write_text(json.dumps({"train": train}))
    (one,) = entrants([str(tmp_path / "vit-absolute")])
    assert (one.name, one.seed, one.shipped) == ("vit-absolute", "3", False)
    assert one.trained_by == (
        "co2net train --model vit --preset XS --target absolute --steps 800 --batch 2 "
        "--rate 0.001 --wind-loss 0.2 --seed 3 --station-gain 1.0 --interval 2 "
        "--option 'patch=[6, 9]'"
    )
    louder = json.dumps({"train": train | {"station_gain": 22.6}})
    (tmp_path / "vit-absolute" / "config.json").write_text(louder)
    assert "--station-gain 22.6" in entrants([str(tmp_path / "vit-absolute")])[0].trained_by
    (tmp_path / "vit-absolute" / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json is damaged"):
        entrants([str(tmp_path / "vit-absolute")])
