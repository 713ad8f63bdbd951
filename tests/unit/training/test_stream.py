"""Batches gathered on the device are those that a thread prepares."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch

from co2net.grid import LatLonGrid
from co2net.resident import ResidentFrames
from co2net.training.stream import DeviceStream, Prefetcher, batch_positions, positions
from co2net.windows import SPLITS, Statistics, WindowReader
from tests.synthetic import SyntheticSource

CT = SPLITS["carbontracker"]


def test_positions_of_many_steps_are_those_of_each():
    many = positions(3, 5, 40, 4, 37, rank=1, world=2)  # through several epochs
    each = [batch_positions(3, step, 4, 37, rank=1, world=2) for step in range(5, 45)]
    assert np.array_equal(many, each)


@pytest.mark.parametrize("interval", [1, 2])
def test_device_stream_gives_the_batches_of_the_prefetcher(interval, monkeypatch):
    monkeypatch.setattr(DeviceStream, "AHEAD", 2)
    source = SyntheticSource(LatLonGrid.regular(12, 18), "2001-12-25", "2002-01-10")
    frames = CT.frames(source, "train")
    index = CT.windows(source, "train", 4, interval)
    statistics = Statistics.fit(source, frames, days=5)
    reader = WindowReader(source, statistics, "absolute", frames=4, interval=interval)
    resident = ResidentFrames(reader, frames, device=torch.device("cpu"))
    settings = {"batch": 3, "seed": 1, "dtype": torch.bfloat16}
    prefetched = Prefetcher(resident, index, 7, **settings)
    try:
        for ours, theirs in islice(
            zip(DeviceStream(resident, index, 7, **settings), prefetched, strict=False), 5
        ):
            for name in ("inputs", "clock", "target"):
                assert torch.equal(getattr(ours, name), getattr(theirs, name))
            assert ours.inputs.dtype == torch.bfloat16
    finally:
        prefetched.close()
