"""The server of the browser tests: the real one, over a small store and quick models.

``python -m tests.browser.server STORE PORT CACHE``
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from co2net.assets import data_path
from co2net.evaluation.report import (
    ABOUT,
    MARGINS,
    SCORES,
    STATIONS,
    STATIONS_ABOUT,
    write_about,
    write_rows,
)
from co2net.evaluation.report import CASES as CASES_CSV
from co2net.evaluation.scores import Margin, Row
from co2net.evaluation.sites import SiteRow
from co2net.grid import LatLonGrid
from co2net.ocean import ProductFields
from co2net.schema import create_store, open_store, write_frames
from co2net.source import FieldSource, Index
from tests.synthetic import SyntheticSource


@dataclass(frozen=True)
class Info:
    """As much of a model's information as the engine reads."""

    name: str
    digest: str


class Waves:
    """A model that is wrong by a known wave, and may have to wait."""

    frames = 8

    def __init__(self, name: str, size: float, grid: LatLonGrid, hold: Path | None = None) -> None:
        self.info = Info(name, f"test-{name}")
        self.grid = grid
        self._size, self._hold = size, hold

    def reconstruct(self, source: FieldSource, index: Index) -> NDArray[np.float32]:
        """Truth plus a wave, when nothing holds the model."""
        while self._hold is not None and self._hold.exists():
            time.sleep(0.05)
        wave = self._size * np.sin(3 * np.radians(self.grid.lon))
        return source.read(["co2"], index)[0] + wave.astype(np.float32)


def make_store(path: str) -> None:
    """Two months on the time axis, of which the first is filled."""
    source = SyntheticSource(start="2002-01-01", end="2002-02-28", sites=24)
    create_store(path, source.grid, source.time, source.stations, source.attrs, source.variables)
    index = np.arange(31 * 8)
    fields = {name: source.read([name], index)[0] for name in ("co2", *source.variables)}
    static = {"surface_altitude": fields.pop("surface_altitude")[0]}
    write_frames(path, 0, fields | static, source.observations(index))


def make_sea(grid: LatLonGrid) -> ProductFields:
    """The sea of both months: warm in the tropics, a source there and a sink elsewhere."""
    lat = np.radians(grid.lat)[None, :, None] + np.zeros((2, 1, grid.lon.size))
    values = {"pco2": 350 + 40 * np.cos(3 * lat), "sst": 30 * np.cos(lat) ** 2 - 1}
    months = np.array(["2002-01", "2002-02"], dtype="datetime64[M]")
    return ProductFields(values, months, grid, grid, title="small sea", carry=False)


CASES = """
- key: wave
  title: {en: A wave, zh: 一个波}
  kind: event
  region: amazon
  start: 2002-01-05
  end: 2002-01-08
  models: [co2net, interpolation]
  text:
    en: "From {truth_first} to {truth_last} ppm; {best}."
    zh: "从 {truth_first} 到 {truth_last} ppm；{best}。"
- key: later
  title: {en: Later, zh: 以后}
  kind: event
  region: siberia
  start: 2002-02-05
  end: 2002-02-08
  text: {en: "{truth_mean}", zh: "{truth_mean}"}
"""
"""Of the second case the store holds nothing."""


def make_data(folder: Path) -> Path:
    """The program's data, with cases and results of this small world."""
    folder.mkdir()
    for path in data_path().iterdir():
        if path.name not in ("benchmarks", "cases.yml", "cache", "demo"):
            (folder / path.name).symlink_to(path)
    (folder / "cases.yml").write_text(CASES, encoding="utf-8")
    results = folder / "benchmarks"
    (results / "tables").mkdir(parents=True)
    rows = [
        Row(model, "", "test", "2002", place, "rmse_document", value + n, value, value + 1, 9)
        for model, value in (("co2net", 1.0), ("vit", 2.0), ("interpolation", 0.5))
        for n, place in enumerate(("global", "ocean", "lat_0_30N"))
    ]
    rows += [
        Row(model, "", "validation", "2001", place, "rmse_document", value, value, value, 9)
        for model, value in (("co2net", 3.0), ("vit", 0.25))
        for place in ("global", "ocean")
    ]
    write_rows(results / SCORES, rows)
    pairs = [
        Margin(best, other, "test", "2002", "global", "rmse_document", -gap, -gap - 0.25,
               -gap + 0.25, 50.0, 25.0, 75.0, 9)
        for best, other, gap in (("interpolation", "co2net", 0.5), ("interpolation", "vit", 1.5))
    ]  # fmt: skip
    write_rows(results / MARGINS, pairs)
    (results / CASES_CSV).write_text(
        "case,region,start,end,model,seed,metric,value,n\n"
        "wave,amazon,2002-01-05,2002-01-08,co2net,0,correlation,0.5,4\n"
        "wave,amazon,2002-01-05,2002-01-08,vit,0,correlation,0.9,4\n",
        encoding="utf-8",
    )
    about = {
        "data": {"title": "<b>small</b>", "simulated": True},
        "command": "co2net evaluate",
        **{"every": 9, "models": {}, "seeds": {}, "periods": {}, "frames": {}},
    }
    write_about(results / ABOUT, about)
    (results / "tables" / "3-3.csv").write_text(
        "table,row,model,setting,region,period,metric,value,low,high,n,document\n"
        "3-3,ViT,vit,XS,global,2002,rmse_document,4.25,4,5,9,5.42\n",
        encoding="utf-8",
    )
    write_about(results / "tables" / "3-3.json", about)
    site = SiteRow("co2net", "", 0, 0, "S00", 0.0, 0.0, "rmse", 0.25, 9)
    write_rows(results / STATIONS, [site, replace(site, withheld=1, value=1.75)])
    write_about(results / STATIONS_ABOUT, about)
    return folder


def main() -> None:
    """Serve."""
    from dashboard.app import serve

    store, port, cache = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    if "CO2NET_DATA" not in os.environ:
        os.environ["CO2NET_DATA"] = str(make_data(Path(store).with_name("data")))
    grid = open_store(store).grid
    models = [
        Waves("co2net", 0.5, grid),
        Waves("vit", 1.5, grid),
        Waves("interpolation", 1.0, grid),
        Waves("sloth", 2.0, grid, hold=Path(store).with_name("hold")),
    ]
    serve(store, port=port, models=models, cache_dir=cache, sea=make_sea(grid))


if __name__ == "__main__":
    main()
