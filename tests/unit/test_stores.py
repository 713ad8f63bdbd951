"""What stores there are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from co2net.schema import create_store, write_frames
from co2net.stores import StoreCard, coverage, describe, find_stores, size_of
from tests.synthetic import SyntheticSource
from tests.unit.evaluation.fakes import GRID

VARIABLES = ("air_temperature",)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three months on the axis: January whole, ten days of February, no March."""
    path = tmp_path_factory.mktemp("data") / "synthetic" / "surface.zarr"
    path.parent.mkdir()
    source = SyntheticSource(GRID, "2002-01-01", "2002-03-31", sites=3, variables=VARIABLES)
    create_store(path, GRID, source.time, source.stations, source.attrs, VARIABLES)
    index = np.arange(41 * 8)
    fields = {name: source.read([name], index)[0] for name in ("co2", *VARIABLES)}
    write_frames(path, 0, fields, source.observations(index))
    return path


def test_a_card_says_what_the_store_holds(store: Path) -> None:
    card = describe(store)
    assert card.fault == ""
    assert (card.title, card.simulated) == ("synthetic test world", True)
    assert card.shape == GRID.shape
    assert card.step_hours == 3
    assert (card.frames, card.capacity) == (41 * 8, 90 * 8)
    assert (card.first, card.last) == ("2002-01-01T01:30", "2002-02-10T22:30")
    assert card.months == {"2002-01": 1.0, "2002-02": pytest.approx(10 / 28), "2002-03": 0.0}
    assert [(one.name, one.units) for one in card.variables] == [
        ("co2", "umol mol-1"),
        ("air_temperature", "K"),
    ]
    assert "air_pressure" in card.absent
    assert card.stations == 3
    assert card.size == sum(path.stat().st_size for path in store.rglob("*") if path.is_file())


def test_stores_are_found_and_nothing_else(store: Path) -> None:
    root = store.parents[1]
    (root / "cache" / "deep" / "deeper").mkdir(parents=True)
    (root / ".hidden").mkdir(exist_ok=True)
    assert find_stores(root) == [store]
    assert find_stores(root / "nowhere") == []


def test_a_damaged_store_gives_a_card_with_its_fault(tmp_path: Path) -> None:
    (tmp_path / "zarr.json").write_text("{", encoding="utf-8")
    card = describe(tmp_path)
    assert str(tmp_path) in card.fault
    assert card.months == {}
    assert "no store at" in describe(tmp_path / "absent").fault


def test_gaps_lie_between_whole_months_only() -> None:
    shares = {"a": 0.0, "b": 1.0, "c": 0.5, "d": 0.0, "e": 1.0, "f": 0.0, "g": 1.0, "h": 0.0}
    assert StoreCard(Path(), months=shares).gaps == [("c", "d"), ("f", "f")]
    assert StoreCard(Path(), months={"a": 0.0, "b": 0.4}).gaps == []


def test_coverage_counts_the_frames_of_each_month() -> None:
    source = SyntheticSource(GRID, "2002-01-01", "2002-02-28", sites=2)
    source.available[: 31 * 4] = False
    assert coverage(source) == {"2002-01": 0.5, "2002-02": 1.0}


def test_files_that_vanish_are_not_counted(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_bytes(b"123")
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    assert size_of(tmp_path) == 8
    assert size_of(tmp_path / "absent") == 0
