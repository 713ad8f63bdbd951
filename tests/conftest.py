"""Settings of all tests."""

import os
from dataclasses import replace

import pytest
from hypothesis import settings

# One thread, here and in all processes that tests start: on fields as small as theirs, threads
# wait for each other longer than they work, on a busy machine ten times as long. Numba's number
# becomes PyTorch's too, once something is computed in parallel: they share one OpenMP.
os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"

settings.register_profile("patient", deadline=None)  # a slow or busy machine is no failure
settings.load_profile("patient")


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """CO2-Net and ViT of preset XS have one layer, for trainings whose claim is not of depth."""
    from co2net.models import co2net, vit

    for sizes in (co2net.SIZES, vit.SIZES):
        monkeypatch.setitem(sizes, "XS", replace(sizes["XS"], depth=1))
