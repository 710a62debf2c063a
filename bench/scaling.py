"""How training time grows with threads, with the batch size and with the number of images.

    python -m bench.scaling --threads 1 2 --out DIR
    python -m bench.scaling --batches 32 64 128 256 512 1024 --out DIR
    python -m bench.scaling --images 1000 2000 4000 8000 --out DIR

The first trains each model on 1, 2, ... threads and prints the speed relative to the first number
of threads; the second prints the time per image over the batch size; the third the time of whole
epochs of `Sequential.train`, gathering of batches included, over the number of images. All sizes
take turns, and a round's results are compared with each other only.

Prints a table, and writes threads, batches or images .json and .png into --out.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
import tyro

from bench import report, sides
from fastcnn import models, optim
from kernels import jit
from kernels.cores import available_cores

Numbers = Annotated[tuple[int, ...], tyro.conf.arg(metavar="N [N ...]")]


@dataclasses.dataclass
class Options:
    """Measure training over threads, batch sizes or numbers of images."""

    models: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME [NAME ...]")] = models.names()
    """Models that are trained."""
    threads: Numbers = tuple(range(1, available_cores() + 1))
    """Threads to compare; with --batches or --images only the last of them."""
    batches: Numbers = ()
    """Batch sizes to compare."""
    images: Numbers = ()
    """Numbers of images in an epoch to compare."""
    batch: int | None = None
    """Images in a batch; None: the batch size of the model's author."""
    rounds: int = 7
    """Turns of each size."""
    seconds: float = 0.5
    """Length of a turn; not with --images, where it is an epoch."""
    out: str | None = None
    """Folder for the .json and the .png."""


@dataclasses.dataclass(frozen=True)
class Study:
    """One of the three comparisons: what changes, what is shown, and how it is measured."""

    name: str
    sizes: Sequence[int]
    x_label: str
    y_label: str
    spec: str
    # numbers[size][round] for a model
    measure: Callable[[str], list[list[float]]]
    ideal: bool = False
    scales: tuple[str, ...] = ("x", "y")


def rates(name: str, variants: Sequence[tuple[int, int]], options: Options) -> list[list[float]]:
    """Images per second of workers with different (batch, threads), in turns."""
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(sides.Worker("fastcnn", name, batch, threads))
            for batch, threads in variants
        ]
        return sides.alternate(workers, options.rounds, options.seconds)


def thread_study(options: Options) -> Study:
    """Speed relative to the first number of threads."""

    def measure(name: str) -> list[list[float]]:
        batch = sides.batch_size(name, options.batch)
        measured = rates(name, [(batch, threads) for threads in options.threads], options)
        return [
            [value / first for value, first in zip(values, measured[0], strict=True)]
            for values in measured
        ]

    first = options.threads[0]
    label = f"speed relative to {first} thread{'s' if first > 1 else ''}"
    return Study("threads", options.threads, "threads", label, ".2f", measure, True, ())


def batch_study(options: Options) -> Study:
    """Time per image over the batch size."""

    def measure(name: str) -> list[list[float]]:
        variants = [(batch, options.threads[-1]) for batch in options.batches]
        return [[1e6 / value for value in values] for values in rates(name, variants, options)]

    label = f"training time per image (µs), threads: {options.threads[-1]}"
    return Study("batches", options.batches, "images in a batch", label, ".1f", measure)


def image_study(options: Options) -> Study:
    """Time of an epoch over the number of images."""

    def measure(name: str) -> list[list[float]]:
        jit.set_threads(options.threads[-1])
        model, rng = sides.build(name), np.random.default_rng(0)
        assert model.input_shape is not None
        x = rng.integers(0, 256, (max(options.images), *model.input_shape), np.uint8)
        y = rng.integers(0, 10, len(x))

        def epoch(count: int) -> float:
            started = time.perf_counter()
            model.train(
                x[:count], y[:count], epochs=1, optimizer=optim.SGD(1e-4),
                batch_size=sides.batch_size(name, options.batch),
            )  # fmt: skip
            return time.perf_counter() - started

        epoch(options.images[0])
        rounds = [[epoch(count) for count in options.images] for _ in range(options.rounds)]
        return [list(values) for values in zip(*rounds, strict=True)]

    label = f"time of an epoch (s), threads: {options.threads[-1]}"
    return Study("images", options.images, "images in an epoch", label, ".3f", measure, True)


def draw(study: Study, results: dict[str, list[report.Spread]]) -> Any:
    """A line for each model, with the range over the rounds; dashed: proportional growth."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    sizes = np.array(study.sizes)
    markers = "os^DvP*X"
    for number, (name, spreads) in enumerate(results.items()):
        # A little aside, so that the error bars of the models do not cover each other.
        aside = 0 if study.scales else 0.03 * (number - (len(results) - 1) / 2)
        axes.errorbar(
            sizes + aside,
            [spread.median for spread in spreads],
            report.error_bars(spreads),
            color=str(0.15 * (number % 5)),
            marker=markers[number % len(markers)],
            markerfacecolor="white",
            capsize=3,
            linewidth=1,
            label=name,
        )
        if study.ideal and (number == 0 or study.scales):
            line = spreads[0].median * sizes / sizes[0]
            axes.plot(sizes, line, "k--", linewidth=1, label=None if number else "proportional")
    report.log_scale(axes, *study.scales)
    axes.set_xticks(sizes)
    everything = [value for spreads in results.values() for value in spreads]
    if study.scales:  # differences shall not look larger than they are
        axes.set_ylim(
            min(spread.lowest for spread in everything) / 2,
            max(spread.highest for spread in everything) * 2,
        )
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlabel(study.x_label)
    axes.set_ylabel(f"{study.y_label}\n(median and range of alternating rounds)")
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    if options.images:
        study = image_study(options)
    elif options.batches:
        study = batch_study(options)
    else:
        study = thread_study(options)
    results, raw = {}, {}
    print(f"{study.y_label} (range), over {study.x_label}\n")
    sizes = study.sizes
    report.header("model", *map(str, sizes), f"last / first (sizes: {sizes[-1] / sizes[0]:g})")
    for name in options.models:
        raw[name] = study.measure(name)
        results[name] = [report.Spread.of(values) for values in raw[name]]
        growth = report.ratios(raw[name][-1], raw[name][0])
        cells = (f"{spread:{study.spec}}" for spread in results[name])
        report.row(name, *cells, f"{growth:.2f}")
    data = {**dataclasses.asdict(options), "spreads": results, "rounds": raw}
    report.save(options.out, study.name, data, draw(study, results))


if __name__ == "__main__":
    main()
