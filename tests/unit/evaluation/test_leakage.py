"""Nothing that is learned knows the test years."""

from __future__ import annotations

import dataclasses
import importlib
import re
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from co2net.background import Background
from co2net.grid import LatLonGrid
from co2net.schema import VARIABLES
from co2net.training import TrainConfig, train
from co2net.windows import Split
from tests.synthetic import SyntheticSource

GRID = LatLonGrid.regular(12, 18)
YEARS = Split("toy", train=((2002, 2002),), validation=((2003, 2003),), test=((2001, 2001),))
pytestmark = pytest.mark.usefixtures("shallow")
ROOT = Path(__file__).resolve().parents[3]


class World(SyntheticSource):
    """A few days of three years; where ``altered``, the test year's values are others."""

    def __init__(self, altered: bool) -> None:
        super().__init__(GRID, "2001-12-25", "2003-01-03", sites=8)
        day = self.time.astype("datetime64[D]")
        self.available = (day < np.datetime64("2002-01-15")) | (day > np.datetime64("2002-12-31"))
        self.altered = altered

    def _tested(self, index: Any) -> Any:
        return YEARS.part_of(self.time[index]) == 2

    def read(self, names: Any, index: Any) -> Any:
        values = super().read(names, index)
        if self.altered:
            moving = [k for k, name in enumerate(names) if not VARIABLES[name].static]
            values[np.ix_(moving, np.flatnonzero(self._tested(index)))] *= np.float32(1.5)
        return values


def fitted_classes() -> list[type]:
    """Every class of the package that is fitted to a source: ``fit(source, index, ...)``."""
    found = []
    for path in sorted((ROOT / "co2net").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if re.search(r"def fit\(\s*cls,\s*source", text):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            module = importlib.import_module(name)
            found += [c for c in vars(module).values() if isinstance(c, type)
                      and c.__module__ == name and "fit" in vars(c)]  # fmt: skip
    return found


def numbers(thing: Any) -> list[Any]:
    """All arrays and numbers inside."""
    if dataclasses.is_dataclass(thing):
        return [n for f in dataclasses.fields(thing) if not f.name.startswith("_")
                for n in numbers(getattr(thing, f.name))]  # fmt: skip
    if isinstance(thing, dict):
        return [n for value in thing.values() for n in numbers(value)]
    if isinstance(thing, np.ndarray) and thing.dtype.kind in "fiuM":
        return [thing]
    if isinstance(thing, int | float):
        return [np.array(thing)]
    return []


@pytest.fixture(scope="module")
def backgrounds() -> dict[str, Background]:
    """Of the worlds, from training years; and of the altered one from all years."""
    train, every = (YEARS.frames(World(False), "train"), np.flatnonzero(World(False).available))
    return {
        "plain": Background.fit(World(False), train),
        "altered": Background.fit(World(True), train),
        "leaking": Background.fit(World(True), every),
    }


@pytest.mark.parametrize("cls", fitted_classes(), ids=lambda cls: cls.__name__)
def test_changing_the_test_year_changes_no_training_statistic(
    cls: Any, backgrounds: dict[str, Background]
) -> None:
    worlds = {"plain": World(False), "altered": World(True), "leaking": World(True)}
    test = YEARS.frames(worlds["plain"], "test")
    seen = [worlds[name].observations(test) for name in ("plain", "altered")]
    assert not np.array_equal(*seen)
    found = {}
    for name, world in worlds.items():
        index = YEARS.frames(world, "train")
        if name == "leaking":  # this test can fail: with all years it is another
            index = np.flatnonzero(world.available)
        if cls is Background:
            found[name] = numbers(backgrounds[name])
            continue
        wanted = signature(cls.fit).parameters
        needs = {"background": backgrounds[name]} if "background" in wanted else {}
        found[name] = numbers(cls.fit(world, index, **needs))
    assert len(found["plain"]) == len(found["altered"]) > 0
    for one, other in zip(found["plain"], found["altered"], strict=True):
        np.testing.assert_array_equal(one, other)
    assert any(
        x.shape != y.shape or not np.array_equal(x, y)
        for x, y in zip(found["altered"], found["leaking"], strict=True)
    )


def test_statistics_and_background_are_among_them() -> None:
    assert {"Statistics", "Background"} <= {cls.__name__ for cls in fitted_classes()}


def test_changing_the_test_year_changes_no_trained_weight(tmp_path: Path) -> None:
    config = TrainConfig(
        model="vit", preset="XS", target="residual", options={"patch": [6, 9]}, steps=2, batch=1,
        validation_windows=2, precision="fp32",
    )  # fmt: skip
    for name, world in (("plain", World(False)), ("altered", World(True))):
        assert train(config, world, tmp_path / name, device="cpu", years=YEARS).finished
    files = [path.relative_to(tmp_path / "plain")
             for path in (tmp_path / "plain").rglob("*.safetensors")]  # fmt: skip
    assert len(files) >= 3  # weights, statistics, background
    for file in files:
        a, b = load_file(tmp_path / "plain" / file), load_file(tmp_path / "altered" / file)
        assert set(a) == set(b)
        for key in a:
            np.testing.assert_array_equal(a[key], b[key], err_msg=f"{file}: {key}")
