"""Every sentence that a run can print, each checked against what has happened.

The sentences are found in the source: all texts of at least three words in the files through which
a run speaks. `CHECKS` has for each the fact that it states; `SCENES` has runs in which they are
said. A check is made wherever its sentence appears. What is about damaged files, or about
arguments that only Python can give, has its test elsewhere, and `ELSEWHERE` says where.
"""

import ast
import errno
import functools
import itertools
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastcnn import datasets, load_model, models
from fastcnn.commands import entry
from fastcnn.holding import Hold
from fastcnn.network import checkpoint
from fastcnn.network.network import Network
from fastcnn.runs import results
from fastcnn.runs.folder import InFolder, read_json, usable
from fastcnn.training import loop
from fastcnn.training.checkpoint import SavedTraining, record_of
from fastcnn.training.history import History

ROOT = Path(__file__).parents[2]
FILES = (
    "runs/run.py", "runs/results.py", "runs/folder.py", "runs/going_on.py", "runs/images.py",
    "training/budget.py", "training/callbacks.py", "training/diverged.py", "training/loop.py",
    "training/notes.py", "training/resuming.py", "training/saving.py", "commands/train.py",
    "commands/interrupt.py", "commands/entry.py", "commands/streams.py", "signals.py", "files.py",
    "holding.py",
)  # fmt: skip
DATA = ["--dataset", "digits", "--limit-train", "64", "--limit-test", "20"]
NO_SENTENCE = {
    "python -m fastcnn.train",
    ": {} of {} random test images right",
    "{}: {} random test images",
}  # of a picture
ELSEWHERE = {
    "{} is of version 0.1.0, which did not keep its settings: whether they are the same is not "
    "checked": "training/test_resuming.py",
    "each batch has 1 image, too few for BatchNorm: what a channel has one number of it makes the "
    "same of every image; give more images, or a larger batch_size": "training/test_last_batch.py",
    "the targets {}have mean {} and deviation {}: a network begins with outputs near 0, and learns "
    "sooner, and all numbers alike, what is brought near to mean 0 and deviation 1 before": (
        "training/test_tasks.py"
    ),
    "the training loss {} is far above that of guessing, ln {} = {}, and was {} before the first "
    "step: the pixels or the weights that the network begins with are too large": (
        "training/test_training.py"
    ),
    "the weight decay {} is too high: each step takes {} times the weights away": (
        "training/test_diverged.py"
    ),
    "{} is damaged: it lacks the moving averages": "training/test_watching.py",
    "{} is damaged: it has {} batches of an epoch of {}": "training/test_saving.py",
    "minutes must be a finite number above 0, got {}": "training/test_budget.py",
    "a link that leads nowhere": "test_files.py",
    "an empty text names no file or folder; the folder you are in is .": "test_files.py",
    "{} cannot be written: it is a folder": "test_files.py",
    "what was saved there is gone": "runs/test_failing_disk.py",
    "it holds the run up to epoch {}": "runs/test_failing_disk.py",
    "{}; the model keeps the weights of epoch {}": "runs/test_failing_disk.py",
    "it is a folder, not a file": "test_files.py",
    "it is a device or a pipe, not a file": "test_files.py",
    "an array has an unknown version, {}": "datasets/own/test_files.py",
    "the header of an array is no header: {}": "datasets/own/test_files.py",
    "callbacks must be functions or objects with on_epoch_end(model, history)": (
        "training/test_watching.py"
    ),
    "{}, got the class itself: write {}()": "training/test_watching.py",
    "a callback changes the model's weights, which are put back: the run would not be the same "
    "if it were resumed; write a layer or an optimizer that changes them": (
        "training/test_watching.py"
    ),
    "raised by the callback {} after epoch {}, which is finished and, where there is a "
    "checkpoint, saved: the model keeps it": "training/test_watching.py",
    "the run in {} had monitor {} and cannot be continued with {}": "training/test_resuming.py",
    "the run in {} {} {} data and cannot be continued {}": "training/test_resuming.py",
    "standard output cannot be written: {}": "commands/test_entry.py",
    "error: there is not enough memory{}; a smaller network, batch or number of images needs "
    "less": "commands/test_entry.py",
    **dict.fromkeys(
        (
            "no step has been made yet, and what the network gives is finite: look at the loss and "
            "the targets",
            "the gradient of the loss by the {} became infinite or NaN",
            "look at what backward of {} gives",
        ),
        "training/test_diverged.py",
    ),
    "--model {}: here the networks are trained that have a name ({}); --init-from FILE.npz begins "
    "one of them with the file's weights, and any other network is trained in Python, "
    "load_model(...).train": "commands/test_several_outputs.py",
}


# --- the sentences in the source ------------------------------------------------------------------


def texts(node: ast.AST) -> Iterator[str]:
    """All texts below a node, what is filled in as {}; not docstrings, and not of assertions."""
    if isinstance(node, ast.Assert | ast.Expr) and not isinstance(
        getattr(node, "value", None), ast.Call | ast.Yield | ast.Await
    ):
        return
    if isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        yield "".join(map(str, parts))
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    for child in ast.iter_child_nodes(node):
        inside_a_text = isinstance(node, ast.JoinedStr) and isinstance(child, ast.Constant)
        if not inside_a_text:
            yield from texts(child)


def sentences(file: Path) -> set[str]:
    return {
        text
        for text in texts(ast.parse(file.read_text()))
        if len(re.findall("[A-Za-z]{2,}", text.replace("{}", " "))) > 2 and " " in text
    }


@functools.cache
def pattern(sentence: str) -> re.Pattern[str]:
    """What finds a sentence, with a group for each thing that is filled in."""
    first, *parts = map(re.escape, sentence.strip("\n").split("{}"))
    found = ("^" if not first else "") + first
    for part in parts:
        found += "([^\n]*?)" + part
    return re.compile(found + ("$" if parts and not parts[-1] else ""), re.MULTILINE)


# --- what has happened ----------------------------------------------------------------------------


class State:
    """What lies in the folder of a run."""

    def __init__(self, folder: Path) -> None:
        self.files = {f.name: f.read_bytes() for f in folder.glob("*") if f.name != ".lock"}
        self.epochs, self.batches, self.settings = 0, 0, dict[str, Any]()
        if "last.npz" in self.files:
            try:
                record = record_of(SavedTraining(usable(folder)[0]))
                self.epochs, self.batches = record.history.epochs, record.history.batches
                self.settings = record.about
            except ValueError:
                self.epochs = -1
        text = self.files.get("history.csv", b"").decode()
        self.history = History.from_csv(text) if text.strip() else History()
        self.result = json.loads(self.files.get("result.json", b"{}"))


class Said:
    """A command, what it said, and what was there before and after."""

    def __init__(self, words: list[str], run: Path) -> None:
        self.words, self.run = words, run
        self.before = self.after = State(run)
        self.code, self.text = -1, ""

    def end(self, code: int, text: str) -> None:
        self.after, self.code, self.text = State(self.run), code, text

    def value(self, name: str) -> Any:
        """A setting of the run."""
        given = self.option(name)
        if given is None:
            return (self.after.settings or self.before.settings).get(name)
        try:
            return ast.literal_eval(given)
        except (ValueError, SyntaxError):
            return given

    def option(self, name: str) -> Any:
        word = f"--{name.replace('_', '-')}"
        return self.words[self.words.index(word) + 1] if word in self.words else None

    @property
    def test(self) -> tuple[np.ndarray, np.ndarray]:
        data = datasets.load(self.value("dataset"), task=self.value("task") or "classification")
        return data.x_test[:20], data.y_test[:20]

    def check(self) -> set[str]:
        """Check every sentence that was said; returns them."""
        told = set()
        for sentence, check in CHECKS.items():
            for match in pattern(sentence).finditer(self.text):
                verdict = check(self, *match.groups())
                assert verdict is None or verdict, (sentence, match[0], self.text)
                told.add(sentence)
        return told


class Left(BaseException):
    """The process would have ended."""


class Stage:
    """Runs commands in one folder, and checks all that they say."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch, capfd: Any) -> None:
        self.root, self.run, self.patch, self.capfd = root, root / "run", patch, capfd
        self.told: set[str] = set()
        self.at: dict[int, Callable[[Any], Any]] = {}  # after which step of the run, from 1

    def train(
        self, *words: str, code: int = 0, data: list[str] = DATA, out: str | None = "run"
    ) -> Said:
        given = [*data, *words, *(["--out", out] if out else [])]
        said = Said(given, self.run)
        steps, step = itertools.count(1), loop.TrainingLoop._step

        def stepped(this: Any, *arguments: Any) -> Any:
            value = step(this, *arguments)
            if isinstance(this.keeping, InFolder):  # not while kernels are compiled
                self.at.get(next(steps), lambda _: None)(this)
            return value

        def leave(number: int) -> None:
            raise Left(number)

        with self.patch.context() as patch:
            patch.setattr(loop.TrainingLoop, "_step", stepped)
            patch.setattr(os, "_exit", leave)
            self.capfd.readouterr()
            try:
                ended = entry.run("train", given)
            except Left as left:
                ended = left.args[0]
        said.end(ended, "".join(self.capfd.readouterr()))
        assert ended == code, said.text
        self.told |= said.check()
        self.at = {}
        return said

    def read(self, text: str | None) -> None:
        """Have a file of a run read in which that stands."""
        path = self.run / "result.json"
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
        said = Said([text or ""], self.root / "another")
        with pytest.raises(ValueError) as refusal:
            read_json(path)
        said.end(2, str(refusal.value))
        self.told |= said.check()

    def without_room_for(self, name: str, time: int = 1) -> None:
        """The disk is full when a file is written for the so-many-eth time."""
        replace, times = os.replace, iter(range(1, 100))

        def full(source: Any, target: Any) -> None:
            if Path(target).name == name and next(times) >= time:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            replace(source, target)

        self.patch.setattr(os, "replace", full)


def kill(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGINT)


def poison(loop: Any) -> None:
    loop.model.parameters.values[:] = np.nan


@pytest.fixture
def stage(tmp_path, monkeypatch, capfd) -> Stage:
    monkeypatch.chdir(tmp_path)
    # A picture takes longer than all else.
    monkeypatch.setattr(results, "_draw", lambda out, *_: (out / "curves.png").touch())
    return Stage(tmp_path, monkeypatch, capfd)


# --- the facts ------------------------------------------------------------------------------------


def same(said: Said) -> bool:
    return said.before.files == said.after.files


def refused(said: Said, code: int = 2) -> bool:
    return said.code == code and same(said)


def limited(said: Said, part: str, before: str, after: str) -> bool:
    data = datasets.load("digits")
    return (
        after == str(said.value(f"limit_{part.strip()}"))
        and before == f"{len(data.x_train if 'train' in part else data.x_test):,}"
    )


def frozen_are_random(said: Said) -> None:
    model = load_model(said.run / "best.npz")
    new = models.build(said.value("model"), seed=said.value("seed")).copy_arrays()
    assert model.frozen
    for path in model.frozen:
        for name, array in model.copy_arrays().items():
            if name.startswith(f"{path}."):
                np.testing.assert_array_equal(array, new[name])


def frozen_number(said: Said, number: str) -> bool:
    flat = load_model(said.run / "best.npz").parameters
    return number == f"{flat.count - flat.trained_count:,}" != "0"


def begins(said: Said, model: str, parameters: str, _frozen: str, images: str) -> bool:
    count = int(said.option("limit_train") or 64)
    count -= round(count * float(said.value("validation") or 0))
    if said.value("drop_last"):
        count -= count % said.value("batch_size")
    count *= 1 + (said.value("append") or 0)
    if said.value("model") not in (model, None) or int(images) != count:
        return False
    if "best.npz" not in said.after.files:
        return True
    return parameters == f"{load_model(said.run / 'best.npz').parameters.count:,}"


def ended(said: Said, why: str, epochs: str, *_: str) -> bool:
    history, result = said.after.history, said.after.result
    count = int(epochs.split()[0])
    reasons = {
        "all epochs done": count == said.value("epochs"),
        "early stopping": count < said.value("epochs"),
        "gain under the threshold": count < said.value("epochs"),
        "time is up": said.value("minutes") is not None,
        "interrupted": said.code in (130, 143),
        "diverged": said.code == 3,
    }
    return (
        reasons[why]
        and history.epochs == count
        and ("before" in said.text or result["stopped_because"] == why)
    )


SCORES = {
    "classification": "test accuracy {:.2%}",
    "multilabel": "exact match {:.2%}",
    "regression": "R2 {:.4f}",
}


def shown_epoch(said: Said, which: str, epoch: str, loss: str, score: str) -> bool:
    history, number = said.after.history, int(epoch)
    validated = "val_loss" in history
    losses = history["val_loss"] if validated else []
    right = losses.index(min(losses)) + 1 if validated else history.epochs
    network = load_model(said.run / "best.npz").evaluate(*said.test)
    return (
        (which, number) == ("best" if validated else "last", right)
        and said.after.result["best_epoch"] == number
        and (loss, score.split(", ")[0])
        == (f"{network[0]:.4f}", SCORES[said.value("task")].format(network[1]))
    )


def diverged(said: Said, _what: str, epoch: str, _batch: str, _advice: str, kept: str) -> bool:
    number = int(kept.split()[-1]) if "epoch" in kept else 0
    saved = said.after.history.epochs if not same(said) else 0
    return (
        said.code == 3
        and number <= saved
        and int(epoch) == (saved or (said.before.epochs if "--resume" in said.words else 0)) + 1
        and ("best.npz" in said.after.files) == bool(number or said.before.files)
    )


def schedule_is(said: Said, epochs: str, was: str, last: str, done: str, first: str, at: str,
                end: str, final: str) -> bool:  # fmt: skip
    rates = said.after.history["lr"]
    return (
        int(epochs) == int(final) == len(rates)
        and int(was) == said.before.settings["epochs"]
        and int(done) == said.before.epochs == int(at) - 1
        and last == f"{rates[int(done) - 1]:.3g}"
        and first == f"{rates[int(at) - 1]:.3g}"
        and end == f"{rates[-1]:.3g}"
    )


def parts_of(said: Said, trained: str, validated: str) -> bool:
    share = round(64 * float(said.value("validation")))
    return (int(trained), int(validated)) == (64 - share, share)


def changes_named(said: Said, _folder: str, told: str, _advice: str) -> bool:
    named = re.findall(r"(\w+) (\S+), now (\S+)", told)
    return (
        bool(named)
        and refused(said)
        and all(
            said.before.settings[name] == ast.literal_eval(was.rstrip(","))
            for name, was, _ in named
        )
    )


def held_by_nobody_else(said: Said, _folder: str) -> bool:
    return refused(said) and (said.run / ".lock").exists()


CHECKS: dict[str, Callable[..., bool | None]] = {
    # before training
    "replace needs the folder of a run that is not resumed: give out": refused,
    "--allow is for a run that goes on: give --resume, or leave it out": refused,
    "resuming the run after {}": lambda said, where: (
        [*map(int, re.findall("[0-9]+", where))]
        in ([said.before.epochs], [said.before.batches, said.before.epochs + 1])
    ),
    "batch {} of epoch {}": lambda said, batch, epoch: (
        int(batch) > 0 < int(epoch) if (batch + epoch).isdecimal() else None
    ),
    "the run goes on from {}, which holds {} epochs": lambda said, name, epochs: (
        int(epochs) == said.before.epochs and (said.run / name).is_file()
    ),
    "keep must be from 1 to {} checkpoints, got {}": lambda said, _, got: (
        refused(said) and got == said.option("keep")
    ),
    "save_minutes must be at least 0 and finite, got {}": lambda said, got: (
        refused(said) and float(got) == float(said.option("save-minutes"))
    ),
    "dataset {} loaded in {} s: {}": lambda said, name, *_: name in said.value("dataset"),
    "  {} images before limit {}, after {}": limited,
    "  val   images {}, validated on": lambda said, shape: (
        shape.startswith(str(datasets.load(said.option("dataset")).x_val.shape))
        and "val_loss" in said.after.history
    ),
    "  train images trained on {}, validated on {}": parts_of,
    "frozen layers keep their random weights; init_from loads learned ones": frozen_are_random,
    " ({} of them frozen)": frozen_number,
    "training {}, {} parameters{}, on {} images": begins,
    "interrupted before the work began": lambda said: said.code == 130 and same(said),
    # the folder
    "remove it, or train again": lambda said: "is damaged" in said.text,
    "{} is damaged: it lacks its best epoch's arrays": lambda said, _: refused(said),
    "it does not hold names and values": lambda said: '["a list"]' in said.words,
    "{} cannot be read: {}": lambda said, path, _: not Path(path).exists(),
    "{} is damaged: it is nested too deep; {}": lambda said, path, _: (
        Path(path).read_text().count("[") > 1000
    ),
    "there is no run to resume in {}: it has no {}": lambda said, where, name: (
        refused(said) and not (said.run / name).exists()
    ),
    "there is no run to resume in {}: name its folder with --out": lambda said, where: (
        refused(said) and not list(Path().glob(f"{where}/*/last.npz"))
    ),
    "{} holds all {} epochs, and {} writes the rest, once that can be written": (
        lambda said, _, epochs, how: (
            said.code == 1 and said.after.epochs == int(epochs) and how == "--resume --out run"
        )
    ),
    "{} is the folder of a search: give the run another one": lambda said, _: (
        refused(said) and "search.toml" in said.before.files
    ),
    "choose another folder, or replace it with --replace": refused,  # tried in the scenes
    "{} holds an interrupted run: continue it with --resume, {}": lambda said, *_: (
        said.before.result["stopped_because"] == "interrupted"
    ),
    "{} holds a finished run: {}, go on with it by --resume and more --epochs": lambda said, *_: (
        said.before.result["stopped_because"] in ("all epochs done", "early stopping")
        and said.before.epochs > 0
    ),
    "{} holds a run of {}: {}": lambda said, _, count, __: (
        int(count.split()[0]) == said.before.history.epochs and "last.npz" not in said.before.files
    ),
    "go on from there with another rate by --resume --allow lr and --lr": refused,
    "{} holds a run that diverged after {}: {}, {}": lambda said, _, count, *__: (
        said.before.result["stopped_because"] == "diverged"
        and int(count.split()[0]) == said.before.history.epochs == said.before.epochs
    ),
    "{} holds a run whose {} cannot be read: {}": lambda said, *_: said.before.epochs == -1,
    "{} holds an unfinished run of {}: continue it with --resume, {}": lambda said, _, count, __: (
        int(count.split()[0]) == said.before.epochs and not said.before.result
    ),
    "{} holds a run within its first epoch: continue it with --resume, {}": lambda said, *_: (
        said.before.epochs == 0 < said.before.batches
    ),
    "{} holds what is left of a run: {}": lambda said, *_: (
        ("last.npz" not in said.before.files and {"best.npz", "history.csv"} & {*said.before.files})
        != set()
    ),
    "a file, not a folder": lambda said: refused(said),
    "the folder {} cannot be written to: {}": lambda said, path, _: refused(said),
    "another process is at work in {}: wait for its end, or choose another folder": (
        held_by_nobody_else
    ),
    "{} cannot be written: {}": lambda said, *_: said.code == 1,
    # going on
    "the run in {} had {}; {}": changes_named,
    "{} cannot be changed within a run; what can are {}": lambda said, name, may: (
        refused(said) and name.split()[-1] not in may.split(", ")
    ),
    "{} cannot change within a run: give the same, or begin anew": lambda said, _: refused(said),
    "give the same, or allow what may change: {}": lambda said, _: refused(said),
    "the schedule is now one of {} epochs, not {}: the rate, {} at the end of epoch {}, is {} at "
    "the start of epoch {} and {} at the end of epoch {}": schedule_is,
    # while it trains
    "the training loss {} is still that of guessing, ln {} = {}: if this lasts, try another "
    "learning rate, and check that labels and images belong together": lambda said, value, k, ln: (
        abs(float(value) - np.log(int(k))) < 0.02 * np.log(int(k)) and ln == f"{np.log(int(k)):.4f}"
    ),
    "the training loss {} is far above that of guessing, ln {} = {}: the learning rate {} is "
    "probably too high": lambda said, value, k, _, rate: (
        float(value) > 2 * np.log(int(k)) and float(rate) == said.value("lr")
    ),
    "the last batch of each epoch has {}, too few for BatchNorm's statistics; drop_last leaves it "
    "out": lambda said, images: (
        int(images.split()[0]) == int(said.option("limit_train")) % said.value("batch_size")
    ),
    "{} images: {}, and {} of each": lambda said, all_, each, copies: (
        int(all_.split()[-1]) == int(each) * (1 + int(copies.split()[0]))
    ),
    "with other settings the run goes on from {}, without the {} made after it": (
        lambda said, end, made: (
            int(re.findall("[0-9]+", end)[0]) == said.before.epochs
            and int(made.split()[0]) == said.before.batches
        )
    ),
    "1 batch that was": lambda said: said.before.batches == 1,
    "{} batches that were": lambda said, count: int(count.split()[-1]) == said.before.batches,
    "saving after this batch": lambda said: said.after.epochs > 0,
    "stopping after this batch (once more: at once)": lambda said: said.code in (130, 143),
    "interrupted at once": lambda said: said.code == 130,
    # how it ends
    "{}: {} in {} s, {} s per epoch, {} images/s": ended,
    "all epochs done": lambda said: said.code == 0,
    "gain under the threshold": lambda said: said.code == 0,
    "time is up": lambda said: said.code == 0 and said.value("minutes") is not None,
    "{} s of {} s since the start": lambda said, spent, whole: (
        float(whole) == pytest.approx(60 * said.value("minutes"))
        and said.after.result["seconds_total"] < float(spent) + 0.1
    ),
    "{} epoch {}: test loss {}, {}": shown_epoch,
    "mean absolute error": lambda said: said.value("task") == "regression",
    "the pictures could not be drawn: {}": lambda said, _: (
        {"best.npz", "result.json"} <= {*said.after.files} and "curves.png" not in said.after.files
    ),
    "the end of epoch {}": lambda said, epoch: (
        int(re.findall("[0-9]+", epoch)[0]) <= said.after.epochs
    ),
    "{} in epoch {}, batch {}: {}; the model keeps its parameters from {}": diverged,
    "the parameters became infinite or NaN": lambda said: said.code == 3,
    "the {} loss became infinite or NaN": lambda said, part: said.code == 3,
    "the loss became {}": lambda said, value: said.code in (2, 3) and value[:3] in ("inf", "nan"),
    "a gradient became infinite or NaN": lambda said: said.code == 3,
    "the learning rate {} is probably too high, try {}": lambda said, rate, other: (
        float(rate) == said.value("lr") == pytest.approx(10 * float(other.split(";")[0]))
    ),
    "no step has been made yet: look at what the network begins with, and the data": (
        lambda said: said.code == 3 and said.after.epochs == 0
    ),
    "no step has been made yet, and the network itself gives infinite numbers or NaN: look at "
    "what it begins with, and the data": lambda said: said.code == 3 and said.after.epochs == 0,
    "the gradient of {} became infinite or NaN": lambda said, name: (
        said.code == 3 and said.after.epochs == 0 and name.endswith(".bias")
    ),
    "the network in {} cannot be trained: {} before any step": lambda said, *_: refused(said),
    "{} holds the run up to epoch {}, and {} goes on there, once the next can be written": (
        lambda said, _, epoch, how: (
            said.code == 1 and said.after.epochs == int(epoch) and how == "--resume --out run"
        )
    ),
    "no epoch is saved": lambda said: said.code == 1 and said.after.epochs == 0,
    "before an epoch was finished: the run in {} is as it was": lambda said, _: (
        said.code in (130, 143) and same(said) and said.before.files != {}
    ),
    "to continue after {}: {} --resume --out {}": lambda said, where, _, out: (
        [*map(int, re.findall("[0-9]+", where))]
        in ([said.after.epochs], [said.after.batches, said.after.epochs + 1])
        and Path(out) == Path("run")
    ),
}


# --- runs in which they are said ------------------------------------------------------------------

Scene = Callable[[Stage], None]
SCENES: dict[Scene, set[str]] = {}


def says(*beginnings: str) -> Callable[[Scene], Scene]:
    """What a scene must make a run say: the beginnings of sentences, as in CHECKS."""

    def marked(scene: Scene) -> Scene:
        found = [{s for s in CHECKS if s.startswith(each)} for each in beginnings]
        assert all(found), beginnings
        SCENES[scene] = set().union(*found)
        return scene

    return marked


@says(
    "dataset {}", "  {} images before", "  train images", "training {}", "all epochs",
    "{}: {} in {} s", "{} epoch {}: test", "{} holds a finished", "choose another",
    "{} holds a run of",
)  # fmt: skip
def a_run_that_ends(stage: Stage) -> None:
    stage.train("--epochs", "3", "--validation", "0.2")
    stage.train("--epochs", "1", code=2)
    (stage.run / "last.npz").unlink()
    (stage.run / "last-1.npz").unlink()
    stage.train("--epochs", "1", code=2)
    stage.train("--epochs", "1", "--replace")


@says("{} epoch {}: test", "{}: {} in {} s")
def a_run_that_stops_early(stage: Stage) -> None:
    words = ["--validation", "0.2", "--patience", "1", "--epochs", "9", "--min-gain", "0.5"]
    assert "early stopping: 2 epochs" in stage.train(*words).text


@says("gain under the threshold")
def a_run_that_gains_little(stage: Stage) -> None:
    stage.train("--epochs", "9", "--stop-gain", "0.9", "--stop-gain-epochs", "1")


@says("time is up", "{} s of {} s since")
def a_run_of_some_minutes(stage: Stage) -> None:
    stage.patch.setattr("fastcnn.runs.run._SECONDS_PICTURES", 0)
    stage.train("--minutes", "0.01")


@says("resuming the run", "the schedule is now")
def a_run_that_goes_on(stage: Stage) -> None:
    stage.train("--epochs", "2", "--schedule", "cosine")
    stage.train("--resume", "--epochs", "4", data=[])


@says("the run in {} had {}; {}", "{} cannot be changed", "{} cannot change", "give the same, or a")
def a_run_that_would_be_another(stage: Stage) -> None:
    stage.train("--epochs", "1")
    stage.train("--resume", "--lr", "0.3", code=2)
    stage.train("--resume", "--seed", "1", "--batch-size", "7", code=2)
    stage.train("--resume", "--seed", "1", "--allow", "seed", code=2)


@says("stopping after", "to continue after", "{} holds an interrupted", "resuming the run",
      "before an epoch", "batch {} of epoch", "1 batch that was", "{} batches that were",
      "with other settings")  # fmt: skip
def an_interruption(stage: Stage) -> None:
    stage.at = {3: kill}
    stage.train("--epochs", "2", code=130)
    stage.train("--epochs", "2", code=2)
    stage.at = {1: kill}
    stage.train("--epochs", "2", "--replace", code=130)
    stage.at = {1: kill}
    stage.train("--resume", code=130)
    stage.train("--resume", "--epochs", "3")
    stage.at = {1: kill}
    stage.train("--resume", "--epochs", "4", code=130)
    stage.train("--resume", "--epochs", "5")


@says("{} holds a run within")
def an_interruption_at_the_start(stage: Stage) -> None:
    stage.at = {1: kill}
    stage.train("--epochs", "2", code=130)
    stage.train("--epochs", "2", code=2)
    stage.at = {1: kill}
    stage.train("--resume", code=130)
    stage.train("--resume")


@says("interrupted at once", "interrupted before")
def an_interruption_twice(stage: Stage) -> None:
    stage.at = {1: lambda _: [kill(), kill()]}
    stage.train("--epochs", "2", code=130)
    with stage.patch.context() as patch:
        patch.setattr("fastcnn.runs.images.load_data", kill)
        stage.train("--epochs", "2", code=130)


@says("{} holds an unfinished", "{} holds a run whose", "{} holds what is left")
def what_a_killed_run_has_left(stage: Stage) -> None:
    stage.train("--epochs", "2")
    (stage.run / "result.json").unlink()
    stage.train("--epochs", "2", code=2)
    for name in ("last.npz", "last-1.npz"):
        (stage.run / name).write_bytes(b"damaged")
    stage.train("--epochs", "2", code=2)
    for name in ("last.npz", "last-1.npz"):
        (stage.run / name).unlink()
    stage.train("--epochs", "2", code=2)


@says("saving after this batch")
def a_batch_system_that_warns(stage: Stage) -> None:
    stage.at = {1: lambda _: os.kill(os.getpid(), signal.SIGUSR1)}
    stage.train("--epochs", "1")


@says("the run goes on from", "keep must", "save_minutes must")
def a_checkpoint_that_is_damaged(stage: Stage) -> None:
    stage.train("--keep", "101", code=2)
    stage.train("--save-minutes", "-1", code=2)
    stage.train("--epochs", "2")
    (stage.run / "last.npz").write_bytes(b"damaged")
    stage.train("--resume", "--epochs", "3")


@says("there is no run to resume in {}: it", "there is no run to resume in {}: name",
      "replace needs", "--allow is for", "{} is the folder of a search",
      "another process")  # fmt: skip
def a_folder_with_something_else(stage: Stage) -> None:
    stage.train("--resume", code=2)
    stage.train("--resume", code=2, out=None)
    stage.train("--replace", code=2, out=None)
    stage.train("--allow", "lr", code=2)
    stage.run.mkdir()
    with Hold(stage.run):
        stage.train("--epochs", "1", code=2)
    (stage.run / "search.toml").touch()
    stage.train("--epochs", "1", code=2)


@says("a file, not", "the folder {}")
def a_file_in_its_place(stage: Stage) -> None:
    stage.run.touch()
    stage.train("--epochs", "1", code=2)


@says("no epoch is", "{} cannot be written")
def a_full_disk_at_once(stage: Stage) -> None:
    stage.without_room_for("last.npz")
    stage.train("--epochs", "2", code=1)


@says("{} holds the run up to")
def a_full_disk_later(stage: Stage) -> None:
    stage.without_room_for("last.npz", 3)
    stage.train("--epochs", "2", code=1)


@says("{} holds all {} epochs", "resuming the run")
def a_full_disk_at_the_end(stage: Stage) -> None:
    with stage.patch.context() as stage.patch:
        stage.without_room_for("history.csv")
        stage.train("--epochs", "2", code=1)
    stage.train("--resume", "--epochs", "3")


@says("the pictures could not")
def no_pictures(stage: Stage) -> None:
    def broken(*_: Any) -> None:
        raise ImportError("no module named fonts")

    stage.patch.setattr(results, "_draw", broken)
    stage.train("--epochs", "1")


@says("it does not hold", "{} is damaged: it is nested", "{} cannot be read",
      "remove it, or")  # fmt: skip
def files_that_cannot_be_read(stage: Stage) -> None:
    stage.run.mkdir()
    for text in ('["a list"]', "[" * 100_000, None):
        stage.read(text)


@says("{} is damaged: it lacks")
def a_checkpoint_that_lacks_something(stage: Stage) -> None:
    stage.train("--epochs", "1", "--validation", "0.2")
    read = SavedTraining.__init__

    def without(self: SavedTraining, path: Path) -> None:
        read(self, path)
        self.best_arrays = {}

    stage.patch.setattr(SavedTraining, "__init__", without)
    stage.train("--resume", "--epochs", "2", code=2)


@says("the loss became", "{} in epoch {}, batch", "the learning rate", "the end of epoch",
      "{} holds a run that diverged", "go on from there")  # fmt: skip
def a_loss_that_is_none(stage: Stage) -> None:
    stage.train("--epochs", "2", "--lr", "1e30", code=3)
    stage.at = {3: poison}
    stage.train("--epochs", "2", code=3)  # nothing had to be replaced
    stage.train("--epochs", "2", code=2)
    stage.train("--replace", "--lr", "1e30", code=3)
    stage.train("--resume", "--allow", "lr", "--lr", "0.001", data=[])


@says("the parameters became")
def parameters_that_are_none(stage: Stage) -> None:
    stage.at = {2: poison}
    stage.train("--epochs", "2", code=3)


@says("a gradient became", "no step has been made yet:")
def a_gradient_that_is_none(stage: Stage) -> None:
    stage.patch.setattr("fastcnn.training.settings.Clipping.shorten", lambda *_: False)
    stage.train("--epochs", "2", code=3)


@says("the gradient of {} became", "no step has been made yet:")
def a_gradient_of_an_array_that_is_none(stage: Stage) -> None:
    backward = Network.backward_training

    def spoilt(self: Network, *given: Any) -> None:
        backward(self, *given)
        self.layers[-1].grads["bias"][0] = np.nan

    stage.patch.setattr(Network, "backward_training", spoilt)
    stage.train("--epochs", "2", code=3)


@says("no step has been made yet, and the network itself")
def outputs_that_are_none(stage: Stage) -> None:
    forward = Network.forward_training

    def spoilt(self: Network, *given: Any) -> Any:
        return forward(self, *given) * np.float32(np.nan)

    stage.patch.setattr(Network, "forward_training", spoilt)
    stage.train("--epochs", "2", code=3)


@says("the network in {} cannot")
def a_network_of_absurd_numbers(stage: Stage) -> None:
    stage.train("--epochs", "1")
    for name, number in (("normal", 1e-2), ("large", 3e38), ("endless", np.inf)):
        header, groups = checkpoint.read(stage.run / "best.npz")
        groups["model"]["0.weight"] = groups["model"]["0.weight"] * 0 + np.float32(number)
        checkpoint.write(stage.root / f"{name}.npz", header, groups)
        words = ["--epochs", "1", "--init-from", f"{name}.npz", "--replace"]
        said = stage.train(*words, code=0 if name == "normal" else 2)
        assert ("holds infinite numbers or NaN in 0.weight" in said.text) == (name == "endless")


@says("the {} loss became")
def a_validation_that_is_none(stage: Stage) -> None:
    row = {"loss": float("nan"), "accuracy": 0.0}
    stage.patch.setattr(loop.TrainingLoop, "_measure", lambda *_: row)
    stage.train("--epochs", "2", "--validation", "0.2", code=3)


def own(stage: Stage, name: str, share: float, **more: Any) -> list[str]:
    """Options for images that are darker than the digits."""
    digits = datasets.load("digits")
    x, y = (digits.x_train[:84] * share).astype(np.uint8), digits.y_train[:84]
    parts = {"x_train": x[:64], "y_train": y[:64], "x_test": x[64:], "y_test": y[64:]}
    np.savez(stage.root / f"{name}.npz", **parts, **more)
    return ["--dataset", str(stage.root / f"{name}.npz")]


@says("{} epoch {}: test", "mean absolute error", "resuming the run")
def numbers_and_several_labels(stage: Stage) -> None:
    digits = datasets.load("digits")
    x = digits.x_train[:84]
    ink = x.mean(axis=(1, 2, 3)) / 255
    for task, y in (("regression", ink), ("multilabel", np.stack([ink > 0.1, ink > 0.2], 1))):
        parts = {"x_train": x[:64], "y_train": y[:64], "x_test": x[64:], "y_test": y[64:]}
        np.savez(stage.root / "own.npz", **parts)
        data = ["--dataset", str(stage.root / "own.npz"), "--task", task]
        stage.train("--epochs", "1", "--replace", data=data)
        stage.train("--epochs", "2", "--resume", data=[])


@says("the training loss {} is still")
def black_images(stage: Stage) -> None:
    stage.train("--epochs", "2", data=own(stage, "black", 0))


@says("the training loss {} is far")
def a_rate_too_high(stage: Stage) -> None:
    stage.train("--epochs", "1", "--lr", "2")


@says("  val   images")
def a_part_to_validate_on(stage: Stage) -> None:
    digits = datasets.load("digits")
    parts = {"x_val": digits.x_train[90:100], "y_val": digits.y_train[90:100]}
    stage.train("--epochs", "1", data=own(stage, "parts", 1, **parts))


@says("the last batch", "{} images: {}, and")
def batches_and_copies(stage: Stage) -> None:
    data = ["--dataset", "digits", "--limit-train", "65", "--limit-test", "20"]
    stage.train("--epochs", "1", "--norm", "batch", data=data)
    stage.train("--epochs", "1", "--append", "2", "--shift", "1", "--replace")


@says("frozen", " ({} of them")
def frozen_layers(stage: Stage) -> None:
    stage.train("--epochs", "1", "--freeze", "1")


# --- the tests ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_what_is_said_is_so(scene: Scene, stage: Stage) -> None:
    scene(stage)
    assert SCENES[scene] <= stage.told


def test_every_sentence_is_said_and_checked() -> None:
    found = set().union(*(sentences(ROOT / "fastcnn" / file) for file in FILES)) - NO_SENTENCE
    found = {sentence.strip("\n") for sentence in found}
    assert found - {*ELSEWHERE} - {*CHECKS} == set(), "a sentence without a check"
    assert {*CHECKS} | {*ELSEWHERE} <= found, "a sentence that is not said any more"
    assert {*CHECKS} == set().union(*SCENES.values()), "a sentence that no scene says"


@pytest.mark.parametrize("sentence", ELSEWHERE)
def test_what_is_tested_elsewhere_is(sentence: str) -> None:
    text, words = (ROOT / "tests" / ELSEWHERE[sentence]).read_text(), sentence.split()
    assert any(" ".join(words[at : at + 3]) in text for at in range(len(words) - 2))


def test_a_sentence_is_found_in_the_source() -> None:
    source = '''
"""Not this docstring of many words."""
def f(x):
    """Nor this one of many words."""
    assert x, "nor what is asserted here"
    say(f"one of {x} words" if x else "another one is here")
    raise ValueError("two words" f" and {f'five more words inside {x}'} of them")
'''
    assert {text for text in texts(ast.parse(source)) if " " in text} == {
        "one of {} words", "another one is here", "two words and {} of them",
        "five more words inside {}",
    }  # fmt: skip
