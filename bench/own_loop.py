"""How fast a loop of one's own trains, over the steps of `Sequential.train`.

    python -m bench.own_loop --rounds 15

Such a loop calls `forward(training=True)`, `backward`, with and without the gradient by the images,
and the optimizer's `step`. All take turns in one process; each ratio is the median of the rounds'.
"""

import dataclasses
import functools
from typing import Annotated

import tyro

from bench import report, sides
from fastcnn import models
from kernels.cores import available_cores


@dataclasses.dataclass
class Options:
    """Measure what a loop of one's own costs."""

    models: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME [NAME ...]")] = models.names()
    """Models to measure."""
    rounds: int = 15
    """Turns that each way takes."""
    seconds: float = 0.3
    """Length of a turn."""
    threads: int = available_cores()
    """Threads of all."""


def measure(name: str, options: Options) -> tuple[report.Spread, report.Spread]:
    """Speed of a loop without the input's gradient, and with it, over that of training."""
    count = sides.batch_size(name)
    with_gradient = functools.partial(sides.loop_step, input_gradient=True)
    ways = [
        make(name, count, options.threads)
        for make in (sides.fastcnn_step, sides.loop_step, with_gradient)
    ]

    def speed(step: sides.Step) -> float:
        return sides.rate(step, count, options.seconds)

    rates = sides.in_turns(ways, options.rounds, speed)
    return report.ratios(rates[1], rates[0]), report.ratios(rates[2], rates[0])


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    report.header("model", "own loop (range)", "with the input's gradient (range)")
    for name in options.models:
        report.row(name, *(f"{spread:.2f}" for spread in measure(name, options)))


if __name__ == "__main__":
    main()
