"""Packed weights: a byte each, near the true ones, and plain ones pass through."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from co2net.models.packing import pack, unpack


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(1e-6, 1e3), seed=st.integers(0, 99))
def test_no_weight_moves_further_than_half_a_step(scale, seed):
    weight = scale * torch.randn(64, 8, 3, 3, generator=torch.Generator().manual_seed(seed))
    weight[3] = 0
    packed = pack({"a.weight": weight})
    assert packed["a.weight"].dtype == torch.int8
    back = unpack(packed)["a.weight"]
    largest = weight.flatten(1).abs().amax(dim=1)
    apart = (back - weight).flatten(1).abs().amax(dim=1)
    assert (apart <= largest / 254 * 1.001 + 1e-12).all()


def test_vectors_and_small_tables_stay_in_half_precision():
    weights = {"bias": torch.randn(5000), "small.weight": torch.randn(8, 8)}
    packed = pack(weights)
    assert {value.dtype for value in packed.values()} == {torch.float16}
    for name, value in unpack(packed).items():
        torch.testing.assert_close(value, weights[name], rtol=1e-3, atol=1e-6)


def test_plain_weights_pass_through():
    weights = {"a": torch.randn(100, 100)}
    assert torch.equal(unpack(weights)["a"], weights["a"])
