"""Case studies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from co2net.errors import UserError
from co2net.evaluation.cases import Case, case_scores, case_series, load_cases, markdown
from co2net.inference import Engine
from co2net.regions import region
from tests.synthetic import SyntheticSource
from tests.unit.evaluation.fakes import GRID, Fake

ENTRY = {
    "key": "flood",
    "title": {"en": "A flood", "zh": "洪水"},
    "kind": "event",
    "region": "amazon",
    "start": "2002-01-03",
    "end": "2002-01-05",
    "text": {"en": "{truth_change} and {near_rmse}; {best}", "zh": "{truth_low}"},
}


def load(folder: Path, **changes: object) -> Case:
    entry = {key: value for key, value in {**ENTRY, **changes}.items() if value is not None}
    path = folder / "cases.yml"
    path.write_text(yaml.safe_dump([entry], allow_unicode=True), encoding="utf-8")
    return load_cases(path)[0]


@pytest.fixture(scope="module")
def source() -> SyntheticSource:
    return SyntheticSource(GRID, "2002-01-01", "2002-01-31", sites=5)


def test_the_shipped_cases_are_the_documents_and_two_oceans() -> None:
    cases = {case.key: case for case in load_cases()}
    assert {"long-term", "amazon-fires", "california-fires", "siberian-uptake"} <= set(cases)
    assert sum(case.kind == "ocean" for case in cases.values()) == 2
    assert cases["amazon-fires"].roles() == {"2019": "validation"}
    assert cases["long-term"].roles() == {"2000": "test", "2020": "test"}
    assert len(cases["long-term"].spans) == len(cases["long-term"].moments) == 4
    assert cases["siberian-uptake"].moments == (
        "2020-06-03T12:00:00", "2020-06-13T12:00:00", "2020-06-23T12:00:00",
    )  # fmt: skip
    for case in cases.values():  # numbers come from the data, never from the text
        assert not any(ch.isdigit() for ch in case.fill("en", {}).replace("2000", "").replace(
            "2020", "")), case.key  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "party"}, "kind 'party': choose event, ocean, comparison"),
        ({"region": "atlantis"}, r"case 1 \(flood\): region 'atlantis' is unknown"),
        ({"start": "soon"}, "start 'soon': write it as 2020-06-03"),
        ({"start": "2002-13-01"}, "start '2002-13-01'"),
        ({"end": "2001-01-01"}, "ends before it starts"),
        ({"months": ["2002-01"]}, "a comparison, and nothing else"),
        ({"kind": "comparison"}, "a comparison, and nothing else"),
        ({"kind": "comparison", "months": ["2003-01"]}, "from start to end"),
        ({"moments": "noon"}, "moments is a list"),
        ({"moments": ["noon"]}, "moments 'noon'"),
        ({"title": {"en": "A flood"}}, "title needs en and zh"),
        ({"text": {"en": "{truth_colour}", "zh": "x"}}, "there is no {truth_colour}"),
        ({"text": {"en": "{open", "zh": "x"}}, "text en"),
        ({"key": "A Flood"}, "small letters"),
        ({"colour": "red"}, "has unknown colour"),
        ({"text": None}, "lacks text"),
    ],
)
def test_a_wrong_entry_is_named_in_one_line(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load(tmp_path, **changes)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_list_of_cases(tmp_path: Path) -> None:
    path = tmp_path / "cases.yml"
    with pytest.raises(UserError, match="there are no cases"):
        load_cases(path)
    for text, message in (
        ("a: [", "no YAML"),
        ("a: 1", "write a list"),
        ("- 3", "write fields"),
        (yaml.safe_dump([ENTRY, ENTRY]), "flood stands there twice"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=message):
            load_cases(path)


def test_daily_means_over_the_region(source: SyntheticSource, tmp_path: Path) -> None:
    engine = Engine(source, [Fake("near", 0.5, frames=8)])
    found = case_series(engine, load(tmp_path), ["near"])
    assert found.days.astype(str).tolist() == ["2002-01-03", "2002-01-04", "2002-01-05"]
    fields = source.read(["co2"], np.arange(16, 40))[0].reshape(3, 8, *GRID.shape)
    weights = region("amazon").mask(GRID) * GRID.area
    expected = np.average(fields.mean(axis=1).reshape(3, -1), axis=1, weights=weights.ravel())
    np.testing.assert_allclose(found.values["truth"], expected, rtol=1e-6)
    np.testing.assert_allclose(found.values["near"], expected + 0.5, rtol=1e-6)
    fewer = case_series(engine, load(tmp_path), ["near"], every=4)
    sampled = fields[:, ::4].mean(axis=1).reshape(3, -1)
    expected = np.average(sampled, axis=1, weights=weights.ravel())
    np.testing.assert_allclose(fewer.values["truth"], expected, rtol=1e-6)


def test_scores_of_a_series_by_hand() -> None:
    truth = np.array([400.0, 402.0, 404.0, 402.0])
    found = case_scores(truth, 410 + 0.5 * (truth - 400))
    assert found["correlation"] == pytest.approx(1.0)
    assert found["amplitude"] == pytest.approx(0.5)
    assert found["change"] == pytest.approx(1.0)
    assert found["change_error"] == pytest.approx(-1.0)
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean([100.0, 81.0, 64.0, 81.0])))
    flat = case_scores(truth, np.full(4, 402.0))
    assert np.isnan(flat["correlation"])
    assert flat["amplitude"] == 0.0


def test_a_comparison_compares_the_same_months_of_years(tmp_path: Path) -> None:
    years = SyntheticSource(GRID, "2001-12-31", "2003-01-31", sites=5)
    case = load(
        tmp_path, kind="comparison", end="2003-01-31", months=["2002-01", "2002-02", "2003-01"]
    )
    found = case_series(Engine(years, [Fake("near", 0.5)]), case, ["near"], every=5)
    truth = found.values["truth"]
    change = found.month(truth, "2003-01") - found.month(truth, "2002-01")
    assert found.scores["near"]["change"] == pytest.approx(change, abs=1e-3)
    assert found.placeholders()["truth_2002_02"] == f"{found.month(truth, '2002-02'):.1f}"
    assert "2002-01, 2002-02, 2003-01" in markdown([found])


def test_texts_and_tables_are_filled_from_the_series(
    source: SyntheticSource, tmp_path: Path
) -> None:
    engine = Engine(source, [Fake("near", 0.5), Fake("far", -2.0)])
    found = case_series(engine, load(tmp_path), ["far", "near"])
    truth = found.values["truth"]
    text = found.case.fill("en", found.placeholders())
    assert text == f"{truth[-1] - truth[0]:+.1f} and 0.50; near"
    assert found.case.fill("en", {"truth_change": "+1"}) == "+1 and –; –"
    assert found.placeholders("zh")["region"] == "亚马孙"
    lines = markdown([found]).splitlines()
    assert any(line.startswith("| near |") and "| 0.50 | 1.00 | 1.00 |" in line for line in lines)


def test_days_that_the_data_lack_are_refused(source: SyntheticSource, tmp_path: Path) -> None:
    engine = Engine(source, [Fake("near", 0.5, frames=8)])
    with pytest.raises(UserError, match="flood: the data set lacks frames"):
        case_series(engine, load(tmp_path, start="1999-01-01", end="1999-01-02"))
    early = load(tmp_path, start="2002-01-01")
    assert case_series(engine, early).days.size == 5
    with pytest.raises(UserError, match="or those before them that models read"):
        case_series(engine, early, ["near"])
