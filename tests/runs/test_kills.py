"""`kill -9` at random moments of a run: every file is whole, and the run goes on to the same bits.

Two kills run in the suite; two hundred by

    python -m tests.runs.test_kills 200

Half of them come at a random moment, the others at a random call by which a save writes, syncs,
links, renames or removes a file. Each run is killed twice and then goes on to its end.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

KILLS = 2  # of a run
LONGEST = 1.2  # seconds from the start to a kill
TIMES = {"seconds", "seconds_training"}
SETTINGS = [
    "--dataset", "digits", "--limit-train", "80", "--limit-test", "20", "--epochs", "3",
    "--validation", "0.2", "--norm", "batch", "--dropout", "0.2", "--shift", "1", "--ema", "0.9",
    "--track-gradients", "--optimizer", "adam", "--batch-size", "16",
    "--save-minutes", "0", "--no-pictures",
]  # fmt: skip
SAVING = ["--save-minutes", "0", "--no-pictures"]
CALLS = ("fsync", "link", "replace", "unlink")
MOST_CALLS = 170  # of such a run


def child(argv: list[str], calls: int | None = None) -> int:
    """A command in a process of its own, which may kill itself; gives its number."""
    process = os.fork()
    if not process:
        code = 99
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            if calls is not None:
                _kill_at(calls)
            from fastcnn.commands import entry

            code = entry.run("train", argv)
        finally:
            os._exit(code)
    return process


def _kill_at(calls: int) -> None:
    """Kill this process before or after its so-many-eth call that changes a file of the run."""
    left = iter(range(calls, -1, -1))

    def counted(function):
        def call(*arguments, **options):
            count = next(left)
            if count == 0 and calls % 2:
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return function(*arguments, **options)
            finally:
                if count == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        return call

    import fastcnn.files

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))
    fastcnn.files.open = counted(open)  # type: ignore[attr-defined]


def check_files(folder: Path) -> None:
    """Each file is whole; what is half-written has a name that says so."""
    from fastcnn.config import Config, read_toml, replace
    from fastcnn.network import checkpoint
    from fastcnn.training.history import Table

    for file in folder.iterdir():
        if file.name == ".lock" or (file.name.startswith(".") and file.suffix == ".tmp"):
            continue
        elif file.suffix == ".npz":
            checkpoint.read(file)
        elif file.suffix == ".csv":
            Table.from_csv(file.read_text())
        elif file.suffix == ".json":
            json.loads(file.read_text())
        elif file.suffix == ".toml":
            replace(Config(), read_toml(file))
        else:
            raise AssertionError(f"a file that is none of a run's: {file}")


def results(folder: Path) -> dict[str, object]:
    """What does not depend on the clock."""
    from fastcnn.training.history import Table

    history = Table.from_csv((folder / "history.csv").read_text())
    result = json.loads((folder / "result.json").read_text())
    return {
        "network": (folder / "best.npz").read_bytes(),
        "gradients": (folder / "gradients.csv").read_bytes(),
        "history": {name: history[name] for name in sorted(set(history) - TIMES)},
        "best": (result["best_epoch"], result["stopped_because"], result["test_accuracy"]),
    }


def run(argv: list[str]) -> int:
    """A command to its end; gives its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(child(argv), 0)[1])


def killed_run(number: int, root: Path, expected: dict[str, object]) -> tuple[int, int]:
    """One run that is killed twice; gives the kills, and how many found something half-written."""
    dice, out = random.Random(number), root / "run"
    where, kills, halves = ["--out", str(out)], 0, 0
    again = False
    for _ in range(KILLS):
        begun = (out / "last.npz").is_file()
        at_call = dice.random() < 0.5
        calls = dice.randrange(MOST_CALLS) if at_call else None
        words = ["--resume", *where] if begun else [*SETTINGS, *where]
        process = child([*words, *SAVING] if begun else words, calls)
        if not at_call:
            time.sleep(dice.uniform(0, LONGEST))
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        assert code in (0, -signal.SIGKILL), code
        kills += code != 0
        if out.is_dir():
            check_files(out)
            halves += any(file.suffix == ".tmp" for file in out.iterdir())
        again = again or code == 0
    is_begun = (out / "last.npz").is_file()
    if not (again and (out / "result.json").is_file()):
        # What was killed before there was anything to go on from begins anew.
        assert run(["--resume", "--no-pictures", *where] if is_begun else [*SETTINGS, *where]) == 0
    assert results(out) == expected
    left = [file.name for file in out.iterdir() if file.name.startswith(".")]
    assert left == [], left
    return kills, halves


def main(argv: list[str]) -> None:
    """Kill so many times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int)
    parser.add_argument("--first", type=int, default=0)
    wanted = parser.parse_args(argv)
    # What each child would import by itself. No kernel may run here: not every library of threads
    # survives a fork.
    import matplotlib.figure  # noqa: F401

    import fastcnn.commands.train
    import fastcnn.plots  # noqa: F401

    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        assert run([*SETTINGS, "--out", str(whole)]) == 0
        expected = results(whole)
    kills = halves = number = 0
    failed = []
    while kills < wanted.count:
        number += 1
        try:
            with tempfile.TemporaryDirectory() as folder:
                more, half = killed_run(wanted.first + number, Path(folder), expected)
        except AssertionError as error:
            failed.append(wanted.first + number)
            print(f"run {wanted.first + number} failed: {error!r}"[:2000], flush=True)
            more, half = KILLS, 0
        kills, halves = kills + more, halves + half
        print(f"{kills} of {wanted.count}", file=sys.stderr, flush=True)
    print(f"{kills} kills of {number} runs; {halves} left something half-written; {len(failed)} "
          f"failed: {failed}")  # fmt: skip
    sys.exit(bool(failed))


def test_a_run_that_is_killed_goes_on_to_the_same_bits():
    command = [sys.executable, "-m", "tests.runs.test_kills", "2"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert " 0 failed" in done.stdout


if __name__ == "__main__":
    main(sys.argv[1:])
