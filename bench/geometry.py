"""Convolutions with gaps, groups, strides backwards and many filters, against PyTorch's.

    python -m bench.geometry --only depthwise --rounds 7 --threads 2

A step is forward and backward. The two take turns, each in a process of its own (`bench.sides`),
in the memory layout that each likes best; PyTorch's two are tried before the first round. Prints a
table. Needs the extra `compare`: pip install '.[compare]' in the folder of the clone.
"""

import dataclasses
import statistics
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import tyro

from bench import report, sides
from kernels.cores import available_cores

BATCH = 64


@dataclasses.dataclass(frozen=True)
class Case:
    """A layer by its name in fastcnn, its arguments, and the shape of its input."""

    kind: str
    channels: tuple[int, int]
    kernel: int
    size: int
    options: dict[str, int]


def cases() -> Iterator[tuple[str, Case]]:
    """All cases by name."""
    for channels in (32, 128):
        for size in (32, 16):
            for stride in (1, 2):
                options = {"stride": stride, "padding": 1, "groups": channels}
                name = f"depthwise 3x3, {channels} channels, {size}x{size}, stride {stride}"
                yield name, Case("Conv2D", (channels, channels), 3, size, options)
    for channels, size in ((32, 32), (64, 16)):
        options = {"padding": 2, "dilation": 2}
        name = f"dilated 3x3 by 2, {channels} channels, {size}x{size}"
        yield name, Case("Conv2D", (channels, channels), 3, size, options)
    for channels, groups, size in ((32, 2, 32), (64, 4, 16), (128, 32, 16)):
        options = {"padding": 1, "groups": groups}
        name = f"grouped 3x3, {channels} channels in {groups} groups, {size}x{size}"
        yield name, Case("Conv2D", (channels, channels), 3, size, options)
    for pair, kernel, size in (((64, 32), 4, 16), ((32, 16), 4, 16), ((64, 64), 2, 8)):
        options = {"stride": 2, "padding": 1 if kernel == 4 else 0}
        name = f"transposed {kernel}x{kernel}, {pair[0]} -> {pair[1]}, {size}x{size}, stride 2"
        yield name, Case("ConvTranspose2D", pair, kernel, size, options)
    for pair, kernel, size, stride in (
        ((512, 512), 3, 4, 1), ((256, 512), 3, 8, 2), ((256, 256), 3, 3, 1),
        ((96, 256), 5, 8, 1), ((512, 512), 1, 4, 1), ((1024, 1024), 1, 2, 1),
    ):  # fmt: skip
        options = {"stride": stride, "padding": kernel // 2}
        name = f"many filters {kernel}x{kernel}, {pair[0]} -> {pair[1]}, {size}x{size}"
        name += f", stride {stride}"
        yield name, Case("Conv2D", pair, kernel, size, options)


@dataclasses.dataclass
class Options:
    """Compare layers of fastcnn and PyTorch."""

    only: str = ""
    """Cases whose name holds this; all by default."""
    rounds: int = 7
    """Turns that each library takes."""
    seconds: float = 0.3
    """Length of a turn."""
    threads: int = available_cores()
    """Threads of each library."""


# --- one side, in its own process -----------------------------------------------------------------


def fastcnn_step(case: Case, threads: int) -> sides.Step:
    """Forward and backward of our layer."""
    from fastcnn import layers
    from kernels import jit
    from kernels.workspace import Workspace

    jit.set_threads(threads)
    layer = getattr(layers, case.kind)(*case.channels, case.kernel, **case.options)
    # As in a model, which uses its memory again, and whose arrays begin with a cache line.
    workspace, generator = Workspace(), np.random.default_rng(0)
    shape = (BATCH, case.size, case.size, case.channels[0])
    x = workspace.array("x", shape)
    generator.random(shape, np.float32, x)
    x = x.transpose(0, 3, 1, 2)
    y = layer.forward(x).transpose(0, 2, 3, 1)
    dy = workspace.array("dy", y.shape)
    dy[...] = y
    dy = dy.transpose(0, 3, 1, 2)
    layer.workspace.keep = True

    def step(images: int = BATCH) -> float:
        layer.forward(x, training=True)
        layer.backward(dy)
        return 0.0

    return step


def torch_step(case: Case, threads: int) -> sides.Step:
    """Forward and backward of PyTorch's layer in the faster of its memory layouts."""
    import torch  # type: ignore[import-not-found]

    torch.set_num_threads(threads)
    kind = torch.nn.Conv2d if case.kind == "Conv2D" else torch.nn.ConvTranspose2d

    def prepare(layout: Any) -> sides.Step:
        layer = kind(*case.channels, case.kernel, **case.options).to(memory_format=layout)
        shape = (BATCH, case.channels[0], case.size, case.size)
        x = torch.rand(shape).contiguous(memory_format=layout).requires_grad_()
        dy = torch.rand(layer(x).shape).contiguous(memory_format=layout)

        def step(images: int = BATCH) -> float:
            layer.zero_grad()
            x.grad = None
            layer(x).backward(dy)
            return 0.0

        return step

    steps = [prepare(torch.contiguous_format), prepare(torch.channels_last)]
    return sides.fastest(steps, BATCH, 0.3)


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    sides.need_torch()
    report.header("layer", "fastcnn images/s", "PyTorch images/s", "ratio (range)")
    for name, _ in cases():
        if options.only not in name:
            continue
        ours, theirs = sides.compare(name, BATCH, options, module="bench.geometry")
        report.row(
            name, f"{statistics.median(ours):,.0f}", f"{statistics.median(theirs):,.0f}",
            f"{report.ratios(ours, theirs):.2f}",
        )  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) == 5 and sys.argv[1] in ("fastcnn", "torch"):
        side = fastcnn_step if sys.argv[1] == "fastcnn" else torch_step
        sides.serve(side(dict(cases())[sys.argv[2]], int(sys.argv[4])), BATCH)
    else:
        main()
