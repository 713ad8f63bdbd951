"""What one step of training does: the part of the loop that differs between families.

The loop (`co2net.training.loop`) knows batches, schedule, averages, validation, checkpoints and
budgets; an `Objective` holds what is trained, the optimisers, and one step of them.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

from co2net.models.base import Layout, Network, wind_channels
from co2net.models.checkpoint import autocast
from co2net.resident import TensorBatch
from co2net.training.config import TrainConfig
from co2net.training.losses import row_weights, semi_supervised


class Objective(Protocol):
    """A way to train a network."""

    @property
    def network(self) -> Network:
        """What is averaged, validated and kept."""
        ...

    @property
    def trained(self) -> nn.Module:
        """All that learns, ``network`` among it.

        Its parameters and persistent buffers are, with the optimisers' moments, what resuming
        needs.
        """
        ...

    @property
    def optimizers(self) -> tuple[torch.optim.Optimizer, ...]:
        """Each parameter of ``trained`` is in one of them."""
        ...

    def step(self, batch: TensorBatch, number: int) -> dict[str, Tensor]:
        """One step.

        Parameters
        ----------
        batch
            On the device.
        number : int
            Steps done before; any choice by chance follows from it and the seed.

        Returns
        -------
        dict
            Scalars on the device, none of them read: ``loss``, ``co2`` (area-weighted mean square
            error of the normalised target), ``gradient`` (norm before clipping), and others.
        """
        ...


class Supervised:
    """The semi-supervised loss of the document (`co2net.training.losses`).

    Parameters
    ----------
    network
        On its device.
    config
        Resolved settings.
    layout
        What the network was made for.
    device, dtype
        Of the matrix products.
    processes : int
        That train together, by `torch.nn.parallel.DistributedDataParallel`.
    """

    def __init__(
        self,
        network: Network,
        config: TrainConfig,
        layout: Layout,
        device: torch.device,
        dtype: torch.dtype,
        processes: int = 1,
    ) -> None:
        self.network, self.trained = network, network
        channels_last(network)
        self.optimizers = (adamw((network,), config),)
        self._config, self._device, self._dtype = config, device, dtype
        self._weights = row_weights(layout.grid).to(device)
        self._winds = list(wind_channels(layout.channels))
        self._forward: nn.Module = network
        if processes > 1:
            self._forward = nn.parallel.DistributedDataParallel(network)

    def step(self, batch: TensorBatch, number: int) -> dict[str, Tensor]:
        """See `Objective.step`; adds ``wind``, the wind's part of the loss."""
        with autocast(self._device, self._dtype):
            output = self._forward(batch.inputs, batch.clock)
        wind = batch.inputs[:, self._winds] if output.wind is not None else None
        loss, co2, blown = semi_supervised(
            output, batch.target, wind, self._weights, self._config.wind_loss
        )
        gradient = descend(self.optimizers[0], loss, self._config)
        found = {"loss": loss, "co2": co2, "wind": blown, "gradient": gradient}
        return {name: value.detach() for name, value in found.items()}


def channels_last(module: nn.Module) -> None:
    """Weights of convolutions over images with channels last; others stay as they are."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def adamw(modules: tuple[nn.Module, ...], config: TrainConfig) -> torch.optim.AdamW:
    """Decay for matrices and tables, none for biases, norms and other vectors."""
    parameters = [p for module in modules for p in module.parameters()]
    large = [p for p in parameters if p.ndim >= 2]
    small = [p for p in parameters if p.ndim < 2]
    assert config.rate is not None
    assert config.decay is not None
    assert config.betas is not None
    return torch.optim.AdamW(
        [{"params": large, "weight_decay": config.decay}, {"params": small, "weight_decay": 0.0}],
        lr=config.rate,
        betas=config.betas,
        fused=True,
    )


def descend(
    optimizer: torch.optim.Optimizer, loss: Tensor, config: TrainConfig, processes: int = 1
) -> Tensor:
    """Gradient of the loss, its mean over ``processes``, clipping, one step; gives its norm."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if processes > 1:
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients]) / processes
        dist.all_reduce(flat)
        for gradient, mean in zip(
            gradients, flat.split([g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(mean.view_as(gradient))
    norm = nn.utils.clip_grad_norm_(parameters, config.clip or math.inf)
    optimizer.step()
    return norm
