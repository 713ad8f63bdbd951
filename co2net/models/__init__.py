"""Models: networks, statistical methods, and loading what was trained."""

from co2net.models.base import Layout, ModelInfo, Network, Reconstruction, Reconstructor
from co2net.models.checkpoint import NetworkReconstructor, available, load, ship
from co2net.models.registry import PRESETS, create, info, names, parameter_counts

__all__ = [
    "PRESETS",
    "Layout",
    "ModelInfo",
    "Network",
    "NetworkReconstructor",
    "Reconstruction",
    "Reconstructor",
    "available",
    "create",
    "info",
    "load",
    "names",
    "parameter_counts",
    "ship",
]
