"""Training: settings, loop, loss, data stream, and exact resume."""

from co2net.training.config import TrainConfig
from co2net.training.loop import TrainResult, resume, train

__all__ = ["TrainConfig", "TrainResult", "resume", "train"]
