"""The two sides of a comparison: fastcnn and PyTorch, each training in a process of its own.

A `Worker` is such a process. It waits, blocked on a pipe, until it is asked to train for some
seconds or steps, so workers take turns: the speed of a shared machine changes from minute to
minute, and only turns that alternate can be compared.

Both sides start from the same weights and train on the same synthetic batch in memory, which lies
in the layout in which each likes it best. A step is the forward pass, the loss, the backward pass
and the optimizer's update. PyTorch runs eagerly with its defaults.

    python -m bench.sides SIDE MODEL BATCH THREADS     the worker itself
"""

import contextlib
import copy
import functools
import importlib.util
import os
import pickle
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

OVERRIDES: dict[str, dict[str, Any]] = {"cifar-cnn": {"filters": (32, 64)}}

# After these, which may compile, and try what later ones rely on (`fastcnn.network.replay`), all
# steps are alike.
_FIRST_STEPS = 6
# Seconds before a turn: threads of who had the last one wait at the ready for a while, on the cores
# of who has the next one (ONNX Runtime's cost a turn of 0.3 s behind it a sixth of its speed).
_SETTLING = 0.25

# step(images) trains on the first images of the batch, all unless told otherwise: the loss
Step = Callable[..., float]


def build(name: str) -> Any:
    """The fastcnn model that both sides train."""
    from fastcnn import models

    return models.build(name, **OVERRIDES.get(name, {}))


def batch_size(name: str, wanted: int | None = None) -> int:
    """The wanted number of images, or that of the model's author."""
    from fastcnn import models

    return wanted or models.preset(name)["batch_size"]


def batch_for(shape: Sequence[int], count: int) -> tuple[np.ndarray, np.ndarray]:
    """A synthetic batch: float32 (N, C, H, W) and int64 labels."""
    rng = np.random.default_rng(0)
    return rng.random((count, *shape), np.float32), rng.integers(0, 10, count)


# --- one side, in its own process ---------------------------------------------------------------


def fastcnn_step(name: str, count: int, threads: int, freeze: int | str = 0) -> Step:
    """A training step of fastcnn, on images as its own batches bring them: channels last.

    freeze : as `Sequential.freeze` takes it
    """
    model, loss, optimizer, x, y = _prepared(name, count, threads)
    model.freeze(freeze)

    def step(images: int = count) -> float:
        value = loss.forward(model.forward_training(x[:images]), y[:images])
        model.backward_training(loss.backward())
        optimizer.step(model)
        return value

    return step


def loop_step(name: str, count: int, threads: int, input_gradient: bool = False) -> Step:
    """The same step as someone writes it in a loop of their own."""
    model, loss, optimizer, x, y = _prepared(name, count, threads)

    def step(images: int = count) -> float:
        value = loss.forward(model.forward(x[:images], training=True), y[:images])
        model.backward(loss.backward(), input_gradient)
        optimizer.step(model)
        return value

    return step


def _prepared(name: str, count: int, threads: int) -> Any:
    """Model, loss, optimizer, images, labels."""
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
    x, y = batch_for(model.input_shape, count)
    x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    return model, CrossEntropyLoss(), optimizer, x, y


def torch_step(name: str, count: int, threads: int, layouts: Sequence[str]) -> Step:
    """A training step of PyTorch in the fastest of some memory layouts, all of which are tried."""
    import torch  # type: ignore[import-not-found]

    torch.set_num_threads(threads)
    # Made by another process: this one is to be as large and as undisturbed as any of PyTorch's.
    command = [sys.executable, "-m", "bench.torch_twin", name, str(count)]
    twin, shape, preset = pickle.loads(subprocess.check_output(command))
    x, y = batch_for(shape, count)
    labels = torch.from_numpy(y)

    def prepare(layout: Any) -> Step:
        model = copy.deepcopy(twin).to(memory_format=layout)
        data = torch.from_numpy(x).contiguous(memory_format=layout)
        decay = preset.get("weight_decay", 0.0)
        if preset.get("optimizer", "sgd") == "adam":
            optimizer: Any = torch.optim.Adam(model.parameters(), lr=1e-4, weight_decay=decay)
        else:
            momentum = preset.get("momentum", 0.0)
            optimizer = torch.optim.SGD(
                model.parameters(), lr=1e-4, momentum=momentum, weight_decay=decay
            )
        loss = torch.nn.CrossEntropyLoss()

        def step(images: int = count) -> float:
            optimizer.zero_grad()
            value = loss(model(data[:images]), labels[:images])
            value.backward()
            optimizer.step()
            return value.item()

        return step

    steps = [prepare(getattr(torch, layout)) for layout in layouts]
    return steps[0] if len(steps) == 1 else fastest(steps, count, 0.7)


def fastest(steps: Sequence[Step], count: int, seconds: float) -> Step:
    """The fastest of some steps in a turn of ``seconds`` each, after one of about half as many."""
    for step in steps:
        rate(step, count, 0.4 * seconds)
    return max(steps, key=lambda step: rate(step, count, seconds))


_LAYOUTS = ("contiguous_format", "channels_last")
SIDES: dict[str, Callable[[str, int, int], Step]] = {
    "fastcnn": fastcnn_step,
    "torch": functools.partial(torch_step, layouts=_LAYOUTS),
    "torch-nchw": functools.partial(torch_step, layouts=_LAYOUTS[:1]),
    "torch-nhwc": functools.partial(torch_step, layouts=_LAYOUTS[1:]),
}


def rate(step: Step, count: int, seconds: float) -> float:
    """Images per second over about ``seconds``."""
    steps, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds or steps == 0:
        value = step()
        steps += 1
    if not np.isfinite(value):
        raise FloatingPointError(f"the loss became {value}")
    return steps * count / passed


def in_turns(
    steps: Sequence[Step], rounds: int, measure: Callable[[Step], float]
) -> list[list[float]]:
    """What is measured of steps that take turns in this process; the first round is thrown away."""
    measured: list[list[float]] = [[] for _ in steps]
    for turn in range(-1, rounds):
        for step, numbers in zip(steps, measured, strict=True):
            number = measure(step)
            if turn >= 0:
                numbers.append(number)
    return measured


def peak_memory() -> float:
    """Largest memory of this process so far, in MiB.

    From the kernel's own count where there is one: `ru_maxrss` begins at what the parent process
    held.
    """
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def serve(step: Step, count: int) -> None:
    """Answer the questions that `Worker` puts on standard input, each with one number."""
    rng = np.random.default_rng(0)
    for _ in range(_FIRST_STEPS):
        step()
    print("ready", flush=True)
    for line in sys.stdin:
        question, *numbers = line.split()
        if question == "rate":
            step()  # wakes its threads
            answer = rate(step, count, float(numbers[0]))
        else:
            steps, least = map(int, numbers)
            for _ in range(steps):
                step(int(rng.integers(least, count + 1)))
            answer = peak_memory()
        print(answer, flush=True)


# --- asking the sides ---------------------------------------------------------------------------


class Worker:
    """A process in which one side trains one model; ends with its `with` block.

    Every method raises SystemExit if the worker has failed; its message is on standard error.
    """

    def __init__(
        self,
        side: str,
        name: str,
        count: int,
        threads: int,
        module: str = "bench.sides",
        **environment: str,
    ) -> None:
        self.count = count
        self._task = f"{side} with {name}, batch {count}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, side, name, str(count), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(threads), **environment},
        )
        self._answer()  # ready

    def rate(self, seconds: float) -> float:
        """Train for about ``seconds``: images per second."""
        return self._ask("rate", seconds)

    def peak_memory(self, steps: int, least: int | None = None) -> float:
        """Train some steps, each on a random number of images from ``least`` to all: peak MiB."""
        return self._ask("peak_memory", steps, self.count if least is None else least)

    def _ask(self, question: str, *numbers: float) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{question} {' '.join(map(str, numbers))}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline().strip()
        if not answer:
            self.close()
            raise SystemExit(f"{self._task} failed; see above")
        return answer

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def alternate(workers: Sequence[Worker], rounds: int, seconds: float) -> list[list[float]]:
    """Let the workers take turns: the rates of each worker, round by round."""
    for worker in workers:
        worker.rate(0.5)
    rates: list[list[float]] = [[] for _ in workers]
    for _ in range(rounds):
        for worker, measured in zip(workers, rates, strict=True):
            time.sleep(_SETTLING)
            measured.append(worker.rate(seconds))
    return rates


def compare(
    name: str, count: int, options: Any, sides: Sequence[str] = ("fastcnn", "torch"),
    module: str = "bench.sides",
) -> list[list[float]]:  # fmt: skip
    """The rates of some sides, each in a process of its own, that take turns with one task.

    options : has threads, rounds and seconds
    """
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(Worker(side, name, count, options.threads, module))
            for side in sides
        ]
        return alternate(workers, options.rounds, options.seconds)


def need_torch() -> None:
    """Raise unless PyTorch is there."""
    if importlib.util.find_spec("torch") is None:
        raise SystemExit(
            "PyTorch is not installed: pip install '.[compare]' in the folder of the clone"
        )


if __name__ == "__main__":
    images, most_threads = map(int, sys.argv[3:5])
    serve(SIDES[sys.argv[1]](sys.argv[2], images, most_threads), images)
