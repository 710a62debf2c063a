"""Damaged files of every kind that is read: one sentence and exit code 2, or nothing is wrong.

Forty run in the suite; ten thousand by

    python -m tests.damage.test_damaged 10000

Each case has a number, which is its seed: ``test_damaged 1 --first 17`` runs number 17 alone. What
has no checksum (a table, a picture, settings) may be damaged so that it is still one, which is
counted; models and checkpoints never are. Memory stays below twice the honest file and 200 MB.
"""

import argparse
import contextlib
import io
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from .files import SMALL, damage, edit, edit_json, make

AT_ONCE = 250  # cases of a process
SECONDS = 5  # of a processor
HANGS = 60  # seconds of a processor
SPARE = 200e6  # bytes

TRAIN = [
    "train",
    *SMALL,
    "--epochs",
    "1",
    "--quiet",
    "--no-pictures",
    "--save-minutes",
    "None",
    "--out",
    "new",
]
RESUME = ["train", "--resume", "--quiet", "--no-pictures", "--keep", "1", "--out"]
DATA = ["--data-dir", "data", "--offline"]
CURVES = [*[["plot", "curves", "run"]] * 19, ["report", "run"]]  # the report takes longer

# Kind -> the files, one of which is damaged; the commands, one of which reads it; how it is damaged
# where that is not byte by byte; whether a checksum finds it out.
KINDS: dict[str, tuple[list[str], list[list[str]], Callable | None, bool]] = {
    "model": (
        ["run/best.npz"],
        [["evaluate", "run/best.npz", "--dataset", "digits"], ["plot", "filters", "run/best.npz"],
         [*TRAIN, "--init-from", "run/best.npz"]],
        None, True,
    ),
    "model's contents": (
        ["run/best.npz"],
        [["evaluate", "run/best.npz", "--dataset", "digits"], ["plot", "filters", "run/best.npz"],
         [*TRAIN, "--init-from", "run/best.npz"]],
        edit, False,
    ),
    "checkpoint": (["run/last.npz"], [[*RESUME, "run"]], None, True),
    "checkpoint's contents": (["run/last.npz"], [[*RESUME, "run"]], edit, False),
    "checkpoint within an epoch": (["part/last.npz"], [[*RESUME, "part"]], edit, False),
    "history": (
        ["run/history.csv", "run/gradients.csv"],
        [*CURVES, ["plot", "gradients", "run"]], None, False,
    ),
    "result": (["run/result.json"], CURVES, None, False),
    "result's contents": (
        ["run/result.json"], CURVES, edit_json, False
    ),
    "settings": (
        ["run/config.toml"],
        [["train", "--config", "run/config.toml", "--list-models"], ["evaluate", "run"]],
        None, False,
    ),
    "mnist": (
        [f"data/mnist/{part}-{rest}" for part in ("train", "t10k")
         for rest in ("images-idx3-ubyte.gz", "labels-idx1-ubyte")],
        [["evaluate", "run/best.npz", "--dataset", "mnist", *DATA]], None, False,
    ),
    "cifar": (
        [f"data/cifar-10-batches-bin/{name}" for name in
         ("data_batch_1.bin", "data_batch_5.bin", "test_batch.bin", "batches.meta.txt")],
        [["evaluate", "colours.npz", "--dataset", "cifar10", *DATA]], None, False,
    ),
    "own arrays": (
        ["data/own.npz"], [["evaluate", "run/best.npz", "--dataset", "data/own.npz"]], None, False
    ),
    "own table": (
        ["data/own.csv"], [["evaluate", "run/best.npz", "--dataset", "data/own.csv"]], None, False
    ),
    "own pictures": (
        ["data/pictures/3/0.png", "data/pictures/3/1.jpg", "data/pictures/3/2.gif"],
        [["evaluate", "run/best.npz", "--dataset", "data/pictures"]], None, False,
    ),
}  # fmt: skip
OUTPUT = {"plot": ["--out", "plot.png"], "report": ["--out", "report.html"]}


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """What lies in a folder, and when it was written."""
    return {
        str(file): (file.stat().st_mtime_ns, file.stat().st_size)
        for file in folder.rglob("*")
        if file.is_file()
    }


def peak() -> int:
    """Most bytes of this process since `forget_peak`."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def case(number: int, honest: Path, folder: Path) -> tuple[str, str, str]:
    """One damaged file; gives its kind, what became of it, and what is wrong with that."""
    from fastcnn.commands import entry

    dice = random.Random(number)
    kind = dice.choice([*KINDS])
    files, commands, change, is_sealed = KINDS[kind]
    name, words = dice.choice(files), list(dice.choice(commands))
    words += OUTPUT.get(words[0], [])
    path = folder / name
    content = path.read_bytes()
    if change is None:
        path.unlink()  # it may be a link
        path.write_bytes(damage(dice, content))
    else:
        change(dice, path)
    before, said = state(folder), io.StringIO()
    forget_peak()
    memory, started = peak(), time.process_time()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            code = entry.run(words[0], words[1:])
    except BaseException:
        return kind, "failed", f"{name}, {' '.join(words)}\n{traceback.format_exc()[-1500:]}"
    memory, seconds = peak() - memory, time.process_time() - started
    text, wrong = said.getvalue(), ""
    lines = text.splitlines()
    if code == 2:
        if len(lines) != 1 or not lines[0].startswith("error: ") or len(lines[0]) > 2000:
            wrong = f"said {text[:600]!r}"
        if state(folder) != before:
            wrong = "files were touched before it was refused"
    elif code != 0 or (is_sealed and path.read_bytes() != content and words[0] != "train"):
        wrong = f"exit code {code}, said {text[:600]!r}"
    if "Traceback" in text:
        wrong = text[-1000:]
    if memory > 2 * len(content) + SPARE:
        wrong = f"took {memory / 1e6:.0f} MB"
    if seconds > SECONDS:
        wrong = f"took {seconds:.1f} s"
    verdict = "failed" if wrong else "refused" if code == 2 else "harmless"
    return kind, verdict, f"{name}, {' '.join(words)}: {wrong}" if wrong else text.strip()


def cases(numbers: range, honest: Path, root: Path, out: int) -> None:
    """Some cases in this process, each in a fresh folder; a line for each."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in numbers:
        folder = root / "work"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(honest, folder)
        os.chdir(folder)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, HANGS)
        kind, verdict, why = case(number, honest, folder)
        signal.setitimer(signal.ITIMER_PROF, 0)
        os.chdir(root)
        text = "\x01".join((str(number), kind, verdict, why.replace("\x01", " ")))
        os.write(out, text.replace("\n", "\x02").encode() + b"\n")


def compile_kernels(honest: Path, root: Path) -> None:
    """Have what the commands compile on the disk: no damaged file is to blame for that."""
    from fastcnn.commands import entry

    shutil.copytree(honest, root / "work")
    os.chdir(root / "work")
    commands = {tuple(words): None for _, each, *_ in KINDS.values() for words in each}
    for words in commands:
        if words[0] in ("train", "evaluate"):
            assert entry.run(words[0], words[1:]) == 0, words


def child(work: Callable[[int], None]) -> tuple[list[str], int]:
    """What a function writes in a process of its own, and how that ended."""
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        code = 99
        try:
            os.close(reading)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            work(writing)
            code = 0
        except BaseException:
            os.write(writing, f"{traceback.format_exc()[-1500:]!r}\n".encode())
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, errors="replace", newline="\n") as file:
        lines = file.read().split("\n")[:-1]
    return lines, os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def main(argv: list[str]) -> None:
    """Damage so many files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--say", action="store_true", help="print what is said of each")
    wanted = parser.parse_args(argv)
    # What each child would import by itself. No kernel may run here: not every library of threads
    # survives a fork.
    import matplotlib.figure  # noqa: F401

    import fastcnn.commands.evaluate
    import fastcnn.commands.plot
    import fastcnn.commands.report
    import fastcnn.commands.train
    import fastcnn.plots  # noqa: F401

    counts: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        root, honest = Path(folder), Path(folder) / "honest"
        honest.mkdir()
        lines, code = child(lambda _: make(honest))
        assert code == 0, lines
        lines, code = child(lambda _: compile_kernels(honest, root))
        assert code == 0, lines
        number, end = wanted.first, wanted.first + wanted.count
        while number < end:
            these = range(number, min(number + AT_ONCE, end))
            lines, code = child(lambda out, these=these: cases(these, honest, root, out))
            for line in lines:
                *head, why = line.split("\x01")
                if len(head) < 3:
                    break
                counts[head[1], head[2]] += 1
                if head[2] == "failed" or wanted.say:
                    why = why.replace("\x02", "\n  ")
                    print(f"case {head[0]}, {head[1]}, {head[2]}: {why}", flush=True)
            done = sum(len(line.split("\x01")) == 4 for line in lines)
            number += done
            if done < len(these):  # the process has ended in the next
                kind = random.Random(number).choice([*KINDS])
                print(f"case {number}, {kind}, failed: exit code {code}, {lines[done:]}")
                counts[kind, "failed"] += 1
                number += 1
            print(f"{number - wanted.first} of {wanted.count}", file=sys.stderr, flush=True)
    verdicts = ("refused", "harmless", "failed")
    print(f"{'':28}" + "".join(f"{verdict:>10}" for verdict in verdicts))
    for kind in KINDS:
        print(f"{kind:28}" + "".join(f"{counts[kind, verdict]:10,}" for verdict in verdicts))
    sums = [sum(counts[kind, verdict] for kind in KINDS) for verdict in verdicts]
    print(f"{'together':28}" + "".join(f"{count:10,}" for count in sums))
    sys.exit(bool(sums[2]))


def test_what_is_damaged_is_refused_in_one_sentence():
    command = [sys.executable, "-m", "tests.damage.test_damaged", "40"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


if __name__ == "__main__":
    main(sys.argv[1:])
