"""fastcnn against PyTorch, side by side: whole training steps of the named models.

    python -m bench.side_by_side --models mnist-baseline lenet5 --rounds 7 --threads 2 --out DIR

Each library trains in a process of its own, on the same synthetic batch in memory, and the two
take turns (one waits, blocked on a pipe, while the other runs), because the speed of a shared
machine changes from minute to minute and only runs that alternate can be compared. PyTorch runs
eagerly in the better of its two memory layouts, tried before the first round. A step is the
forward pass, the loss, the backward pass and the optimizer's update.

Prints a table, and writes side_by_side.json and side_by_side.png into --out. Needs the extra
`compare`: pip install 'fastcnn[compare]'.
"""

import dataclasses
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

BATCH = {
    "mnist-baseline": 32,
    "mnist-optimized": 64,
    "lab-cnn": 32,
    "lenet5": 64,
    "cifar-cnn": 128,
    "cifar-mlp": 128,
}
OVERRIDES: dict[str, dict[str, Any]] = {"cifar-cnn": {"filters": (32, 64)}}


@dataclasses.dataclass
class Options:
    """Compare the training speed of fastcnn and PyTorch."""

    models: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME [NAME ...]")] = tuple(BATCH)
    """Models to compare."""
    rounds: int = 7
    """Turns that each library takes."""
    seconds: float = 1.0
    """Length of a turn."""
    threads: int = 2
    """Threads of each library."""
    batch: int | None = None
    """Images in a batch; None: the batch size of the model's author."""
    out: str | None = None
    """Folder for side_by_side.json and side_by_side.png."""


def build(name: str) -> Any:
    """The fastcnn model that both sides train."""
    from fastcnn import models

    return models.build(name, **OVERRIDES.get(name, {}))


def batch_for(name: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """A synthetic batch: float32 (N, C, H, W) and int64 labels."""
    rng = np.random.default_rng(0)
    shape = (3, 32, 32) if name.startswith(("cifar", "resnet")) else (1, 28, 28)
    return rng.random((count, *shape), np.float32), rng.integers(0, 10, count)


# --- one side, in its own process ---------------------------------------------------------------


def fastcnn_step(name: str, count: int, threads: int) -> Callable[[], float]:
    """A training step of fastcnn; returns the loss."""
    from fastcnn import models, optim
    from fastcnn.losses import CrossEntropyLoss
    from kernels import jit

    jit.set_threads(threads)
    preset = models.preset(name)
    model = build(name)
    optimizer = optim.from_name(
        preset.get("optimizer", "sgd"),
        lr=1e-4,
        **({"momentum": preset["momentum"]} if preset.get("momentum") else {}),
        weight_decay=preset.get("weight_decay", 0.0),
    )
    loss = CrossEntropyLoss()
    x, y = batch_for(name, count)

    def step() -> float:
        value = loss.forward(model.forward_training(x), y)
        model.backward_training(loss.backward())
        optimizer.step(model)
        return value

    return step


def torch_layer(spec: dict[str, Any]) -> Any:
    """PyTorch's twin of a fastcnn layer."""
    from torch import nn

    kind, get = spec["type"], spec.get
    if kind == "Conv2D":
        return nn.Conv2d(
            get("in_channels"), get("out_channels"), get("kernel_size"), get("stride"),
            get("padding"), bias=get("bias"),
        )  # fmt: skip
    if kind == "Dense":
        return nn.Linear(get("in_features"), get("out_features"), bias=get("bias"))
    if kind in ("MaxPool2D", "AveragePool2D"):
        twin = nn.MaxPool2d if kind == "MaxPool2D" else nn.AvgPool2d
        return twin(get("pool_size"), get("stride"), get("padding"))
    simple = {
        "ReLU": nn.ReLU,
        "Sigmoid": nn.Sigmoid,
        "Tanh": nn.Tanh,
        "Flatten": nn.Flatten,
    }
    if kind == "Dropout":
        return nn.Dropout(get("rate"))
    return simple[kind]()


def torch_model(model: Any, x: np.ndarray) -> Any:
    """PyTorch's twin of a fastcnn model."""
    from torch import nn

    layers, shape = [], x.shape
    for layer in model.layers:
        if type(layer).__name__ == "BatchNorm":
            kind = nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d
            layers.append(kind(shape[1]))
        else:
            layers.append(torch_layer(layer.spec()))
        shape = layer.output_shape(shape)
    return nn.Sequential(*layers)


def torch_step(name: str, count: int, threads: int) -> Callable[[], float]:
    """A training step of PyTorch in the better of its two memory layouts."""
    import torch

    from fastcnn import models

    torch.set_num_threads(threads)
    preset = models.preset(name)
    x, y = batch_for(name, count)
    labels = torch.from_numpy(y)

    def prepare(layout: Any) -> Callable[[], float]:
        model = torch_model(build(name), x).to(memory_format=layout)
        images = torch.from_numpy(x).contiguous(memory_format=layout)
        decay = preset.get("weight_decay", 0.0)
        if preset.get("optimizer", "sgd") == "adam":
            optimizer: Any = torch.optim.Adam(model.parameters(), lr=1e-4, weight_decay=decay)
        else:
            momentum = preset.get("momentum", 0.0)
            optimizer = torch.optim.SGD(
                model.parameters(), lr=1e-4, momentum=momentum, weight_decay=decay
            )
        loss = torch.nn.CrossEntropyLoss()

        def step() -> float:
            optimizer.zero_grad()
            value = loss(model(images), labels)
            value.backward()
            optimizer.step()
            return value.item()

        return step

    steps = [prepare(torch.contiguous_format), prepare(torch.channels_last)]
    for step in steps:
        rate(step, count, 0.3)
    return max(steps, key=lambda step: rate(step, count, 0.7))


def rate(step: Callable[[], float], count: int, seconds: float) -> float:
    """Images per second over about ``seconds``."""
    steps, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds or steps == 0:
        value = step()
        steps += 1
    if not np.isfinite(value):
        raise FloatingPointError(f"the loss became {value}")
    return steps * count / passed


def work(side: str, name: str, count: int, threads: int, seconds: float) -> None:
    """Answer each line on standard input with a measured rate."""
    step = (torch_step if side == "torch" else fastcnn_step)(name, count, threads)
    rate(step, count, 0.5)
    print("ready", flush=True)
    for _ in sys.stdin:
        print(rate(step, count, seconds), flush=True)


# --- both sides, alternating --------------------------------------------------------------------


def compare(name: str, options: Options) -> dict[str, Any]:
    """Alternate the two sides and return both rates and their ratio."""
    count = options.batch or BATCH.get(name, 64)
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    sides = {}
    for side in ("fastcnn", "torch"):
        arguments = [side, name, str(count), str(options.threads), str(options.seconds)]
        sides[side] = subprocess.Popen(
            [sys.executable, "-m", "bench.side_by_side", "--worker", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        if sides[side].stdout.readline().strip() != "ready":
            raise SystemExit(f"{side} could not train {name}; see above")
    rates: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(options.rounds):
        for side, process in sides.items():
            process.stdin.write("go\n")
            process.stdin.flush()
            rates[side].append(float(process.stdout.readline()))
    for process in sides.values():
        process.stdin.close()
        process.wait()
    ratios = [ours / theirs for ours, theirs in zip(*rates.values(), strict=True)]
    return {
        "model": name,
        "batch": count,
        "fastcnn": statistics.median(rates["fastcnn"]),
        "torch": statistics.median(rates["torch"]),
        "ratio": statistics.median(ratios),
        "lowest": min(ratios),
        "highest": max(ratios),
        "rates": rates,
    }


def draw(rows: list[dict[str, Any]], threads: int) -> Any:
    """Bars of the median ratio with the spread over the rounds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 0.8 + 0.5 * len(rows)), layout="constrained")
    axes = figure.subplots()
    names = [f"{row['model']}, batch {row['batch']}" for row in rows]
    ratios = [row["ratio"] for row in rows]
    spread = [
        [row["ratio"] - row["lowest"] for row in rows],
        [row["highest"] - row["ratio"] for row in rows],
    ]
    axes.barh(names, ratios, xerr=spread, color="0.6", capsize=3)
    axes.axvline(1, color="black", linestyle="--", linewidth=1)
    axes.invert_yaxis()
    axes.set_xlabel(
        f"training speed of fastcnn / PyTorch on {threads} thread(s)\n"
        "(median and range of alternating rounds; dashed: as fast as PyTorch)"
    )
    return figure


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        side, name, count, threads, seconds = sys.argv[2:]
        work(side, name, int(count), int(threads), float(seconds))
        return
    options = tyro.cli(Options, description=__doc__)
    if importlib.util.find_spec("torch") is None:
        raise SystemExit("PyTorch is not installed: pip install 'fastcnn[compare]'")
    rows = []
    print("| model | batch | fastcnn images/s | PyTorch images/s | ratio (range) |")
    print("|---|---|---|---|---|")
    for name in options.models:
        row = compare(name, options)
        rows.append(row)
        print(
            f"| {name} | {row['batch']} | {row['fastcnn']:,.0f} | {row['torch']:,.0f} "
            f"| {row['ratio']:.2f} ({row['lowest']:.2f} to {row['highest']:.2f}) |",
            flush=True,
        )
    mean = statistics.geometric_mean(row["ratio"] for row in rows)
    print(f"\ngeometric mean of the ratios: {mean:.2f}")
    if options.out:
        folder = Path(options.out)
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"threads": options.threads, "rows": rows}, indent=1)
        (folder / "side_by_side.json").write_text(text)
        draw(rows, options.threads).savefig(folder / "side_by_side.png", dpi=120)
        print(f"written: {folder}/side_by_side.json, {folder}/side_by_side.png")


if __name__ == "__main__":
    main()
