"""What freezing saves: training steps with frozen layers over steps without.

    python -m bench.freezing --rounds 9

The steps take turns in this process, on one thread; what counts is its processor time.
"""

import dataclasses
import time
from typing import Annotated

import tyro

from bench import report, sides
from fastcnn import models
from fastcnn.network.transfer import ALL_BUT_LAST


@dataclasses.dataclass
class Options:
    """Measure what freezing layers saves."""

    models: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME [NAME ...]")] = models.names()
    """Models to measure."""
    rounds: int = 9
    """Turns that each way takes."""
    steps: int = 3
    """Steps in a turn."""


def measure(name: str, options: Options) -> tuple[report.Spread, report.Spread]:
    """Time with the first half of the layers frozen, and with all but the last, over none."""
    half, count = len(sides.build(name).layers) // 2, sides.batch_size(name)
    ways = [sides.fastcnn_step(name, count, 1, freeze) for freeze in (0, half, ALL_BUT_LAST)]

    def cost(step: sides.Step) -> float:
        started = time.process_time()
        for _ in range(options.steps):
            step()
        return time.process_time() - started

    seconds = sides.in_turns(ways, options.rounds, cost)
    return report.ratios(seconds[1], seconds[0]), report.ratios(seconds[2], seconds[0])


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    report.header("model", "first half frozen (range)", "all but the last frozen (range)")
    for name in options.models:
        report.row(name, *(f"{spread:.0%}" for spread in measure(name, options)))


if __name__ == "__main__":
    main()
