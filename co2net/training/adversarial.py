"""Training against critics: unpaired with cycles (CycleGAN), and paired (pix2pix).

After Zhu et al. (ICCV 2017) and Isola et al. (CVPR 2017), with the networks of
`co2net.models.cyclegan`. The adversarial loss is that of least squares (Mao et al., ICCV 2017):
generators make critics say one, critics say one to what is real and zero to what is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from co2net.models.base import Layout, Network
from co2net.models.checkpoint import autocast
from co2net.models.cyclegan import SIZES, Critic, Inverse
from co2net.resident import TensorBatch
from co2net.training.config import TrainConfig
from co2net.training.losses import row_weights
from co2net.training.objective import adamw, descend

CYCLE_WEIGHT = 10.0
"""Of the cycles' L1, over the adversarial loss (Zhu et al.)."""
PAIRED_WEIGHT = 100.0
"""Of the L1 to the truth, over the adversarial loss (Isola et al.)."""
POOL = 50
"""Made images among which critics see old ones."""


class Pool(nn.Module):
    """Images made before (Shrivastava et al., CVPR 2017).

    The first `POOL` are kept; of the later ones every second, by chance, goes in for one that
    comes out and is judged instead.
    """

    kept: Tensor

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("kept", torch.zeros(POOL, *shape, dtype=dtype))

    def swap(self, made: Tensor, before: int, rng: np.random.Generator) -> Tensor:
        """Images to judge.

        Parameters
        ----------
        made : (B, ...)
            New images; no gradient goes back through them.
        before : int
            Images that were given earlier.

        Returns
        -------
        (B, ...)
            Some of them, and old ones in the places of the others.
        """
        shown = made.detach().to(self.kept.dtype, copy=True)
        new = min(max(POOL - before, 0), len(made))
        self.kept[before : before + new] = shown[:new]
        chosen = new + np.flatnonzero(rng.random(len(made) - new) < 0.5)[:POOL]
        if chosen.size:
            places = torch.from_numpy(rng.permutation(POOL)[: chosen.size])
            among = torch.from_numpy(chosen)
            old = self.kept[places]
            self.kept[places] = shown[among]
            shown[among] = old
        return shown


class Earlier(nn.Module):
    """The fields of the step before, with what is known of their time without any weather."""

    target: Tensor
    clock: Tensor
    known: Tensor

    def __init__(self, batch: int, layout: Layout, known: list[int], dtype: torch.dtype) -> None:
        super().__init__()
        frames, cells = layout.frames, layout.grid.shape
        self.channels = known
        self.register_buffer("target", torch.zeros(batch, *cells))
        self.register_buffer("clock", torch.zeros(batch, frames, 2))
        shape = (batch, len(known), frames, *cells)
        self.register_buffer("known", torch.zeros(shape, dtype=dtype))

    def swap(self, batch: TensorBatch, number: int) -> TensorBatch:
        """Fields of the last step for those of this one; inputs are zero but where known."""
        if number == 0:  # there are none yet: of this step's windows each gets another's
            self._keep(batch)
            for kept in (self.target, self.clock, self.known):
                kept.copy_(kept.roll(1, 0))
        inputs = torch.zeros_like(batch.inputs)
        inputs[:, self.channels] = self.known.to(inputs.dtype)
        out = TensorBatch(inputs, self.clock.clone(), self.target.clone())
        self._keep(batch)
        return out

    def _keep(self, batch: TensorBatch) -> None:
        self.target.copy_(batch.target)
        self.clock.copy_(batch.clock)
        self.known.copy_(batch.inputs[:, self.channels])


class Unpaired:
    """CycleGAN: windows and fields are never shown together.

    The fields of a step are the targets of the windows of the step before; the order of windows is
    by chance, so that nothing ties them to this step's windows. For parameters see
    `co2net.training.objective.Supervised`.
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
        size = SIZES[config.preset]
        self.network = network
        self.inverse = Inverse(layout, config.preset)
        content = self.inverse.content
        known = [n for n in range(len(layout.channels)) if n not in content]
        moving = len(content) * layout.frames
        self.of_fields, self.of_windows = Critic(1, size), Critic(moving, size)
        self.fields = Pool((1, *layout.grid.shape), dtype)
        self.windows = Pool((moving, *layout.grid.shape), dtype)
        self.earlier = Earlier(config.batch, layout, known, dtype)
        self.trained = nn.ModuleDict(
            {
                "network": network,
                "inverse": self.inverse,
                "of_fields": self.of_fields,
                "of_windows": self.of_windows,
                "fields": self.fields,
                "windows": self.windows,
                "earlier": self.earlier,
            }
        ).to(device)
        self.critics = (self.of_fields, self.of_windows)
        self.optimizers = (adamw((network, self.inverse), config), adamw(self.critics, config))
        self.config, self.device, self.dtype = config, device, dtype
        self.processes = processes
        self.weights = row_weights(layout.grid).to(device)

    def step(self, batch: TensorBatch, number: int) -> dict[str, Tensor]:
        """See `Objective.step`; adds ``adversarial``, ``cycle`` and ``critic``.

        ``co2`` compares with the truth for the record; nothing learns from it.
        """
        other = self.earlier.swap(batch, number)
        field, window = other.target[:, None], self._content(batch.inputs)
        with frozen(self.critics), autocast(self.device, self.dtype):
            made = self.network(batch.inputs, batch.clock).co2
            made_inputs = self.inverse(other.target, other.inputs, other.clock)
            made_window = self._content(made_inputs)
            again = self.inverse(made, batch.inputs, batch.clock)
            field_again = self.network(made_inputs, other.clock).co2
            fooled = towards(self.of_fields(made[:, None]), 1.0)
            fooled = fooled + towards(self.of_windows(made_window), 1.0)
        cycle = self._window_error(again, batch.inputs) + self._error(field_again, other.target)
        loss = fooled + CYCLE_WEIGHT * cycle
        gradient = descend(self.optimizers[0], loss, self.config, self.processes)

        rng = np.random.default_rng([self.config.seed, number])
        before = number * len(made)
        old_field = self.fields.swap(made[:, None], before, rng)
        old_window = self.windows.swap(made_window, before, rng)
        with autocast(self.device, self.dtype):
            critic = 0.5 * (
                towards(self.of_fields(field), 1.0)
                + towards(self.of_fields(old_field), 0.0)
                + towards(self.of_windows(window), 1.0)
                + towards(self.of_windows(old_window), 0.0)
            )
        descend(self.optimizers[1], critic, self.config, self.processes)
        found = {
            "loss": loss,
            "co2": torch.mean(self.weights * (made.float() - batch.target) ** 2),
            "adversarial": fooled,
            "cycle": cycle,
            "critic": critic,
            "gradient": gradient,
        }
        return {name: value.detach() for name, value in found.items()}

    def _content(self, inputs: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, moving channels * T, H, W)."""
        return inputs[:, self.inverse.content].flatten(1, 2)

    def _error(self, made: Tensor, real: Tensor) -> Tensor:
        """Mean difference over the sphere."""
        return torch.mean(self.weights * (made.float() - real.float()).abs())

    def _window_error(self, made: Tensor, real: Tensor) -> Tensor:
        """Mean difference over the content's channels, each over the cells where it is.

        Stations are in one cell of two hundred: over all cells their channel would not count.
        Their mask is `co2net.windows.Statistics.station_gain` where one reports, and both sides
        are zero elsewhere, so that the sum over the mask's sum is a mean without the gain.
        """
        inverse = self.inverse
        content = [n for n in inverse.content if n != inverse.content[inverse.station]]
        station = inverse.content[inverse.station]
        apart = (made[:, station].float() - real[:, station].float()).abs()
        heard = apart.sum() / real[:, inverse.mask].float().sum().clamp(min=1.0)
        seen = self._error(made[:, content], real[:, content])
        return (seen * len(content) + heard) / len(inverse.content)


class Paired:
    """The same generator with the truth of every window: L1 and a critic that sees both.

    For parameters see `co2net.training.objective.Supervised`.
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
        self.network = network
        self.critic = Critic(len(layout.channels) * layout.frames + 1, SIZES[config.preset])
        self.trained = nn.ModuleDict({"network": network, "critic": self.critic}).to(device)
        self.optimizers = (adamw((network,), config), adamw((self.critic,), config))
        self.config, self.device, self.dtype = config, device, dtype
        self.processes = processes
        self.weights = row_weights(layout.grid).to(device)

    def step(self, batch: TensorBatch, number: int) -> dict[str, Tensor]:
        """See `Objective.step`; adds ``adversarial``, ``l1`` and ``critic``."""
        window = batch.inputs.flatten(1, 2)
        with frozen((self.critic,)), autocast(self.device, self.dtype):
            made = self.network(batch.inputs, batch.clock).co2
            fooled = towards(self.critic(_pair(window, made)), 1.0)
        apart = made.float() - batch.target
        l1 = torch.mean(self.weights * apart.abs())
        loss = fooled + PAIRED_WEIGHT * l1
        gradient = descend(self.optimizers[0], loss, self.config, self.processes)
        with autocast(self.device, self.dtype):
            critic = 0.5 * (
                towards(self.critic(_pair(window, batch.target)), 1.0)
                + towards(self.critic(_pair(window, made.detach())), 0.0)
            )
        descend(self.optimizers[1], critic, self.config, self.processes)
        found = {
            "loss": loss,
            "co2": torch.mean(self.weights * apart**2),
            "adversarial": fooled,
            "l1": l1,
            "critic": critic,
            "gradient": gradient,
        }
        return {name: value.detach() for name, value in found.items()}


def _pair(window: Tensor, field: Tensor) -> Tensor:
    """Window (B, K, H, W) and field (B, H, W) as one image."""
    return torch.cat([window, field[:, None].to(window.dtype)], dim=1)


def towards(score: Tensor, value: float) -> Tensor:
    """Mean square distance of scores from what they should be, in single precision."""
    return (score.float() - value).square().mean()


@contextmanager
def frozen(modules: tuple[nn.Module, ...]) -> Iterator[None]:
    """Modules that let gradients through and gather none."""
    for module in modules:
        module.requires_grad_(False)
    try:
        yield
    finally:
        for module in modules:
            module.requires_grad_(True)
