"""Compile the kernels of the named networks before anybody waits for them.

    python -m kernels.compile                      all networks, for this processor
    python -m kernels.compile lenet5 resnet20      these
    python -m kernels.compile --processor x86-64-v3

For images of containers and for laboratories: what is compiled goes to the folder that
NUMBA_CACHE_DIR names, or else the user's cache, where the next start finds it. Each network is
trained for an epoch on a few of the digits that come with fastcnn, in a process of its own.

Code is made for one model of processor. With --processor it runs on all that have what a level
has, and only for those who set the same two variables, which are then printed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

PROCESSORS = ("x86-64-v2", "x86-64-v3", "x86-64-v4", "neoverse-n1", "apple-m1")


def variables(processor: str | None) -> dict[str, str]:
    """The environment in which Numba compiles for a processor; None: for this one."""
    if processor is None:
        return {}
    return {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": ""}


def _python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def names() -> list[str]:
    """The networks there are: this package knows nothing of the one that trains them."""
    listed = _python("fastcnn.train", "--list-models").stdout
    return [line.split()[0] for line in listed.splitlines() if line.strip()]


def compile_for(name: str, environment: dict[str, str]) -> str:
    """Train a network for an epoch; returns what went wrong, "" for nothing."""
    with tempfile.TemporaryDirectory() as place:
        done = _python(
            "fastcnn.train", "--model", name, "--dataset", "digits", "--offline",
            "--limit-train", "300", "--limit-test", "100", "--epochs", "1", "--quiet",
            "--no-pictures", "--out", str(Path(place, "run")), **environment,
        )  # fmt: skip
    return done.stderr.strip() or f"exit code {done.returncode}" if done.returncode else ""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        "python -m kernels.compile", description="Compile the kernels of named networks."
    )
    parser.add_argument("networks", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--processor", choices=PROCESSORS, help="default: this one")
    wanted = parser.parse_args(argv)
    known = names()
    for name in wanted.networks:
        if name not in known:
            print(f"error: no network {name!r}; there are {', '.join(known)}", file=sys.stderr)
            return 2
    environment = variables(wanted.processor)
    chosen = wanted.networks or known
    for number, name in enumerate(chosen, 1):
        print(f"{number} of {len(chosen)}: {name}", end=" ", flush=True)
        started = time.monotonic()
        problem = compile_for(name, environment)
        print("failed" if problem else f"{time.monotonic() - started:.0f} s", flush=True)
        if problem:
            print(f"error: {name}: {problem.splitlines()[-1]}", file=sys.stderr)
            return 1
    for variable, value in environment.items():
        print(f"to be set wherever this code is used: {variable}={value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
