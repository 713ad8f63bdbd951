"""What the tests of networks share."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)


def awake(network: AnyNetwork) -> AnyNetwork:
    """Give the layers that begin with zero some weight, so that all the rest shows."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim >= 2 and not parameter.any():
                nn.init.normal_(parameter, std=0.1)
    return network
