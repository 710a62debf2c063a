"""Random sequences of commands in one folder, killed, starved and interrupted: nothing is lost.

Two sequences of six commands run in the suite; a thousand sequences by

    python -m tests.commands.test_sequences 1000

Each sequence has a number, which is its seed: ``test_sequences 1 --first 17`` runs number 17 alone.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.full_disk import limit_files

CODES = {0, 1, 2, 3, 130, 143}
DATA = ["--dataset", "digits", "--limit-train", "64", "--limit-test", "20"]
SEARCH = [*DATA, "--epochs", "2", "--validation", "0.2", "--search", "lr=0.01,0.02,0.03"]
SIGNALS = [
    signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGXCPU,
    signal.SIGUSR1,
]  # fmt: skip
STEPS = 6  # commands of a sequence


def command(dice: random.Random, out: Path) -> tuple[str, list[str]]:
    """A command and its options."""
    where = ["--out", str(out)]
    epochs = ["--epochs", str(dice.choice([1, 2, 3, 5]))]
    other = dice.choice([
        [], [], [], ["--validation", "0.2"], ["--lr", "0.02"], ["--lr", "1e30"],
        ["--batch-size", "7"], ["--model", "lab-cnn"], ["--track-gradients"], ["--seed", "7"],
        ["--schedule", "cosine"],
    ])  # fmt: skip
    return dice.choice([
        ("train", [*DATA, *epochs, *other, *where]),
        ("train", [*DATA, *epochs, *other, *where, "--replace"]),
        ("train", [*DATA, *epochs, *other, *where, "--replace"]),
        ("train", ["--resume", *where]),
        ("train", ["--resume", *epochs, *where]),
        ("train", ["--resume", *epochs, *other, *where]),
        ("train", ["--resume", *other, "--allow", "lr,batch-size,epochs", *epochs, *where]),
        ("plot", ["curves", str(out), "--out", str(out.with_name("plots"))]),
        ("search", [*SEARCH, "--out", str(out.with_name("search"))]),
    ])  # fmt: skip


def run(dice: random.Random, name: str, argv: list[str], said: Path) -> tuple[int, str]:
    """A command in a child, to which something may happen; gives its exit code and what happened.

    -9 is the code of one that was killed.
    """
    from fastcnn import signals
    from fastcnn.commands import entry

    fault = dice.choice(["", "", "signal", "signal", "signal", "disk", "reader"])
    limit = dice.choice([500, 20_000, 200_000, 450_000])
    # Nothing comes before its handlers stand, which in a process of its own is a matter of
    # milliseconds, in which Python answers.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS[1:])
    child = os.fork()
    if child:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    else:
        code = 99
        try:
            os.setsid()
            signals.answer_early()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, 1)
            os.dup2(file, 2)
            if fault == "disk":
                limit_files(limit)
            if fault == "reader":
                reading, writing = os.pipe()
                os.close(reading)
                os.dup2(writing, 1)
            # Those of the parent know its files.
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            code = entry.run(name, argv)
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 98
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stderr.flush()
            os._exit(code)
    if fault == "signal":
        number = dice.choice(SIGNALS)
        time.sleep(dice.uniform(0, 1.5))
        fault = number.name
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)
    elif fault == "disk":
        fault += f" {limit}"
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError):  # a search's workers, if it was killed
        while True:
            os.killpg(child, 0)
            time.sleep(0.05)
    return os.waitstatus_to_exitcode(status), fault


def trials_in(folder: Path) -> int:
    """Trials of a search that are over."""
    if not (folder / "search.toml").is_file():
        return 0
    from optuna import load_study

    from fastcnn.searching import database
    from fastcnn.searching.slots import has_verdict

    storage = database.connect(database.default_url(folder))
    trials = load_study(study_name=folder.name, storage=storage).get_trials(deepcopy=False)
    storage.engine.dispose()  # no connection may be taken along into a fork
    over = [trial for trial in trials if has_verdict(trial)]
    for trial in over:
        assert (folder / "trials" / f"{trial.user_attrs['slot']:04}" / "best.npz").is_file()
    return len(over)


class State:
    """What lies in the folder of a run; a file that cannot be read is an AssertionError."""

    def __init__(self, folder: Path) -> None:
        from fastcnn import load_model
        from fastcnn.runs.folder import epochs_in, read_json
        from fastcnn.training.checkpoint import SavedTraining

        self.trials = trials_in(folder.with_name("search"))
        best, last = folder / "best.npz", folder / "last.npz"
        result = folder / "result.json"  # one of no epoch is nothing to lose
        self.is_finished = result.is_file() and read_json(result)["epochs_run"] > 0
        self.network = best.read_bytes() if best.is_file() else b""
        self.epochs, self.seed, self.model = 0, None, None
        if self.network:
            load_model(best)
        assert self.network or not self.is_finished
        if last.is_file():
            self.epochs = epochs_in(folder)
            about = SavedTraining(last).state["about"]
            self.seed, self.model = about["seed"], about["model"]


def check(before: State, after: State, argv: list[str]) -> None:
    """Nothing that was finished is lost."""
    replaced = "--replace" in argv and after.epochs >= 1
    if not replaced:
        assert after.epochs >= before.epochs, "a finished epoch is lost"
        assert (after.seed, after.model) == (before.seed, before.model) or not before.epochs
    if before.network and after.network != before.network:
        assert replaced or "--resume" in argv, "a finished network is lost"
        assert after.epochs >= 1 or after.network
    assert after.trials >= before.trials, "a trial is lost"
    if before.is_finished and not after.is_finished:
        assert after.epochs >= 1, "a result is lost, and nothing is in its place"


def sequence(number: int, root: Path) -> None:
    """One sequence of commands."""
    dice = random.Random(number)
    out, said, told = root / "run", root / "said", []
    before = State(out)
    try:
        for _ in range(STEPS):
            name, argv = command(dice, out)
            code, fault = run(dice, name, argv, said)
            told.append(f"{name} {' '.join(argv)} [{fault}] -> {code}")
            text = said.read_text(errors="replace")
            told.append(text[-2000:])
            killed = code == -signal.SIGKILL and fault == "SIGKILL"
            assert code in CODES or killed, "an exit code that is none"
            assert "Traceback" not in text and "Exception ignored" not in text
            after = State(out)
            check(before, after, argv)
            before = after
        # Whatever has happened, the folder can be used again.
        code, _ = run(_Calm(number), "train", [*DATA, "--epochs", "1", "--out", str(out),
                                               "--replace"], said)  # fmt: skip
        told.append(f"at the end -> {code}")
        assert code == 0, said.read_text(errors="replace")
        left = [file.name for file in out.iterdir() if file.name.endswith((".tmp", ".lock"))]
        assert left == [], left
    except BaseException:
        print(f"sequence {number}:", *told, sep="\n  ", flush=True)
        raise


class _Calm(random.Random):
    """Nothing happens."""

    def choice(self, seq):
        return seq[0]


def main(argv: list[str]) -> None:
    """Run sequences, each in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int)
    parser.add_argument("--first", type=int, default=0)
    wanted = parser.parse_args(argv)
    # What the children would import each by itself. No kernel may run here: not every library of
    # threads survives a fork.
    import matplotlib.figure  # noqa: F401
    import optuna  # noqa: F401

    import fastcnn.commands.plot
    import fastcnn.commands.search
    import fastcnn.commands.train
    import fastcnn.plots
    import fastcnn.searching.search  # noqa: F401

    failed = []
    for number in range(wanted.first, wanted.first + wanted.count):
        try:
            with tempfile.TemporaryDirectory() as root:
                sequence(number, Path(root))
            print(f"sequence {number} done", flush=True)
        except Exception as error:
            print(f"sequence {number} failed: {error!r}", flush=True)
            failed.append(number)
    sys.exit(f"failed: {failed}" if failed else 0)


def test_nothing_finished_is_ever_lost():
    command = [sys.executable, "-m", "tests.commands.test_sequences", "2"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert done.stdout.count("done") == 2


if __name__ == "__main__":
    main(sys.argv[1:])
