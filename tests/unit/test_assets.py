"""Atomic writing and provenance."""

import pytest

from co2net.assets import atomic_path, data_path, provenance


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path):
    target = tmp_path / "a" / "result.txt"
    with atomic_path(target) as draft:
        draft.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(target) as draft:
        draft.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [p.name for p in target.parent.iterdir()] == ["result.txt"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "folder"
    with pytest.raises(RuntimeError), atomic_path(target) as draft:
        draft.mkdir()
        (draft / "x").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with atomic_path(target) as draft:
        draft.mkdir()
        (draft / "x").write_text("x")
    assert (target / "x").read_text() == "x"


def test_the_data_folder_can_be_moved(tmp_path, monkeypatch):
    assert data_path("regions.geojson").is_file()
    monkeypatch.setenv("CO2NET_DATA", str(tmp_path))
    assert data_path("x") == tmp_path / "x"


def test_provenance_says_what_made_a_result():
    assert {"co2net", "commit", "python", "numpy", "machine"} <= set(provenance())
