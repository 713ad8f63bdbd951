"""Atomic writing and provenance."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from co2net.assets import atomic_path, data_path, peak_memory, provenance


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


def test_peak_memory_is_this_process_own():
    """A child of a large process starts small."""
    code = "from co2net.assets import peak_memory; print(peak_memory())"
    before = peak_memory()
    ballast = np.ones(60_000_000)  # 480 MB
    assert peak_memory() - before > 0.2 * ballast.nbytes or before > 2 * ballast.nbytes
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=root)
    assert 5e6 < int(done.stdout) < 300e6
