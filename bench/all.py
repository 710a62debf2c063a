"""All benchmarks one after the other, and a page of what they print: for a machine of your own.

    python -m bench.all --out docs/speed/NAME
    python -m bench.all --out docs/speed/NAME-avx2 --vectors avx2

The page is written anew after each part, so that what is measured is there if it is stopped. Let
nothing else run meanwhile; `pip install '.[compare]'` brings the PyTorch to compare with.
"""

import dataclasses
import datetime
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from kernels.cores import available_cores

PAGE = "README.md"


@dataclasses.dataclass(frozen=True)
class Part:
    """One benchmark and what it is asked for.

    Attributes
    ----------
    title : str
        Heading on the page.
    command : str
        What follows ``python -m bench.``.
    brief : str
        What is added where little time is to be spent.
    folder : str, optional
        Where its files go, below the page's; none: it prints only.
    """

    title: str
    command: str
    brief: str = ""
    folder: str | None = "."


_BRIEF = "--rounds 3 --seconds 0.3"
PARTS = {
    "steps": Part("Training steps against PyTorch", "side_by_side", _BRIEF),
    "one-thread": Part(
        "Training steps on one thread", "side_by_side --threads 1", _BRIEF, "one-thread"
    ),
    "peak": Part("Shares of the peak", "peak --threads 1", "--rounds 5"),
    "threads": Part("Two threads over one", "scaling --threads 1 2", _BRIEF),
    "geometry": Part(
        "Depthwise, dilated, grouped, transposed; many filters", "geometry", _BRIEF, None
    ),
    "tutorials": Part("Networks that nothing was made for", "tutorials", _BRIEF, None),
    "answers": Part("Answers against ONNX Runtime", "inference", "--rounds 3 --seconds 0.1", None),
    "crowded": Part("Beside a busy process", "crowded", "--rounds 3 --seconds 0.5"),
    "own-loop": Part("A loop of one's own", "own_loop", "--rounds 5", None),
    "memory": Part("Memory", "memory", "--steps 30 --growth 100"),
    "startup": Part("The first start, and later ones", "startup", "--rounds 1"),
    "record": Part("Time to an answer", "record --only mnist-fast", "--epochs 4"),
}
"""What can be measured, in the order of the page."""

# PyTorch's kernels, oneDNN's and MKL's are held to the same vectors.
_AVX2 = {
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "+sse4.2,+avx2,+fma,+bmi2,+popcnt",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Measure everything, and write a page of it."""

    out: str
    """Folder of the page and its pictures."""
    vectors: Literal["own", "avx2"] = "own"
    """avx2: fastcnn and PyTorch compiled for it, where the machine has more."""
    only: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PART [PART ...]")] = ()
    """These parts alone."""
    brief: bool = False
    """Fewer and shorter rounds: a quarter of the time, and wider ranges."""


def machine(vectors: str) -> str:
    """The processor, its cores and what is installed, in a paragraph."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    packages = []
    for package in ("fastcnn", "numpy", "numba", "torch"):
        try:
            packages.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            packages.append(f"no {package}")
    compiled = ", both libraries held to AVX2" if vectors == "avx2" else ""
    return (
        f"{name}, {available_cores()} cores{compiled}; {platform.system()}, "
        f"Python {platform.python_version()}, {', '.join(packages)}."
    )


def page(options: Options, began: datetime.datetime, told: Sequence[tuple[Part, str, str]]) -> str:
    """The page, of (part, its command, what it printed) for each part that is done."""
    out = Path(options.out)
    words = ["python -m bench.all --out", shlex.quote(options.out)]
    words += ["--vectors avx2"] * (options.vectors == "avx2") + ["--brief"] * options.brief
    words += ["--only", *options.only] if options.only else []
    text = [
        f"# Speed on {out.name}",
        machine(options.vectors),
        f"Made by `{' '.join(words)}`, begun {began:%Y-%m-%d %H:%M}. bench/README.md tells how to "
        f"read it.",
    ]
    for part, command, printed in told:
        tables, _, files = printed.partition("\nwritten: ")
        text += [f"## {part.title}", f"`{command}`", tables.strip()]
        for file in files.split(", "):
            if file.strip().endswith(".png"):
                picture = Path(part.folder or ".") / Path(file.strip()).name
                text.append(f"![{part.title.lower()}]({picture.as_posix()})")
    return "\n\n".join(text) + "\n"


def measure(part: Part, options: Options) -> tuple[str, str]:
    """Run a part; its command, and its tables or why there are none."""
    words = part.command.split() + (part.brief.split() if options.brief else [])
    if part.folder is not None:
        words += ["--out", str(Path(options.out) / part.folder)]
    chosen = _AVX2 if options.vectors == "avx2" else {}
    done = subprocess.run(
        [sys.executable, "-m", f"bench.{words[0]}", *words[1:]],
        env={**os.environ, **chosen}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        return f"python -m bench.{shlex.join(words)}", f"Not measured: {said[-1]}"
    return f"python -m bench.{shlex.join(words)}", done.stdout


def main(arguments: Sequence[str] | None = None) -> int:
    options = tyro.cli(Options, description=__doc__, args=arguments)
    unknown = [name for name in options.only if name not in PARTS]
    if unknown:
        print(f"error: no part {unknown[0]!r}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    out, began = Path(options.out), datetime.datetime.now()
    out.mkdir(parents=True, exist_ok=True)
    told: list[tuple[Part, str, str]] = []
    for name in options.only or PARTS:
        start = time.monotonic()
        told.append((PARTS[name], *measure(PARTS[name], options)))
        (out / PAGE).write_text(page(options, began, told), encoding="utf-8")
        failed = told[-1][2].startswith("Not measured")
        print(f"{name}: {told[-1][2] if failed else f'{time.monotonic() - start:.0f} s'}")
    print(f"page: {out / PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
