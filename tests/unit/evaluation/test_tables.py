"""The document's tables, trained on a toy world and beside the document's numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from co2net.errors import UserError
from co2net.evaluation import tables
from co2net.evaluation.places import places
from co2net.evaluation.scores import Period
from co2net.evaluation.tables import (
    make_table,
    parse_budget,
    run_folder,
    table,
    table_lines,
    table_markdown,
    table_names,
)
from co2net.grid import LatLonGrid
from co2net.models import create
from co2net.models.base import Layout
from co2net.schema import AUXILIARY
from co2net.training import TrainConfig
from co2net.windows import Split, channel_names
from tests.synthetic import SyntheticSource

GRID = LatLonGrid.regular(12, 18)
YEARS = Split("toy", train=((2002, 2002),), validation=((2003, 2003),), test=((2001, 2001),))
pytestmark = pytest.mark.usefixtures("shallow")


@pytest.fixture(scope="module")
def source() -> SyntheticSource:
    made = SyntheticSource(GRID, "2001-12-25", "2003-01-04", sites=6)
    made.available = np.isin(
        made.time.astype("datetime64[M]").astype(str), ["2001-12", "2003-01"]
    ) | (made.time < np.datetime64("2002-01-07"))
    return made


def test_every_table_of_the_document_is_there_with_its_numbers() -> None:
    assert table_names() == ["3-3", "3-4", "3-5", "3-6", "3-7", "3-8", "fig3-8"]
    assert {row.name: row.document.get("global") for row in table("3-4").rows} == {
        "spatial only": [3.51], "temporal only": [3.51], "both, no connection": [3.45],
        "both, connected": [3.43],
    }  # fmt: skip
    best = {row.name: row.document for row in table("3-3").rows}["CO2-Net"]
    assert best == {"global": [3.36, 0.85], "ocean": [1.09, 0.94], "eurasia": [5.39, 0.85]}
    assert [row.document["global"][0] for row in table("3-8", monthly=True).rows] == [
        36.89, 19.51, 13.17, 5.31, 18.25,
    ]  # fmt: skip
    assert table("3-6", monthly=True).rows[1].train["wind_loss"] == 1
    assert table("3-6").rows[1].train["wind_loss"] == 0.2
    with pytest.raises(UserError, match="choose 3-3, 3-4"):
        table("4-1")
    with pytest.raises(UserError, match="three-hourly"):
        table("3-7", monthly=True)


@pytest.mark.parametrize("key", ["3-3", "3-4", "3-5", "3-6", "3-7", "3-8", "fig3-8"])
def test_every_row_is_a_network_that_can_be_made(key: str) -> None:
    """The settings and options exist; nothing is allocated."""
    import torch

    seen = set()
    for row in table(key).rows:
        config = TrainConfig.from_dict({**row.train, "steps": 1, "preset": "XS"})
        assert config.target == "absolute"  # the paper's protocol
        layout = Layout(
            LatLonGrid.ct(), channel_names(AUXILIARY, "absolute"), frames=config.frames
        )  # fmt: skip
        with torch.device("meta"):
            create(config.model, "XS", layout, **config.options)
        seen.add(json.dumps(config.to_dict(), sort_keys=True))
    assert len(seen) == len(table(key).rows)  # rows differ


def test_rows_that_tables_share_are_one_run(source: SyntheticSource, tmp_path: Path) -> None:
    def place(key: str, row: str) -> Path:
        train = {r.name: r.train for r in table(key).rows}[row]
        return run_folder(tmp_path, source, TrainConfig.from_dict({**train, "steps": 9}).to_dict())

    assert place("3-4", "both, connected") == place("3-5", "wind") == place("3-6", "without")
    assert place("3-6", "with") == place("3-8", "0.2") == place("3-7", "3 h")
    assert place("3-4", "both, connected") != place("3-6", "with")


def test_budgets() -> None:
    assert parse_budget("200 steps") == {"steps": 200}
    assert parse_budget(" 0.5 epochs") == {"epochs": 0.5}
    assert parse_budget("30minutes") == {"minutes": 30}
    for text in ("much", "0 steps", "1.5 steps", "200", "-3 steps"):
        with pytest.raises(UserError, match="budget"):
            parse_budget(text)


def test_a_table_trains_its_rows_scores_them_and_does_not_do_it_twice(
    source: SyntheticSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = {
        "preset": "XS", "batch": 1, "options": {"patch": [6, 9]}, "validation_windows": 2,
        "precision": "fp32",
    }  # fmt: skip
    masks = places(GRID, source.stations)
    told: list[float] = []

    def make() -> tables.TableResult:
        return make_table(
            source, "3-4", [Period("2001")], YEARS, masks, tmp_path, tmp_path / "runs",
            budget="2 steps", base=base, every=5, progress=lambda share, text: told.append(share),
        )  # fmt: skip

    made = make()
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)
    runs = sorted((tmp_path / "runs").iterdir())
    assert len(runs) == 4
    options = [json.loads((run / "config.json").read_text())["train"]["options"] for run in runs]
    assert {"patch": [6, 9], "towers": "spatial"} in options  # row's and base's options, merged
    lines = table_lines(made)
    assert [(n["row"], n["document"]) for n in lines] == [
        ("spatial only", 3.51), ("temporal only", 3.51), ("both, no connection", 3.45),
        ("both, connected", 3.43),
    ]  # fmt: skip
    assert all(np.isfinite(n["value"]) and n["period"] == "2001" for n in lines)
    size, patch = "preset XS, 2 windows, seed 0", "patch [6, 9]"
    assert [n["setting"] for n in lines] == [
        f"{size}, towers spatial, {patch}", f"{size}, towers temporal, {patch}",
        f"{size}, connection False, {patch}", f"{size}, {patch}",
    ]  # fmt: skip
    text = table_markdown(made, "synthetic test world", True)
    assert "CarbonTracker CT2022. They are different data sets" in text
    assert f"| spatial only | {lines[0]['setting']} | {lines[0]['value']:.3f} | 3.51 |" in text

    def fails(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("co2net.training.train", fails)
    assert repr(table_lines(make())) == repr(lines)

    # the same runs can be collected, and rows that nothing was trained for show as dashes
    root = tmp_path / "runs"
    for row in table("3-4").rows:
        place = tables.collected(source, row, root)
        assert place is not None
        assert tables._in_words(place) == made.settings[row.name]
    three = {row.name: tables.collected(source, row, root) for row in table("3-5").rows}
    assert three["wind"] == tables.collected(source, table("3-4").rows[3], root)
    assert three["none"] is None
    assert tables.collected(source, table("3-6").rows[1], root) is None  # another wind loss


def test_what_is_shipped_can_be_collected_and_nothing_else(
    source: SyntheticSource, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="nothing that is trained serves"):
        make_table(
            source, "3-3", [Period("2001")], YEARS, places(GRID, source.stations), tmp_path,
            tmp_path / "runs", budget=tables.SHIPPED,
        )  # fmt: skip
