"""What the pages of cases, benchmarks and stations work out before they draw."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from co2net.evaluation.cases import load_cases
from co2net.evaluation.report import ABOUT, SCORES, write_rows
from co2net.evaluation.scores import Row
from co2net.inference import Engine
from dashboard import casebook, results
from dashboard.pages import benchmarks, cases, stations
from dashboard.service import Service
from dashboard.state import World, parse
from tests.synthetic import SyntheticSource
from tests.unit.evaluation.fakes import GRID, Fake


def row(model: str, region: str, value: float, seed: str = "0", **more: object) -> Row:
    values = {"split": "test", "period": "2000", "metric": "rmse", "low": 1.0, "high": 2.0, "n": 9}
    return Row(model=model, seed=seed, region=region, value=value, **{**values, **more})


def test_the_mean_over_seeds_stands_for_its_seeds() -> None:
    rows = [row("a", "global", 1, "0"), row("a", "global", 2, "1"), row("a", "global", 1.5, "all"),
            row("b", "global", 3, "0")]  # fmt: skip
    assert [(one.model, one.seed) for one in results.averaged(rows)] == [
        ("a", "all"),
        ("b", "0"),
    ]


def test_every_region_belongs_to_one_group() -> None:
    keys = ["ocean", "global", "lat_0_30N", "dist_0_500", "amazon", "box:1,2,3,4"]
    rows = [row("a", key, 1) for key in keys]
    grouped = {group: results.regions_of(rows, group) for group in results.GROUPS}
    assert grouped == {
        "main": ["global", "ocean"],
        "latitude": ["lat_0_30N"],
        "sites": [],
        "stations": ["dist_0_500"],
        "named": ["amazon", "box:1,2,3,4"],
    }


def test_what_is_better_comes_first() -> None:
    assert sorted([3.0, -1.0, 2.0], key=lambda v: results.rank(v, "bias")) == [-1.0, 2.0, 3.0]
    assert sorted([0.3, 0.9], key=lambda v: results.rank(v, "acc")) == [0.9, 0.3]
    assert results.rank(float("nan"), "acc") == np.inf


def test_results_are_read_and_damage_is_named(tmp_path: Path) -> None:
    assert results.read_results(tmp_path) == results.Results()
    write_rows(tmp_path / SCORES, [row("a", "global", 1.25)])
    about = {"data": {"simulated": True}, "command": "x", "every": 9, "models": {}}
    about |= {"seeds": {}, "periods": {}, "frames": {}}
    (tmp_path / ABOUT).write_text(json.dumps(about), encoding="utf-8")
    (tmp_path / "tables").mkdir()
    table = "table,row,model,setting,region,period,metric,value,low,high,n,document\n"
    (tmp_path / "tables" / "3-3.csv").write_text(table + "3-3,ViT,vit,x,global,2000,rmse,4,,,9,5\n")
    (tmp_path / "tables" / "3-3.json").write_text('{"data": {"title": "here"}}', encoding="utf-8")
    (tmp_path / "tables" / "broken.csv").write_text("a,b\n1,2\n")
    found = results.read_results(tmp_path)
    assert [one.value for one in found.rows] == [1.25]
    assert found.about == about
    assert [one["row"] for one in found.tables] == ["ViT"]
    assert found.origins["3-3"]["data"]["title"] == "here"
    assert len(found.faults) == 1
    assert "broken.csv" in found.faults[0]
    (tmp_path / SCORES).write_text("model,seed\na\n", encoding="utf-8")
    assert len(results.read_results(tmp_path).faults) == 2


def test_margins_hold_every_model_against_one() -> None:
    def margin(model: str, other: str, gap: float) -> results.Margin:
        ends = (-gap, -gap - 0.1, -gap + 0.2, 25.0, 20.0, 30.0)
        return results.Margin(model, other, "test", "2000", "global", "rmse", *ends, 9)

    found = results.Results(margins=(margin("a", "b", 1), margin("a", "c", 2), margin("b", "c", 1)))
    assert results.references(found) == ["a", "b", "c"]
    rows = {one.model: one for one in results.rows_of(found, "margins", "b")}
    assert (rows["a"].value, rows["a"].low, rows["a"].high) == pytest.approx((-1, -1.1, -0.8))
    assert (rows["c"].value, rows["c"].low, rows["c"].high) == pytest.approx((1, 0.8, 1.1))
    assert results.percent(found, "c", results.rows_of(found, "margins", "c")[0]) == 25
    chosen = results.select(found, {"against": "c", "sort": "model", "order": "down"})
    assert (chosen.kind, chosen.models, chosen.best("global")) == ("margins", ["b", "a"], "")


def test_withheld_stations_are_medians_by_band() -> None:
    sites = tuple(
        results.SiteRow("a", "0", held, 0, f"S{n}", lat, 0.0, "rmse", value + held, 9)
        for n, (lat, value) in enumerate([(65.0, 1.0), (70.0, 2.0), (-5.0, 9.0)])
        for held in (0, 1)
    )
    rows = results.rows_of(results.Results(sites=sites), "sites")
    value = {one.region: (one.value, one.n) for one in rows}
    assert value == {
        "site_kept": (2.0, 3), "site_withheld": (3.0, 3), "lat_60N_90N": (2.5, 2),
        "lat_30S_0": (10.0, 1),
    }  # fmt: skip
    chosen = results.select(results.Results(sites=sites), {"places": "sites"})
    assert chosen.columns == ["site_kept", "site_withheld"]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> cases.Case:
    path = tmp_path_factory.mktemp("cases") / "cases.yml"
    entry = {
        "key": "years",
        "title": {"en": "Years", "zh": "年"},
        "kind": "comparison",
        "region": "amazon",
        "start": "2002-01-01",
        "end": "2002-03-31",
        "months": ["2002-01", "2002-03"],
        "text": {"en": "{truth_mean}", "zh": "{truth_mean}"},
    }
    path.write_text(yaml.safe_dump([entry], allow_unicode=True), encoding="utf-8")
    return load_cases(path)[0]


def test_frames_and_missing_months_of_a_case(case: cases.Case) -> None:
    source = SyntheticSource(GRID, "2002-01-01", "2002-03-10", sites=3)
    service = Service(Engine(source, models=[Fake("near", 0.5)]))
    index = cases.frames_of(case, service)
    assert set(source.time[index].astype("datetime64[M]").astype(str)) == {"2002-01", "2002-03"}
    assert cases.missing_months(case, service) == []
    source.available[index[-1]] = False
    assert cases.missing_months(case, service) == ["2002-03"]
    early = SyntheticSource(GRID, "2002-03-01", "2002-03-31", sites=3)
    assert cases.missing_months(case, Service(Engine(early, models=[]))) == ["2002-01"]


def test_colour_limits_of_a_case_hold_what_it_shows(case: cases.Case) -> None:
    source = SyntheticSource(GRID, "2002-01-01", "2002-03-31", sites=3)
    service = Service(Engine(source, models=[]))
    low, high = cases.limits_of(case, service)
    mask = service.mask("amazon") > 0
    values = source.read(["co2"], cases.frames_of(case, service)[::31])[0][:, mask]
    assert low <= np.median(values) <= high
    assert 1 < high - low < 40


@pytest.mark.parametrize(
    ("text", "shown"),
    [("-0.0", "0.0"), ("+0.0", "0.0"), ("-1.5", "−1.5"), ("+2.0", "+2.0"), ("2020-06-03",) * 2],
)
def test_numbers_in_texts(text: str, shown: str) -> None:
    assert casebook._plain(text) == shown


def test_words_of_the_pages_are_checked() -> None:
    source = SyntheticSource(GRID, "2002-01-01", "2002-02-10", sites=3)
    words = {page.PAGE.key: page.PAGE.words for page in (benchmarks, cases, stations)}
    world = World(source, ("explore", "cases"), ("near",), words)
    good = "case=amazon-fires&series=near&model=near&station=S01&month=2002-01&measure=bias"
    values, faults = parse(good + "&metric=acc&places=named&sort=global&order=down", world)
    assert faults == []
    assert values["details"]["station"] == "S01"
    hostile = "case=../x&series=a,b&model=%3Cb%3E&station=S99&month=2003-01&measure=__class__"
    values, faults = parse(hostile + "&metric=rm%20-rf&places=&order=up&scores=../../etc", world)
    assert "details" not in values
    assert {fault.name for fault in faults} == {
        "case", "series", "model", "station", "month", "measure", "metric", "order", "scores",
    }  # fmt: skip


def test_scores_at_a_station_are_averaged_over_seeds() -> None:
    site = {"withheld": 1, "fold": 0, "lat": 0.0, "lon": 0.0, "metric": "rmse", "n": 9}
    rows = tuple(
        stations.SiteRow(model="a", seed=seed, code="X", value=value, **site)
        for seed, value in (("0", 1.0), ("1", 3.0))
    )
    held = stations.Held(rows)
    assert held.value("a", "X", "rmse", 1) == 2.0
    assert np.isnan(held.value("a", "X", "rmse", 0))


@pytest.mark.parametrize(
    ("values", "out"),
    [
        ([2.0, 1.0, 0.5], set()),
        ([1.3, 25.2, 6.8, 6.1, 1.4], {1}),
        ([1.0, -90.0, 30.0, 1.2], {1, 2}),
        ([0.0, 9.0, 0.0], set()),
        ([1.0, float("nan"), 20.0, 1.1], {2}),
        ([1.0, 20.0], set()),
    ],
)
def test_a_chart_of_scores_leaves_room_for_those_that_can_be_told_apart(values, out):
    assert benchmarks._far_out(values) == out
