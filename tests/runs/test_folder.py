"""The folder of a run: who may work in it, and what is never lost in it."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from fastcnn import evaluate, load_model
from fastcnn.commands.train import main
from fastcnn.config import Config, replace
from fastcnn.holding import HeldError, Hold
from fastcnn.runs.folder import RunFolder, free_folder
from fastcnn.runs.run import Run
from fastcnn.search import main as search_main
from fastcnn.training.checkpoint import SavedTraining, record_of
from fastcnn.training.history import History
from fastcnn.training.record import Record
from tests.full_disk import limit_files

from ..training.test_resuming import edited

pytestmark = pytest.mark.usefixtures("undrawn")
SMALL = ["--dataset", "digits", "--limit-train", "64", "--limit-test", "20", "--quiet"]
LONG = "import sys; from fastcnn.holding import Hold; from pathlib import Path\n"
LONG += "hold = Hold(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    assert main([*SMALL, "--epochs", "2", "--out", str(folder)]) == 0
    return contents(folder)


@pytest.fixture
def run(finished, tmp_path):
    """A folder with a finished run of two epochs."""
    for name, content in finished.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_a_finished_run_is_refused_and_left_alone(run, finished, capsys):
    assert main([*SMALL, "--epochs", "1", "--out", str(run)]) == 2
    assert "holds a finished run: choose another folder, or replace it" in capsys.readouterr().err
    assert contents(run) == finished


def test_what_diverges_at_once_replaces_nothing(run, finished, capsys):
    assert main([*SMALL, "--lr", "1e30", "--out", str(run), "--replace"]) == 3
    assert contents(run) == finished


def test_what_is_interrupted_before_an_epoch_replaces_nothing(run, finished):
    settings = {
        "dataset": "digits",
        "model": "mnist-baseline",
        "limit_train": 64,
        "limit_test": 20,
        "epochs": 2,
    }
    other = Run(replace(Config(), {**settings, "seed": 5}), run, replace=True, quiet=True)
    other.prepare()
    assert other.train(lambda: True)["stopped_because"] == "interrupted"
    assert other.is_kept
    assert contents(run) == finished


def test_a_replaced_run_leaves_nothing_behind(run, finished):
    (run / "gradients.csv").write_text("of the earlier run")
    assert main([*SMALL, "--epochs", "2", "--seed", "5", "--out", str(run), "--replace"]) == 0
    assert sorted(contents(run)) == sorted(name for name in finished if ".png" not in name)
    assert json.loads((run / "result.json").read_text())["seed"] == 5


def test_as_many_checkpoints_are_kept_as_are_wanted(run):
    def kept():
        return {path.name: epochs_of(path) for path in run.glob("last*.npz")}

    def epochs_of(path):
        return record_of(SavedTraining(path)).history.epochs

    assert kept() == {"last.npz": 2, "last-1.npz": 1}
    argv = ["--resume", "--quiet", "--out", str(run)]
    assert main([*argv, "--epochs", "4", "--keep", "3"]) == 0
    assert kept() == {"last.npz": 4, "last-1.npz": 3, "last-2.npz": 2}
    (run / "last.npz").write_bytes((run / "last.npz").read_bytes()[:-9])  # a damaged one counts not
    assert main([*argv, "--epochs", "5", "--keep", "3"]) == 0
    assert kept() == {"last.npz": 5, "last-1.npz": 4, "last-2.npz": 3}
    assert main([*argv, "--epochs", "6", "--keep", "1"]) == 0
    assert kept() == {"last.npz": 6}


def test_other_settings_of_a_resumed_run_are_refused_before_anything_is_written(
    run, finished, capsys
):
    for options, told in (
        (["--lr", "0.3"], "had lr 0.01, now 0.3; give the same, or allow what may change: --allow"),
        (["--batch-size", "8", "--lr", "0.3"], "batch_size 32, now 8, lr 0.01, now 0.3"),
        (["--validation", "0.2"], "validation 0.0, now 0.2; validation cannot change"),
        (["--monitor", "val_accuracy"], "monitor 'val_loss', now 'val_accuracy'"),
        (["--limit-train", "60"], "limit_train 64, now 60"),
        (["--seed", "1"], "seed 42, now 1"),
        (["--normalization", "scale256"], "now 'scale256'; normalization cannot change"),
        (["--epochs", "1"], "epochs 2, now 1"),
        (["--ema", "0.9"], "ema None, now 0.9; ema cannot change"),
        (["--allow", "seed", "--seed", "1"], "seed cannot be changed within a run"),
    ):
        argv = ["--resume", "--quiet", "--out", str(run), "--epochs", "3", *options]
        assert main(argv) == 2, options
        error = capsys.readouterr().err
        assert told in error and len(error.splitlines()) == 1
        assert contents(run) == finished


def test_a_run_from_before_there_was_a_setting_had_its_default(run, capsys):
    def older(header, _):
        for name in ("class_weight", "ema", "mixup"):
            del header["training"]["state"]["about"][name]

    edited(run / "last.npz", older)
    argv = ["--resume", "--out", str(run), "--epochs", "3", "--quiet"]
    assert main([*argv, "--class-weight", "balanced"]) == 2
    assert "class_weight 'none', now 'balanced'" in capsys.readouterr().err
    assert main(argv) == 0


def test_what_is_allowed_stands_in_the_result(run):
    argv = ["--resume", "--out", str(run), "--epochs", "3", "--lr", "0.3", "--threads", "1"]
    assert main([*argv, "--allow", "lr", "--quiet"]) == 0
    changes = json.loads((run / "result.json").read_text())["changes"]
    assert {"epoch": 3, "setting": "lr", "before": 0.01, "after": 0.3} in changes
    assert main(["--resume", "--out", str(run), "--epochs", "4", "--quiet"]) == 0
    history = History.from_csv((run / "history.csv").read_text())
    assert history["lr"] == [0.01, 0.01, 0.3, 0.3]


def test_folders_without_a_name_are_numbered_and_the_newest_is_resumed(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for _ in range(3):
        assert main([*SMALL, "--epochs", "1"]) == 0
    names = sorted(folder.name for folder in (tmp_path / "runs").iterdir())
    assert names == [f"mnist-baseline-digits{end}" for end in ("", "-2", "-3")]
    assert main(["--resume", "--epochs", "2"]) == 0
    assert "results in runs/mnist-baseline-digits-3" in capsys.readouterr().out
    assert main(["--resume", "--model", "lab-cnn"]) == 2
    assert "there is no run to resume in runs" in capsys.readouterr().err


def test_a_folder_belongs_to_one_process(tmp_path, capsys):
    with subprocess.Popen(
        [sys.executable, "-c", LONG, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        assert main([*SMALL, "--epochs", "1", "--out", str(tmp_path)]) == 2
        assert "another process is at work in" in capsys.readouterr().err
        other.send_signal(signal.SIGKILL)
    assert main([*SMALL, "--epochs", "1", "--out", str(tmp_path)]) == 0
    assert not (tmp_path / ".lock").exists()


def test_a_hold_is_exclusive_and_clears_what_a_killed_one_left(tmp_path):
    for name in (".last.npz.12.tmp", ".last.npz.x.tmp", ".other.12.tmp"):
        (tmp_path / name).write_text("half")
    with Hold(tmp_path, ("last.npz",)):
        assert sorted(contents(tmp_path)) == [".last.npz.x.tmp", ".lock", ".other.12.tmp"]
        with pytest.raises(HeldError, match=re.escape(str(tmp_path))):
            Hold(tmp_path)
    Hold(tmp_path).release()


def test_a_folder_that_is_shared_belongs_to_those_who_share_it(tmp_path, monkeypatch):
    half = tmp_path / ".plan.12.tmp"
    half.write_text("half")
    with Hold(tmp_path, ("plan",), shared=True) as first:
        assert not half.exists()
        half.write_text("of one who is at work")
        second = Hold(tmp_path, ("plan",), shared=True)
        assert half.exists()
        first.release()
        with pytest.raises(HeldError):
            Hold(tmp_path)
        second.release()
    assert contents(tmp_path) == {".plan.12.tmp": b"of one who is at work"}
    monkeypatch.setattr("fastcnn.holding._MOMENT", 200.0)  # however long this process is held
    with Hold(tmp_path) as alone:
        threading.Timer(0.1, alone.release).start()  # what is over in a moment is waited for
        Hold(tmp_path, shared=True).release()


def test_who_was_held_while_waiting_looks_once_more(tmp_path, monkeypatch):
    """The folder is free by then: the moment is over, but nobody has looked since."""
    alone, now = Hold(tmp_path), [0.0]

    def look(self, *arguments):
        is_free = take(self, *arguments)
        if not is_free:
            now[0] += 3600
            alone.release()
        return is_free

    take = Hold._take
    monkeypatch.setattr(Hold, "_take", look)
    clock = types.SimpleNamespace(monotonic=lambda: now[0], sleep=lambda _: None)
    monkeypatch.setattr("fastcnn.holding.time", clock)
    Hold(tmp_path, shared=True).release()
    assert now == [3600]


def test_a_search_and_a_run_never_share_a_folder(tmp_path, capsys, monkeypatch):
    pytest.importorskip("optuna")
    monkeypatch.setattr("fastcnn.holding._MOMENT", 0.0)
    search = [*SMALL, "--epochs", "1", "--validation", "0.2", "--search", "lr=0.1,0.2", "--out"]
    with Hold(tmp_path):  # as a run has it in its first epoch
        assert search_main([*search, str(tmp_path)]) == 2
        assert "another process is at work in" in capsys.readouterr().err
        assert list(contents(tmp_path)) == [".lock"]
    with Hold(tmp_path, shared=True):  # as a search has it before there is anything to see
        assert main([*SMALL, "--epochs", "1", "--out", str(tmp_path)]) == 2
        assert "another process is at work in" in capsys.readouterr().err
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("limit", [500, 100_000])
def test_a_full_disk_is_told_with_what_is_kept(tmp_path, limit):
    command = [sys.executable, "-m", "fastcnn.train", *SMALL, "--epochs", "1", "--out", tmp_path]
    done = subprocess.run(
        command, capture_output=True, text=True, preexec_fn=partial(limit_files, limit)
    )
    assert done.returncode == 1
    assert "last.npz cannot be written: File too large; no epoch is saved" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not any(name.endswith(".tmp") for name in contents(tmp_path))


def test_an_unfinished_run_has_no_network_yet(run, capsys):
    for name in ("result.json", "best.npz"):
        (run / name).unlink()
    assert evaluate.main([str(run)]) == 2
    said = capsys.readouterr().err
    assert "no best.npz: the model is not known before the run has come to its end" in said
    (run / "last.npz").unlink()
    (run / "last-1.npz").unlink()
    assert evaluate.main([str(run)]) == 2
    assert capsys.readouterr().err.endswith("no best.npz: the model is not known\n")


def test_settings_never_stand_beside_the_network_of_another_run(run, monkeypatch):
    """Whenever the process is killed: the settings of the new one come when the old files went."""
    written = []

    def writing(path, text):
        written.append((path.name, sorted(name for name in contents(run) if name[0] != ".")))

    monkeypatch.setattr("fastcnn.runs.folder.write_text", writing)
    folder = RunFolder(run, replace=True)
    assert folder.save(1, lambda path: None, "settings")
    folder.release()
    assert written == [("config.toml", ["config.toml", "last.npz"])]


@pytest.mark.pictures
@pytest.mark.parametrize("is_quiet", [False, True])
def test_a_run_ends_with_its_result_where_no_picture_can_be_drawn(
    tmp_path, monkeypatch, capsys, is_quiet
):
    import fastcnn.plots

    def broken(*_):
        raise ImportError("no module named fonts")

    monkeypatch.setattr(fastcnn.plots, "curves", broken)
    words = SMALL if is_quiet else SMALL[:-1]
    assert main([*words, "--epochs", "1", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr()
    note = "note: the pictures could not be drawn: no module named fonts\n"
    assert (said.out, said.err) == ("", note) if is_quiet else note in said.out
    assert (tmp_path / "result.json").is_file()
    load_model(tmp_path / "best.npz")


def test_an_inherited_backend_that_is_not_there_does_not_matter(tmp_path):
    environment = {**os.environ, "MPLBACKEND": "module://nothing", "MPLCONFIGDIR": "/proc/none"}
    command = [sys.executable, "-m", "fastcnn.train", *SMALL, "--epochs", "1"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert {"curves.png", "predictions.png", "result.json"} <= set(contents(tmp_path))


def test_the_record_of_a_run_is_read_back(run):
    record = Record(SavedTraining(run / "last.npz").state)
    assert record.history.epochs == 2 and record.about["model"] == "mnist-baseline"
    assert time.time() - (run / "last.npz").stat().st_mtime < 3600


def test_what_cannot_be_used_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for out in ("new", "a/b/c"):
        assert main(["--dataset", "nothing.csv", "--out", out]) == 2
    (tmp_path / "mine").mkdir()
    assert main(["--dataset", "nothing.csv", "--out", "mine/new"]) == 2
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]


def at_once(make: Callable[[], Any], count: int = 8) -> list[Any]:
    """What so many calls at the same moment give, or raise."""
    together = threading.Barrier(count)

    def call(_: int) -> Any:
        together.wait()
        try:
            return make()
        except ValueError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(call, range(count)))


@pytest.mark.parametrize("attempt", range(5))
def test_of_starts_at_the_same_moment_one_has_the_folder(tmp_path, attempt):
    found = at_once(lambda: RunFolder(tmp_path / "run"))
    [folder] = [each for each in found if isinstance(each, RunFolder)]
    assert all(isinstance(each, HeldError) for each in found if each is not folder)
    folder.release()


def test_starts_at_the_same_moment_take_folders_of_their_own(tmp_path):
    found = at_once(lambda: free_folder(tmp_path / "run"))
    names = {"run", *(f"run-{number}" for number in range(2, 9))}
    assert {folder.path.name for folder in found} == names
    for folder in found:
        folder.release()
