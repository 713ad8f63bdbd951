"""One validation field beside the checkpoint: what a person looks at while a network trains."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from co2net.assets import atomic_path
from co2net.grid import LatLonGrid

SAMPLE_FILE = "validation.safetensors"


@dataclass(frozen=True, eq=False)
class Sample:
    """A field of the validation years, and what the network made of it.

    Parameters
    ----------
    time : datetime64
        Of the field.
    step : int
        Steps of training behind it.
    rmse : float
        Of that validation, over all of its windows (umol/mol).
    grid
        Cells.
    truth, co2 : (H, W) float32
        umol/mol.
    """

    time: np.datetime64
    step: int
    rmse: float
    grid: LatLonGrid
    truth: NDArray[np.float32]
    co2: NDArray[np.float32]

    def save(self, folder: Path) -> None:
        """Write it in one stroke, in place of the one before."""
        about: dict[str, Any] = {"time": str(self.time), "step": self.step, "rmse": self.rmse}
        about["grid"] = self.grid.to_dict()
        fields = {"truth": np.ascontiguousarray(self.truth), "co2": np.ascontiguousarray(self.co2)}
        with atomic_path(folder / SAMPLE_FILE) as draft:
            save_file(fields, draft, metadata={"about": json.dumps(about)})


def load_sample(folder: Path) -> Sample | None:
    """The latest one of a run; None before the first validation, or where it is damaged."""
    try:
        with safe_open(folder / SAMPLE_FILE, framework="np") as file:
            about = json.loads(file.metadata()["about"])
            return Sample(
                np.datetime64(about["time"], "s"),
                int(about["step"]),
                float(about["rmse"]),
                LatLonGrid.from_dict(about["grid"]),
                file.get_tensor("truth"),
                file.get_tensor("co2"),
            )
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None
