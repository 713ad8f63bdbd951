"""What the integration tests share."""

from pathlib import Path

import pytest

from co2net.grid import LatLonGrid
from tests.synthetic import SyntheticSource, write_store


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three months about the turn of a validation year into a training year."""
    world = SyntheticSource(LatLonGrid.regular(18, 24), "2001-12-01", "2002-02-28", sites=12)
    return write_store(tmp_path_factory.mktemp("store") / "world.zarr", world)
