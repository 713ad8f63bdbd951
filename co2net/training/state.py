"""The state of a training in one file, so that it goes on as if it had never stopped."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from co2net.assets import atomic_path
from co2net.errors import UserError

STATE_FILE = "state.safetensors"


@dataclass
class Progressed:
    """Where a training stands.

    Parameters
    ----------
    step : int
        Steps done.
    seconds : float
        Time spent in them, over all sittings.
    best : float
        Least validation RMSE so far (umol/mol); infinite before the first.
    since_best : int
        Validations since then.
    finished : bool
        Whether the budget is spent or patience ran out.
    """

    step: int = 0
    seconds: float = 0.0
    best: float = float("inf")
    since_best: int = 0
    finished: bool = False


def save_state(
    folder: Path,
    progressed: Progressed,
    trained: nn.Module,
    average: dict[str, Tensor],
    optimizers: tuple[torch.optim.Optimizer, ...],
) -> None:
    """Write all that learns, averaged weights, moments and the random state, atomically.

    Parameters
    ----------
    trained
        Its parameters and persistent buffers are written.
    average
        Averaged weights of the network that is kept.
    optimizers
        Each parameter is in one of them.
    """
    tensors = {f"model.{name}": value for name, value in trained.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.items()}
    names: dict[Tensor, str] = {p: name for name, p in trained.named_parameters()}
    for optimizer in optimizers:
        for parameter, moments in optimizer.state.items():
            for key, value in moments.items():
                tensors[f"optimizer.{key}.{names[parameter]}"] = torch.as_tensor(value)
    tensors["random"] = torch.get_rng_state()
    tensors = {key: value.contiguous().cpu().clone() for key, value in tensors.items()}
    with atomic_path(folder / STATE_FILE) as draft:
        save_file(tensors, draft, metadata={"progress": json.dumps(asdict(progressed))})


def load_state(
    folder: Path,
    trained: nn.Module,
    average: dict[str, Tensor],
    optimizers: tuple[torch.optim.Optimizer, ...],
) -> Progressed:
    """Inverse of `save_state`: fills what it is given.

    Raises
    ------
    UserError
        When there is no state, or it belongs to another network.
    """
    path = folder / STATE_FILE
    if not path.is_file():
        raise UserError(f"{folder} holds no {STATE_FILE}; nothing to resume")
    try:
        with safe_open(path, framework="pt") as file:
            progressed = Progressed(**json.loads(file.metadata()["progress"]))
            with torch.no_grad():
                for name, value in trained.state_dict().items():
                    value.copy_(file.get_tensor(f"model.{name}"))
                for name, value in average.items():
                    value.copy_(file.get_tensor(f"average.{name}"))
            moments: dict[str, dict[str, Tensor]] = {}
            for key in file.keys():  # noqa: SIM118 -- not a dict
                if key.startswith("optimizer."):
                    _, kind, name = key.split(".", 2)
                    moments.setdefault(name, {})[kind] = file.get_tensor(key)
            torch.set_rng_state(file.get_tensor("random"))
    except (SafetensorError, RuntimeError, KeyError, TypeError) as error:
        raise UserError(f"{path} does not fit this network: {error}") from None
    owner = {p: one for one in optimizers for group in one.param_groups for p in group["params"]}
    for name, parameter in trained.named_parameters():
        if name in moments:
            # the fused step walks storage: moments need the strides of their parameter
            owner[parameter].state[parameter] = {
                kind: value.to(parameter.device)
                if kind == "step"
                else torch.empty_like(parameter.detach()).copy_(value)
                for kind, value in moments[name].items()
            }
    return progressed
