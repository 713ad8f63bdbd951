"""Benchmarks run, count what a network computes, and compare the same network with itself."""

from __future__ import annotations

import pytest
import torch

from co2net import bench
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.models import load
from co2net.models.layers import Block
from co2net.models.lean import LeanBlock
from co2net.models.processor import keep_memory, matrix_rate
from co2net.training import TrainConfig, train
from tests.synthetic import SyntheticSource


@pytest.fixture(scope="module")
def source() -> SyntheticSource:
    return SyntheticSource(LatLonGrid.regular(18, 24), "2001-12-25", "2002-01-10")


def test_train(source):
    row = bench.bench_train(source, "vit", "XS", steps=1, batch=2, rounds=1)
    # tokens, 5 layers of width 192 on 4 patches, head: forward, and twice that backward
    width, tokens = 192, 4
    layer = 2 * tokens * 12 * width**2 + 2 * 2 * tokens**2 * width
    channels = 9 + 9  # of the window, and of the stem
    first = 2 * tokens * channels * 8 * 108 * width
    expected = 3 * (5 * layer + 2 * tokens * width * 108) + 2 * first  # inputs need no gradient
    assert row["gflop_per_window"] * 1e9 == pytest.approx(expected, rel=1e-6)
    assert row["target"] == "absolute"
    for key in ("speedup", "step_speedup", "share_of_matrix_rate", "peak_memory_mb"):
        assert row[key] > 0
    with pytest.raises(UserError, match="trained otherwise"):
        bench.bench_train(source, "cyclegan", "XS")
    with pytest.raises(UserError, match="fewer than"):
        bench.bench_train(source, "vit", "XS", steps=1, batch=10_000)


def test_infer_takes_another_size(source, tmp_path):
    settings = TrainConfig(
        model="vit", preset="XS", steps=1, batch=2, validate_every=1, validation_windows=2
    )
    train(settings, source, tmp_path / "run", device="cpu")
    model = load(tmp_path / "run")
    own = bench.bench_infer(source, model, windows=2, rounds=1)
    other = bench.bench_infer(source, model, preset="S", windows=2, rounds=1)
    assert own["parameters"] == model.info.parameters < other["parameters"]
    assert (own["preset"], other["preset"]) == ("XS", "S")
    assert own["gflop_per_window"] < other["gflop_per_window"]
    assert own["executed_gflop_per_window"] == pytest.approx(own["gflop_per_window"])
    for key in ("speedup", "network_speedup", "matrix_gflop_per_s"):
        assert own[key] > 0
    few = SyntheticSource(source.grid, "2002-01-01", "2002-01-01")
    with pytest.raises(UserError, match="fewer than 2 windows"):
        bench.bench_infer(few, model, windows=2)


def test_counts_attention_with_and_without_gradients():
    """Without gradients it is PyTorch's fused one, which counts as its two products."""
    block, x = Block(32), torch.randn(2, 20, 32)
    with torch.inference_mode():
        fused = bench._flops(lambda: block(x))
    assert fused == bench._flops(lambda: block(x))
    assert fused == 2 * (2 * 20 * 12 * 32**2 + 2 * 2 * 20**2 * 32)
    slim = LeanBlock(block.requires_grad_(False), torch.float32)
    with torch.inference_mode():
        assert fused == bench._flops(lambda: slim(x))  # products added in place count too


def test_matrix_rate_and_memory():
    assert matrix_rate(torch.device("cpu"), torch.float32, size=64, rounds=1) > 0
    assert isinstance(keep_memory(), bool)
