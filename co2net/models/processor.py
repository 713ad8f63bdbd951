"""What lets networks run fast on a processor: memory that stays, and the rate to compare with."""

from __future__ import annotations

import ctypes
import sys
from time import perf_counter

import torch

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of malloc.h


def keep_memory() -> bool:
    """Let this process keep the memory that it has freed, for the next step to use.

    glibc returns every large block to the system, which then clears its pages anew at each use:
    a fifth of a training step of CO2-Net. The process does not shrink afterwards: meant for
    trainings and bulk work, not for a server.

    Returns
    -------
    bool
        Whether the C library could be told; elsewhere nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, -1))


def matrix_rate(
    device: torch.device, dtype: torch.dtype, size: int = 2048, rounds: int = 5
) -> float:
    """FLOP/s of a square matrix product, the best of some rounds."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(rounds + 1):  # the first one warms up
        start = perf_counter()
        product = a @ b
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, perf_counter() - start)
    assert product.shape == (size, size)
    return 2 * size**3 / best
