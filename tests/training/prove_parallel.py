"""The long proof that the bits of training do not depend on the processes, with real ones.

    python -m tests.training.prove_parallel [MODEL ...]

trains each named network for 30 steps, alone and in 1, 2 and 4 processes of 1, 2 and 3 threads
(``--ranks``, ``--threads``), and prints whether the parameters are the same. Then a run of each is
ended by kill -9 of a random process at a random moment (``--kills``), and goes on in another number
of processes. It needs mpi4py and mpiexec: pip install '.[distributed]' mpich.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
DIED = "error: process "
SECONDS_TO_END = 10.0
STEPS, BATCH = 30, 40
COLOURED = (
    "cifar-cnn", "cifar-mlp", "resnet20", "densenet", "vgg-small", "mobilenet-small", "cifar-fast"
)  # fmt: skip


def command(processes: int | None, *words: str) -> list[str]:
    """Python in so many processes; None: without mpiexec."""
    start = [] if processes is None else [str(MPIEXEC), "-n", str(processes)]
    return [*start, sys.executable, "-m", *words]


def children(parent: int) -> list[int]:
    """Ids of the processes that one has started."""
    tasks = Path(f"/proc/{parent}/task").glob("*/children")
    return [int(number) for task in tasks for number in task.read_text().split()]


def ranks(mpiexec: int) -> list[int]:
    """Ids of the processes that an ``mpiexec`` of this host has started, in their order."""
    (helper,) = children(mpiexec)
    return children(helper)


def floats(file: Path) -> dict[str, bytes]:
    """The parameters and states of a model."""
    with np.load(file) as kept:
        return {name: kept[name].tobytes() for name in kept.files if kept[name].dtype.kind == "f"}


def checksum(arrays: Mapping[str, bytes]) -> str:
    check = 0
    for _, values in sorted(arrays.items()):
        check = zlib.crc32(values, check)
    return f"{check:08x}"


# --- what one process does ------------------------------------------------------------------------


def train(names: Iterable[str]) -> None:
    """Train each for 30 steps, the last of a smaller batch, and print a checksum."""
    from fastcnn import models
    from fastcnn.training.parallel import found
    from kernels import jit

    from .test_parallel import trained

    parallel = found()
    jit.set_threads(int(os.environ["FASTCNN_THREADS"]))
    for name in names:
        arrays, _ = trained(
            parallel, lambda name=name: models.build(name), images=STEPS * BATCH - 31,
            shape=shape(name), batch_size=BATCH, clip_norm=1.0, validation=None,
        )  # fmt: skip
        if parallel.is_first:
            print(f"{name} {checksum(arrays)}", flush=True)


def shape(name: str) -> tuple[int, int, int]:
    """Of the images that a network is made for."""
    from fastcnn.models import preset

    return (3, 32, 32) if preset(name)["dataset"] == "cifar10" else (1, 28, 28)


# --- the same bits --------------------------------------------------------------------------------


def found_in(processes: int | None, threads: int, names: list[str]) -> dict[str, str]:
    """The checksum of each network; what went wrong instead."""
    words = command(processes, "tests.training.prove_parallel", "--one", *names)
    done = subprocess.run(
        words, capture_output=True, text=True, env={**os.environ, "FASTCNN_THREADS": str(threads)}
    )
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
    lines = dict(line.split() for line in done.stdout.splitlines() if line.count(" ") == 1)
    return {name: lines.get(name, "failed") for name in names}


# --- kill -9 --------------------------------------------------------------------------------------


def killed(name: str, folder: Path, dice: random.Random, processes: list[int]) -> str:
    """Kill a process of a run, resume it in another number of them; what came of it."""
    numbers = np.random.default_rng(1)
    data, one, out = folder / f"{name}.npz", folder / f"{name}-one", folder / f"{name}-killed"
    arrays = {}
    for part, count in (("train", STEPS // 3 * BATCH), ("test", BATCH)):
        arrays[f"x_{part}"] = numbers.integers(0, 256, (count, *shape(name)), np.uint8)
        arrays[f"y_{part}"] = np.arange(count) % 10
    np.savez(data, **arrays)
    run = (
        "fastcnn.train", "--dataset", str(data), "--model", name, "--epochs", "3",
        "--batch-size", str(BATCH), "--threads", "1", "--no-pictures", "--save-minutes", "0",
    )  # fmt: skip
    subprocess.run(command(None, *run, "--out", str(one)), capture_output=True, check=True)
    first = dice.choice([count for count in processes if count > 1])
    second = dice.choice([count for count in processes if count != first])
    longest = 8.0
    while True:  # until it is killed before its results are written
        shutil.rmtree(out, ignore_errors=True)
        running = subprocess.Popen(
            command(first, *run, "--out", str(out)), stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        while not (out / "last.npz").is_file() and running.poll() is None:
            time.sleep(0.01)
        time.sleep(dice.uniform(0, longest))
        victim = dice.randrange(first)
        with contextlib.suppress(ProcessLookupError, ValueError, IndexError):
            os.kill(ranks(running.pid)[victim], signal.SIGKILL)
        ended = time.monotonic()
        said = running.communicate()[1]
        ended = time.monotonic() - ended
        if running.returncode and not (out / "result.json").is_file():
            break
        longest /= 2
    problems = []
    if ended > SECONDS_TO_END:
        problems.append(f"ended after {ended:.0f} s")
    if said.count(DIED) != 1 or f"{DIED}{victim} on " not in said:
        problems.append(f"said {said!r}")
    resumed = subprocess.run(
        command(second, "fastcnn.train", "--resume", "--out", str(out), "--no-pictures"),
        capture_output=True, text=True,
    )  # fmt: skip
    if resumed.returncode:
        problems.append(resumed.stderr)
    elif floats(out / "best.npz") != floats(one / "best.npz"):
        problems.append("other bits")
    temporary = [file.name for file in out.iterdir() if ".tmp" in file.name]
    if temporary:
        problems.append(f"{temporary} is left")
    if problems:
        print(f"{name}: {'; '.join(problems)}", file=sys.stderr)
    return f"{first}, then {second}: {'failed' if problems else 'same'}, {ended:.1f} s"


def compared(names: list[str], counts: list[int], threads: list[int]) -> int:
    """Print a table of the same bits and others; gives how many are others."""
    print(f"{STEPS} steps: is each number the same as without mpiexec?")
    print(f"{'processes x threads':21}" + "".join(f"{name:>17}" for name in names), flush=True)
    alone, wrong = found_in(None, 1, names), 0
    print(f"{'no mpiexec':21}" + "".join(f"{alone[name]:>17}" for name in names), flush=True)
    for count in counts:
        for each in threads:
            began = time.monotonic()
            found = found_in(count, each, names)
            same = {name: found[name] == alone[name] != "failed" for name in names}
            wrong += len(names) - sum(same.values())
            cells = (f"{'same' if same[name] else found[name]:>17}" for name in names)
            seconds = time.monotonic() - began
            print(f"{f'{count} x {each}':21}{''.join(cells)}  {seconds:4.0f} s", flush=True)
    return wrong


def main(argv: list[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*")
    parser.add_argument("--ranks", default="1,2,4")
    parser.add_argument("--threads", default="1,2,3", help="'' for kills only")
    parser.add_argument("--kills", type=int, default=1, help="of each network")
    parser.add_argument("--seed", type=int, default=0, help="of what is random in the kills")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    wanted = parser.parse_args(argv)
    if wanted.one:
        train(wanted.models)
        return 0
    from fastcnn import models

    names = wanted.models or list(models.names())
    counts, threads = (
        [int(number) for number in text.split(",") if number]
        for text in (wanted.ranks, wanted.threads)
    )
    wrong = compared(names, counts, threads) if threads else 0
    print("kill -9 of a process, then resumed in another number of them; seconds until all ended")
    dice = random.Random(wanted.seed)
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            for _ in range(wanted.kills):
                told = killed(name, Path(folder), dice, counts)
                wrong += "failed" in told
                print(f"{name:21}{told}", flush=True)
                for run in Path(folder).iterdir():
                    shutil.rmtree(run) if run.is_dir() else run.unlink()
    print(f"{wrong} failed")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
