"""Resident frames give the very windows that the reader does, from wherever they lie."""

import errno
import os

import numpy as np
import pytest
import torch

from co2net.background import Background
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.resident import BLOCK, ResidentFrames
from co2net.windows import SPLITS, TARGETS, Statistics, WindowReader
from tests.synthetic import SyntheticSource

GRID = LatLonGrid.regular(18, 24)
CT = SPLITS["carbontracker"]


class Counting(SyntheticSource):
    """Counts the frames of each variable that are read."""

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.counts = {}

    def read(self, names, index):
        for name in names:
            self.counts[name] = self.counts.get(name, 0) + len(index)
        return super().read(names, index)


@pytest.fixture(scope="module")
def source():
    return Counting(GRID, "2001-12-20", "2002-02-10")


@pytest.fixture(scope="module")
def background(source):
    return Background.fit(source, CT.frames(source, "train"))


@pytest.fixture(scope="module")
def statistics(source, background):
    return Statistics.fit(source, CT.frames(source, "train"), background, days=20)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("on_disk", [False, True])
def test_windows_are_the_readers(source, statistics, background, target, on_disk, tmp_path):
    index = CT.windows(source, "train")[[0, 7, 3, 60, 61]]
    reader = WindowReader(source, statistics, target, background)
    plain = reader.read(index)
    folder = tmp_path if on_disk else None
    resident = ResidentFrames(reader, CT.frames(source, "train"), folder)
    for _ in range(2):
        found = resident.read(index)
        np.testing.assert_allclose(found.inputs.numpy(), plain.inputs, atol=1e-2)
        np.testing.assert_allclose(found.target.numpy(), plain.target, atol=1e-2)
        np.testing.assert_array_equal(found.clock.numpy(), plain.clock)


def test_bits_do_not_depend_on_what_was_read_before(source, statistics, background):
    reader = WindowReader(source, statistics, "residual", background)
    frames, index = CT.frames(source, "train"), CT.windows(source, "train")
    fresh, used = ResidentFrames(reader, frames), ResidentFrames(reader, frames)
    used.read(index[[50, 3, 81]])
    a, b = fresh.read(index[[51]]), used.read(index[[51]])
    assert torch.equal(a.inputs, b.inputs)
    assert torch.equal(a.target, b.target)


def test_a_frame_is_prepared_once_and_targets_share_the_weather(
    source, statistics, background, tmp_path
):
    frames, index = CT.frames(source, "train"), CT.windows(source, "train")
    source.counts.clear()
    for target in ("residual", "residual", "absolute"):
        reader = WindowReader(source, statistics, target, background)
        resident = ResidentFrames(reader, frames, tmp_path)
        resident.read(index[:4])
        resident.read(index[:4])
    assert source.counts["air_temperature"] == BLOCK
    assert source.counts["co2"] == 2 * 2 * BLOCK  # two targets; truth, and at the stations


def test_other_data_or_another_background_find_nothing(statistics, background, tmp_path):
    for last in ("2002-02-10", "2002-02-11"):
        source = Counting(GRID, "2001-12-20", last)
        reader = WindowReader(source, statistics, "anomaly", background)
        ResidentFrames(reader, CT.frames(source, "train"), tmp_path).read(
            CT.windows(source, "train")[:1]
        )
        assert source.counts["air_temperature"] == BLOCK


def test_a_full_disk_is_one_line(source, statistics, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    reader = WindowReader(source, statistics, "absolute")
    resident = ResidentFrames(reader, CT.frames(source, "train"), tmp_path)
    with pytest.raises(UserError, match="No space left"):
        resident.read(CT.windows(source, "train")[:1])


def test_a_folder_that_cannot_be_is_one_line(source, statistics, tmp_path):
    (tmp_path / "file").write_text("")
    reader = WindowReader(source, statistics, "absolute")
    with pytest.raises(UserError, match="cannot be kept"):
        ResidentFrames(reader, CT.frames(source, "train"), tmp_path / "file")
