"""What is compiled for inference against ONNX Runtime, and against the model as it is.

    python -m bench.inference --models mnist-baseline resnet20 --batches 1 256 --threads 2

The sides take turns, each in a process of its own, and each says which class each image of a batch
is, as floats that are normalised already. ONNX Runtime runs the file that `exchange.save_onnx`
writes, BatchNorm folded. Needs the extra `interop` and onnxruntime.

    python -m bench.inference SIDE MODEL BATCH THREADS     one side, which answers `sides.Worker`
"""

import dataclasses
import importlib.util
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from bench import report, sides
from kernels.cores import available_cores

NAMES = ("mnist-baseline", "mnist-optimized", "lenet5", "cifar-cnn", "cifar-mlp", "resnet20")


@dataclasses.dataclass
class Options:
    """Compare the speed of answers of fastcnn and ONNX Runtime."""

    models: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME [NAME ...]")] = NAMES
    """Models to compare."""
    batches: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N [N ...]")] = (1, 256)
    """Images in a batch."""
    rounds: int = 7
    """Turns that each side takes."""
    seconds: float = 0.3
    """Length of a turn."""
    threads: int = available_cores()
    """Threads of each side."""


def ours(name: str, count: int, threads: int, is_compiled: bool) -> sides.Step:
    """Classes from `predict`."""
    from fastcnn import models
    from kernels import jit

    jit.set_threads(threads)
    model: Any = models.build(name)
    x, _ = sides.batch_for(model.input_shape, count)
    asked: Any = model.compile_for_inference() if is_compiled else model
    return lambda images=count: float(asked.predict(x[:images], count)[0])


def theirs(name: str, count: int, threads: int) -> sides.Step:
    """Classes from ONNX Runtime, in a session that does nothing else."""
    import onnxruntime  # type: ignore[import-not-found]

    from fastcnn import exchange, models

    model: Any = models.build(name)
    x, _ = sides.batch_for(model.input_shape, count)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        exchange.save_onnx(model, path, fold=True, pixels=False)
        session: Any = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    given = session.get_inputs()[0].name
    expected = model.predict(x[:8])
    if not np.array_equal(session.run(None, {given: x[:8]})[0].argmax(axis=1), expected):
        raise ValueError(f"ONNX Runtime's {name} is another network")

    def step(images: int = count) -> float:
        return float(session.run(None, {given: x[:images]})[0].argmax(axis=1)[0])

    return step


SIDES: dict[str, Callable[[str, int, int], sides.Step]] = {
    "compiled": lambda *about: ours(*about, is_compiled=True),
    "model": lambda *about: ours(*about, is_compiled=False),
    "onnxruntime": theirs,
}


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    for package in ("onnx", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise SystemExit(f"{package} is not installed: pip install onnx onnxruntime")
    report.header(
        "model", "batch", "compiled images/s", "model images/s", "ONNX Runtime images/s",
        "compiled / ONNX Runtime (range)", "compiled / model",
    )  # fmt: skip
    for batch in options.batches:
        for name in options.models:
            rates = compiled, model, onnx = sides.compare(
                name, batch, options, tuple(SIDES), "bench.inference"
            )
            report.row(
                name, f"{batch}", *(f"{statistics.median(each):,.0f}" for each in rates),
                f"{report.ratios(compiled, onnx):.2f}",
                f"{report.ratios(compiled, model).median:.2f}",
            )  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in SIDES:
        images, most_threads = map(int, sys.argv[3:5])
        sides.serve(SIDES[sys.argv[1]](sys.argv[2], images, most_threads), images)
    else:
        main()
