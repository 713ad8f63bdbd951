"""Speed against plain reference implementations, both measured in the same run.

Machines differ and are shared: the figure to quote is ``speedup``, theirs over ours, from
alternating runs of the two. Medians over the rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from co2net.errors import UserError
from co2net.models.base import Network
from co2net.models.checkpoint import NetworkReconstructor, autocast, fast_bf16, load
from co2net.models.registry import create
from co2net.source import FieldSource
from co2net.training import TrainConfig, train
from co2net.windows import WINDS, Split, complete_windows

Array = NDArray[np.float64]
Result = dict[str, Any]


def alternate(
    ours: Callable[[], object], theirs: Callable[[], object], rounds: int
) -> tuple[float, float]:
    """Median seconds of two functions, run in turn after one warm-up each."""
    ours()
    theirs()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for function, taken in zip((ours, theirs), times, strict=True):
            start = perf_counter()
            function()
            taken.append(perf_counter() - start)
    return float(np.median(times[0])), float(np.median(times[1]))


# -- nature run -----------------------------------------------------------------------------------


def bench_world(rounds: int = 5) -> Result:
    """Transport steps of the nature run against the same scheme in whole-array NumPy.

    The reference sweeps van Leer fluxes both ways and solves one tridiagonal system a column.
    It cannot carry air across more than one cell of longitude, as ours can; the further steps
    that it would need near the poles are not counted against it.
    """
    from co2net.grid import LatLonGrid
    from co2net.naturerun.transport import LAYERS_PA, Geometry, advance

    steps = 8
    grid = LatLonGrid.ct()
    geometry = Geometry.of(grid)
    layers, (height, width) = len(LAYERS_PA), grid.shape
    rng = np.random.default_rng(0)
    lat = np.radians(grid.lat_edges)[:, None]
    psi = (5e7 * np.cos(lat) ** 2 * np.sin(4 * np.radians(grid.lon_edges[None, :-1])))[None]
    shape = np.ones((layers, 1))
    zonal = 10 * np.ones((layers, 1)) * np.cos(np.radians(grid.lat))[None]
    meridional = np.zeros((layers, height + 1))
    mixing = 1e-2 * np.ones((layers - 1, height, width))
    source = rng.normal(size=grid.shape)
    diffusion = np.full(layers, 1e5)
    start = 400 + rng.normal(size=(layers, height, width))
    air = np.repeat(geometry.air[:, :, None], width, axis=2)
    middle = np.empty(grid.shape)
    g = geometry

    def ours() -> None:
        advance(
            start.copy(), air.copy(), psi, shape, zonal, meridional, mixing, diffusion, source,
            g.air, g.thickness, g.area, g.cos_edge, g.dphi, g.dlam, 2700.0, steps, middle,
        )  # fmt: skip

    east = np.full_like(air, 0.1) * air.min()
    north = np.zeros((layers, height + 1, width))
    north[:, 1:-1] = 0.1 * air.min()

    def theirs() -> None:
        q, mass = start.copy(), air.copy()
        for _ in range(steps):
            q, mass = _numpy_sweep(q, mass, east, axis=2)
            q, mass = _numpy_sweep(q, mass, north, axis=1)
            q = _numpy_columns(q, air, 1e6)
            mass = air.copy()

    fast, slow = alternate(ours, theirs, rounds)
    return {
        "benchmark": "world",
        "ours_ms_per_step": 1000 * fast / steps,
        "theirs_ms_per_step": 1000 * slow / steps,
        "reference": "van Leer sweeps and column solves in whole-array NumPy, one thread",
        "speedup": slow / fast,
    }


def _numpy_sweep(q: Array, mass: Array, flux: Array, axis: int) -> tuple[Array, Array]:
    """Van Leer fluxes through the lower faces along one axis; closed ends along latitude."""
    cyclic = axis == 2
    left, right = np.roll(q, 1, axis), np.roll(q, -1, axis)
    a, b = q - left, right - q
    slope = np.where(
        a * b > 0, np.sign(a) * np.minimum(np.abs(a + b) / 2, 2 * np.minimum(abs(a), abs(b))), 0.0
    )
    if not cyclic:
        slope[:, [0, -1]] = 0.0
        q_, m_, s_ = (np.concatenate([x[:, :1], x, x[:, -1:]], axis=1) for x in (q, mass, slope))
        up, down = (slice(None), slice(None, -1)), (slice(None), slice(1, None))
        value = np.where(
            flux >= 0,
            q_[up] + 0.5 * s_[up] * (1 - flux / m_[up]),
            q_[down] - 0.5 * s_[down] * (1 + flux / m_[down]),
        )
        carried = flux * value
        after = mass + flux[:, :-1] - flux[:, 1:]
        return (mass * q + carried[:, :-1] - carried[:, 1:]) / after, after
    up_q, up_m, up_s = (np.roll(x, 1, axis) for x in (q, mass, slope))
    value = np.where(
        flux >= 0,
        up_q + 0.5 * up_s * (1 - flux / up_m),
        q - 0.5 * slope * (1 + flux / mass),
    )
    carried = flux * value
    after = mass + flux - np.roll(flux, -1, axis)
    return (mass * q + carried - np.roll(carried, -1, axis)) / after, after


def _numpy_columns(q: Array, air: Array, mixed: float) -> Array:
    """Implicit exchange between layers: the Thomas algorithm over all columns at once."""
    layers = q.shape[0]
    upper, value = np.empty_like(q), np.empty_like(q)
    for k in range(layers):
        below = mixed if k else 0.0
        above = mixed if k < layers - 1 else 0.0
        diagonal = air[k] + below + above
        right = air[k] * q[k]
        if k:
            diagonal = diagonal - below * upper[k - 1]
            right = right + below * value[k - 1]
        upper[k] = above / diagonal
        value[k] = right / diagonal
    for k in range(layers - 2, -1, -1):
        value[k] += upper[k] * value[k + 1]
    return value


# -- networks --------------------------------------------------------------------------------


def bench_infer(
    source: FieldSource, model: NetworkReconstructor, windows: int = 16, rounds: int = 3
) -> Result:
    """Windows per second of bulk inference against a plain loop of the same network.

    The reference reads and runs one window at a time, eagerly, in single precision.
    """
    usable = complete_windows(source.available, model.frames, model.interval)
    if usable.size < windows:
        raise UserError(f"bench infer: the data set holds fewer than {windows} windows")
    index = usable[:windows]

    def theirs() -> None:
        reader = model.reader(source)
        for one in index:
            batch = reader.read(np.array([one]), truth=False)
            with torch.inference_mode():
                model.network(
                    torch.from_numpy(batch.inputs).float(), torch.from_numpy(batch.clock)
                ).co2.numpy()

    fast, slow = alternate(lambda: model.reconstruct(source, index), theirs, rounds)
    return {
        "benchmark": "infer",
        "model": model.info.name,
        "preset": model.info.preset,
        "parameters": model.info.parameters,
        "device": "cpu",
        "ours_windows_per_s": windows / fast,
        "theirs_windows_per_s": windows / slow,
        "reference": "one window at a time, eager, float32",
        "speedup": slow / fast,
    }


def bench_train(
    source: FieldSource, model: str, preset: str, years: Split, steps: int = 12, batch: int = 8
) -> Result:
    """Windows per second of a training step against a plain loop of the same network.

    The reference is a `torch.utils.data.DataLoader` without workers, single precision, and
    AdamW as it comes. Both read the same windows in the same order.
    """
    import tempfile

    from co2net.training.losses import row_weights, semi_supervised
    from co2net.training.stream import Prefetcher, batch_positions

    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        config = TrainConfig(model=model, preset=preset, steps=1, batch=batch, validation_windows=1)
        train(config, source, run, years=years)  # fits the statistics, and warms up
        known = load(run)
    index = years.windows(source, "train", config.frames)
    winds = [known.layout.channels.index(name) for name in WINDS]
    weights = row_weights(source.grid)

    def network() -> tuple[Network, torch.optim.AdamW]:
        torch.manual_seed(0)
        made = create(model, preset, known.layout)
        return made, torch.optim.AdamW(made.parameters(), lr=1e-4)

    def step(
        net: Network, optimizer: torch.optim.AdamW, inputs: Tensor, clock: Tensor, target: Tensor
    ) -> None:
        out = net(inputs, clock)
        wind = inputs[:, winds] if out.wind is not None else None
        loss = semi_supervised(out, target, wind, weights, config.wind_loss)[0]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def ours() -> None:
        net, _ = network()
        net = net.to(torch.device("cpu"), memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
        kind = torch.bfloat16 if fast_bf16(torch.device("cpu")) else torch.float32
        stream = Prefetcher(known.reader(source), index, 0, batch=batch, seed=0, dtype=kind)
        try:
            for _, one in zip(range(steps), stream, strict=False):
                with autocast(torch.device("cpu"), kind):
                    step(net, optimizer, one.inputs, one.clock, one.target)
        finally:
            stream.close()

    def theirs() -> None:
        net, optimizer = network()
        reader = known.reader(source)

        class Windows(torch.utils.data.Dataset[tuple[Tensor, Tensor, Tensor]]):
            def __len__(self) -> int:
                return steps * batch

            def __getitem__(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
                place = batch_positions(0, n // batch, batch, index.size)[n % batch]
                one = reader.read(index[[place]])
                assert one.target is not None
                return (
                    torch.from_numpy(one.inputs[0]).float(),
                    torch.from_numpy(one.clock[0]),
                    torch.from_numpy(one.target[0]).float(),
                )

        for inputs, clock, target in torch.utils.data.DataLoader(Windows(), batch_size=batch):
            step(net, optimizer, inputs, clock, target)

    fast, slow = alternate(ours, theirs, rounds=2)
    return {
        "benchmark": "train",
        "model": model,
        "preset": preset,
        "batch": batch,
        "device": "cpu",
        "ours_windows_per_s": steps * batch / fast,
        "theirs_windows_per_s": steps * batch / slow,
        "reference": "DataLoader without workers, eager, float32",
        "speedup": slow / fast,
    }
