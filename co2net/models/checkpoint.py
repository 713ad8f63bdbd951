"""Trained networks on disk, and as reconstructors.

A checkpoint is a folder: ``config.json`` (model, layout, training settings, data, provenance),
``model.safetensors`` (weights; its header tells steps and validation), ``statistics.safetensors``
and, of a run, ``metrics.jsonl`` and the background it was trained against. The shipped ones share
``data/checkpoints/background``, which their configuration names by its digest.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from co2net.assets import atomic_path, data_path
from co2net.background import Background, default_background_path
from co2net.errors import UserError
from co2net.grid import LatLonGrid
from co2net.models.base import Layout, ModelInfo, Network
from co2net.models.interpolation import (
    STATISTICAL,
    available_statistical,
    load_run,
    load_statistical,
    run_method,
)
from co2net.models.layers import parameter_count
from co2net.models.lean import lean
from co2net.models.packing import pack, unpack
from co2net.models.registry import create, info
from co2net.source import FieldSource, Index
from co2net.windows import Statistics, WindowReader

CONFIG_FILE, WEIGHTS_FILE, STATISTICS_FILE = (
    "config.json",
    "model.safetensors",
    "statistics.safetensors",
)
_CHUNK = 8  # windows computed at once


def save_weights(
    folder: Path, weights: dict[str, Tensor], trained: dict[str, Any], packed: bool = False
) -> None:
    """Write ``model.safetensors`` with what training reached in its header."""
    tensors = {k: v.detach().cpu().float().contiguous() for k, v in weights.items()}
    if packed:
        tensors = pack(tensors)
    with atomic_path(folder / WEIGHTS_FILE) as draft:
        save_file(tensors, draft, metadata={"trained": json.dumps(trained)})


def ship(run: str | Path, folder: str | Path) -> None:
    """Copy what reconstructing needs of a run, weights packed into a byte each."""
    run, folder = Path(run), Path(folder)
    if folder.exists():
        raise UserError(f"{folder} exists already; remove it first")
    with safe_open(run / WEIGHTS_FILE, framework="pt") as file:
        weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        trained = json.loads(file.metadata()["trained"])
    with atomic_path(folder) as draft:
        draft.mkdir()
        save_weights(draft, weights, trained, packed=True)
        for name in (CONFIG_FILE, STATISTICS_FILE, "metrics.jsonl", "environment.json"):
            if (run / name).is_file():
                (draft / name).write_bytes((run / name).read_bytes())


@dataclass(frozen=True, eq=False)
class NetworkReconstructor:
    """A trained network as a `co2net.models.base.Reconstructor`.

    When no station reports in a frame, the station channels are zero and, for the targets
    ``anomaly`` and ``residual``, the prior is the climatology at the trend of the training
    years, held beyond them; the network then corrects it from the weather alone.
    """

    info: ModelInfo
    layout: Layout
    network: Network
    statistics: Statistics
    background: Background | None
    target: str
    interval: int

    @property
    def frames(self) -> int:
        """Length of the window."""
        return self.layout.frames

    @property
    def grid(self) -> LatLonGrid:
        """Cells."""
        return self.layout.grid

    @cached_property
    def _lock(self) -> Any:
        return Lock()

    @cached_property
    def _lean(self) -> Network:
        return lean(self.network, self._dtype)

    @property
    def _dtype(self) -> torch.dtype:
        device = next(self.network.parameters()).device
        return torch.bfloat16 if fast_bf16(device) else torch.float32

    def reader(self, source: FieldSource) -> WindowReader:
        """Windows of a source, as this network reads them.

        Raises
        ------
        UserError
            When grid, variables or stations do not fit.
        """
        if source.grid != self.grid:
            raise UserError(
                f"{self.info.name} was trained on {self.grid}, the data set has {source.grid}; "
                "regrid the data or train a model on this grid"
            )
        return WindowReader(
            source, self.statistics, self.target, self.background, self.frames, self.interval
        )

    def reconstruct(self, source: FieldSource, index: Index) -> NDArray[np.float32]:
        """(n, H, W) umol/mol at the frames ``index``; never reads the truth.

        Neighbouring frames share the frames of their windows, which are read once.
        """
        index = np.asarray(index, dtype=np.int64)
        reader = self.reader(source)
        out = np.empty((index.size, *self.grid.shape), dtype=np.float32)
        for start in range(0, index.size, _CHUNK):
            part = slice(start, start + _CHUNK)
            batch = reader.read(index[part], truth=False)
            assert batch.prior is not None
            out[part] = batch.prior + np.float32(reader.scale) * self.forward(
                batch.inputs, batch.clock
            )
        return out

    def forward(
        self, inputs: NDArray[np.float16], clock: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """(n, C, T, H, W), (n, T, 2) -> (n, H, W): the normalised target, one thread at a time."""
        device = next(self.network.parameters()).device
        with self._lock, torch.inference_mode(), autocast(device, self._dtype):
            x = torch.from_numpy(inputs).to(device, self._dtype)
            co2 = self._lean(x, torch.from_numpy(clock).to(device)).co2
        return co2.float().cpu().numpy()


def fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 products pay: any CUDA device, or a processor with AMX."""
    if device.type == "cuda":
        return True
    return device.type == "cpu" and torch.cpu._is_amx_tile_supported()


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Matrix products and convolutions in ``dtype``; nothing changes for float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16)


def available() -> list[str]:
    """Names that `load` knows: networks shipped, and the statistical methods."""
    folder = data_path("checkpoints")
    found = sorted(
        path.parent.name
        for path in folder.glob(f"*/{CONFIG_FILE}")
        if (path.parent / WEIGHTS_FILE).is_file()
    )
    return [*found, *available_statistical()]


def load(model: str | Path, device: str | torch.device = "cpu") -> Any:
    """A reconstructor: a name of `available`, or the folder of a checkpoint or run.

    Raises
    ------
    UserError
        When there is no such checkpoint, a file is damaged, the network is unknown, or the
        background that it was trained against is not there.
    """
    if str(model) in STATISTICAL:
        return load_statistical(str(model))
    folder = Path(model)
    if run_method(folder):
        return load_run(folder)
    if not (folder / CONFIG_FILE).is_file():
        folder = data_path("checkpoints", str(model))
    if not (folder / CONFIG_FILE).is_file() or not (folder / WEIGHTS_FILE).is_file():
        raise UserError(
            f"no trained model '{model}'; there are {', '.join(available()) or 'none'}, "
            "or give the folder of a run that has reached its first validation"
        )
    try:
        return _load(folder, torch.device(device))
    except (OSError, KeyError, ValueError, TypeError, SafetensorError, RuntimeError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"checkpoint {folder} is damaged or of another version: {line}") from None


def _load(folder: Path, device: torch.device) -> NetworkReconstructor:
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    train, made_of = config["train"], config["layout"]
    layout = Layout(
        LatLonGrid.from_dict(made_of["grid"]), tuple(made_of["channels"]), made_of["frames"]
    )
    network = create(train["model"], train["preset"], layout, **config["options"])
    with safe_open(folder / WEIGHTS_FILE, framework="pt") as file:
        trained = json.loads(file.metadata()["trained"])
        weights = unpack({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
    network.load_state_dict(weights)
    network.to(device).eval().requires_grad_(False)
    background = _background(folder, config["background"]) if config["background"] else None
    family = info(train["model"])
    digest = hashlib.sha256((folder / WEIGHTS_FILE).read_bytes())
    digest.update(str(config["background"]).encode())
    return NetworkReconstructor(
        info=ModelInfo(
            name=family.name,
            title=family.title,
            family="network",
            preset=train["preset"],
            parameters=parameter_count(network),
            target=config["target"],
            description=family.description,
            reference=family.reference,
            trained_on={**config["data"], "split": train["split"], **trained,
                        "commit": config["provenance"].get("commit", "")},
            digest=digest.hexdigest()[:12],
        ),
        layout=layout,
        network=network,
        statistics=Statistics.load(folder / STATISTICS_FILE),
        background=background,
        target=config["target"],
        interval=train["interval"],
    )  # fmt: skip


def _background(folder: Path, digest: str) -> Background:
    for path in (folder / "background", default_background_path()):
        if path.is_dir():
            found = Background.load(path)
            if found.digest == digest:
                return found
    raise UserError(
        f"checkpoint {folder} was trained against the background {digest}, which is neither in "
        "the folder nor shipped; copy the run's background beside it"
    )
