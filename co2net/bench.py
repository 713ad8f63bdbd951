"""Speed against plain reference implementations, both measured in the same run.

Machines differ and are shared: the figure to quote is ``speedup``, theirs over ours, from
alternating runs of the two. Medians over the rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from co2net.assets import peak_memory
from co2net.background import Background, default_background_path
from co2net.errors import UserError
from co2net.models.base import Layout, Reconstruction
from co2net.models.checkpoint import NetworkReconstructor, fast_bf16
from co2net.models.layers import parameter_count
from co2net.models.processor import keep_memory, matrix_rate
from co2net.models.registry import create, info
from co2net.resident import ResidentFrames, TensorBatch
from co2net.source import FieldSource, Index
from co2net.training import TrainConfig
from co2net.training.losses import row_weights, semi_supervised
from co2net.training.objective import Supervised
from co2net.windows import (
    Statistics,
    WindowReader,
    complete_windows,
    require_same_stations,
)

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
    source: FieldSource,
    model: NetworkReconstructor,
    preset: str | None = None,
    windows: int = 8,
    rounds: int = 3,
) -> Result:
    """Bulk inference against a plain loop of the same network.

    The reference reads and runs one window at a time, eagerly, in single precision, as the
    network is written. Timed are both whole, from the data set to fields, and the networks alone.
    Operations are counted as the reference does them; those that are left when layers are merged
    (`co2net.models.lean`) are the ``executed`` ones.

    Parameters
    ----------
    model
        Gives the network, its normalisation and its target.
    preset
        Another size of the network, untrained: what it computes has no meaning, its time has.
    """
    keep_memory()
    usable = complete_windows(source.available, model.frames, model.interval)
    if usable.size < windows:
        raise UserError(f"bench infer: the data set holds fewer than {windows} windows")
    if preset not in (None, model.info.preset):
        network = create(model.info.name, str(preset), model.layout).eval().requires_grad_(False)
        known = replace(model.info, preset=str(preset), parameters=parameter_count(network))
        model = replace(model, info=known, network=network)
    index, network = usable[:windows], model.network
    device = next(network.parameters()).device
    kind = torch.bfloat16 if fast_bf16(device) else torch.float32

    def plain(inputs: NDArray[np.float16], clock: NDArray[np.float32]) -> None:
        with torch.inference_mode():
            x = torch.from_numpy(inputs).to(device, torch.float32)
            network(x, torch.from_numpy(clock).to(device)).co2.cpu().numpy()

    def theirs() -> None:
        reader = model.reader(source)
        for one in index:
            batch = reader.read(np.array([one]), truth=False)
            plain(batch.inputs, batch.clock)

    fast, slow = alternate(lambda: model.reconstruct(source, index), theirs, rounds)
    batch = model.reader(source).read(index[:8], truth=False)
    count = len(batch.inputs)

    def one_by_one() -> None:
        for n in range(count):
            plain(batch.inputs[n : n + 1], batch.clock[n : n + 1])

    forward, single = alternate(
        lambda: model.forward(batch.inputs, batch.clock),
        one_by_one,
        rounds,
    )
    flops = _flops(lambda: plain(batch.inputs[:1], batch.clock[:1]))
    merged = _flops(lambda: model.forward(batch.inputs, batch.clock)) / count
    rate = matrix_rate(device, kind)
    return {
        "benchmark": "infer",
        "model": model.info.name,
        "preset": model.info.preset,
        "parameters": model.info.parameters,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "ours_windows_per_s": windows / fast,
        "theirs_windows_per_s": windows / slow,
        "reference": "one window at a time, eager, float32",
        "network_windows_per_s": count / forward,
        "network_speedup": single / forward,
        **_rates(flops * count / forward, rate, kind, flops),
        "executed_gflop_per_window": merged / 1e9,
        "executed_share_of_matrix_rate": merged * count / forward / rate,
        "speedup": slow / fast,
    }


def bench_train(
    source: FieldSource,
    model: str,
    preset: str,
    steps: int = 3,
    batch: int = 8,
    rounds: int = 2,
) -> Result:
    """Training steps against a plain loop of the same network.

    The reference is a `torch.utils.data.DataLoader` without workers over a data set that reads
    its window, single precision, and AdamW as it comes. Ours reads resident frames, prepared
    before the clock starts, as each is once in a training. Timed are both whole, and the steps
    alone on a batch that is there.

    Raises
    ------
    UserError
        When the data set holds too few windows, or the network is not trained by the
        semi-supervised loss.
    """
    keep_memory()
    family = info(model)
    if family.objective != "supervised":
        raise UserError(f"bench train: {model} is trained otherwise; choose a plain network")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind = torch.bfloat16 if fast_bf16(device) else torch.float32
    usable = complete_windows(source.available, frames=8)
    if usable.size < batch * steps:
        raise UserError(f"bench train: the data set holds fewer than {batch * steps} windows")
    index = usable[: batch * steps]
    reader = _reader(source, family.target, index)
    layout = Layout(source.grid, reader.channels, reader.frames)
    config = TrainConfig(model=model, preset=preset, steps=steps, batch=batch).resolved()
    resident = ResidentFrames(reader, np.unique(index[:, None] + reader.offsets), device=device)
    resident.read(index)
    parts = np.random.default_rng(0).permutation(index).reshape(steps, batch)

    torch.manual_seed(0)
    ours_net, theirs_net = (create(model, preset, layout).to(device) for _ in range(2))
    ours_step = Supervised(ours_net, config, layout, device, kind)
    plain = torch.optim.AdamW(theirs_net.parameters(), lr=1e-4)
    weights = row_weights(source.grid).to(device)
    winds = [layout.channels.index(name) for name in ("eastward_wind", "northward_wind")]

    def plain_step(one: TensorBatch) -> None:
        loss = _loss(theirs_net(one.inputs, one.clock), one, weights, winds, config.wind_loss)
        plain.zero_grad(set_to_none=True)
        loss.backward()
        plain.step()

    def ours() -> None:
        for number, part in enumerate(parts):
            ours_step.step(resident.read(part, kind), number)

    class Windows(torch.utils.data.Dataset[tuple[Tensor, Tensor, Tensor]]):
        def __len__(self) -> int:
            return parts.size

        def __getitem__(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
            one = reader.read(parts.reshape(-1)[[n]])
            assert one.target is not None
            return (
                torch.from_numpy(one.inputs[0]).float(),
                torch.from_numpy(one.clock[0]),
                torch.from_numpy(one.target[0]).float(),
            )

    def theirs() -> None:
        for inputs, clock, target in torch.utils.data.DataLoader(Windows(), batch_size=batch):
            plain_step(TensorBatch(inputs.to(device), clock.to(device), target.to(device)))

    fast, slow = alternate(ours, theirs, rounds)
    half, full = resident.read(parts[0], kind), resident.read(parts[0])
    step, single = alternate(lambda: ours_step.step(half, 0), lambda: plain_step(full), rounds)
    flops = _flops(lambda: plain_step(full)) / batch
    rate = matrix_rate(device, kind)
    return {
        "benchmark": "train",
        "model": model,
        "preset": preset,
        "parameters": parameter_count(ours_net),
        "target": reader.target,
        "batch": batch,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "ours_windows_per_s": steps * batch / fast,
        "theirs_windows_per_s": steps * batch / slow,
        "reference": "DataLoader without workers, eager, float32",
        "step_windows_per_s": batch / step,
        "step_speedup": single / step,
        **_rates(flops * batch / step, rate, kind, flops),
        "speedup": slow / fast,
    }


def _reader(source: FieldSource, target: str, index: Index) -> WindowReader:
    """Windows of a target, or of `absolute` where the shipped background is for other data."""
    background = None
    if target != "absolute":
        try:
            background = Background.load(default_background_path())
            require_same_stations(background.grid, background.stations, source)
        except UserError:
            background, target = None, "absolute"
    statistics = Statistics.fit(source, index, background, days=4)
    return WindowReader(source, statistics, target, background)


def _loss(
    output: Reconstruction, batch: TensorBatch, weights: Tensor, winds: list[int], factor: float
) -> Tensor:
    wind = batch.inputs[:, winds] if output.wind is not None else None
    return semi_supervised(output, batch.target, wind, weights, factor)[0]


def _flops(work: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products and convolutions of some work.

    PyTorch's counter knows fused attention on CUDA devices alone, and no product that is added
    in place; here it is told of the processors' attention, which is the same two products, and
    of that.
    """
    known = {
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
        torch.ops.aten.addmm_: _product_flops,
    }
    with FlopCounterMode(display=False, custom_mapping=known) as counter:
        work()
    return counter.get_total_flops()


def _attention_flops(
    query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object
) -> int:
    count: int = sdpa_flop_count(query, key, value)
    return count


def _product_flops(_: torch.Size, a: torch.Size, b: torch.Size, **__: object) -> int:
    return 2 * a[0] * a[1] * b[1]


def _rates(achieved: float, rate: float, kind: torch.dtype, flops: float) -> Result:
    """What the network's products reach, beside what one large product reaches; memory."""
    if torch.cuda.is_available():
        memory = torch.cuda.max_memory_allocated() / 2**20
    else:
        memory = peak_memory() / 2**20
    return {
        "gflop_per_window": flops / 1e9,
        "achieved_gflop_per_s": achieved / 1e9,
        "matrix_gflop_per_s": rate / 1e9,
        "matrix_dtype": str(kind).removeprefix("torch."),
        "share_of_matrix_rate": achieved / rate,
        "peak_memory_mb": memory,
    }
