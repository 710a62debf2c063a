"""A disk that fails in the middle of a run: one sentence, and the run goes on to the same bits."""

import errno
import os
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from fastcnn import datasets, models
from fastcnn.commands.train import main
from fastcnn.runs import folder as folders
from fastcnn.training.progress import Progress

pytestmark = pytest.mark.usefixtures("undrawn")
RUN = ["--dataset", "digits", "--limit-train", "64", "--limit-test", "20", "--epochs", "4",
       "--keep", "3", "--quiet", "--no-pictures"]  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    """The network of a run that nothing befell."""
    out = tmp_path_factory.mktemp("whole") / "run"
    assert main([*RUN, "--out", str(out)]) == 0
    return (out / "best.npz").read_bytes()


@pytest.fixture
def after_two(monkeypatch):
    """Call it with what shall happen once two epochs are saved."""

    def at(what):
        def on_epoch_end(_self, row):
            if row["epoch"] == 2:
                what()

        monkeypatch.setattr(Progress, "on_epoch_end", on_epoch_end)

    return at


@pytest.mark.parametrize("number", [errno.EROFS, errno.EIO, errno.EDQUOT, errno.ENOSPC])
@pytest.mark.parametrize("call", ["replace", "fsync", "unlink", "write"])
def test_a_disk_that_fails_ends_the_run_in_one_line(
    tmp_path, monkeypatch, capsys, whole, after_two, call, number
):
    out, fails = tmp_path / "a run", pytest.MonkeyPatch()

    def failing(place, *_, **__):
        raise OSError(number, os.strerror(number), *([] if call == "fsync" else [str(place)]))

    def fail():
        if call == "write":
            fails.setattr("fastcnn.network.checkpoint.np.savez", failing)
        else:
            fails.setattr(os, call, failing)

    after_two(fail)
    try:
        assert main([*RUN, "--out", str(out)]) == 1
    finally:
        fails.undo()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {out}{os.sep}") and os.strerror(number) in line
    assert "Errno" not in line
    # Nothing is removed while a run goes on: only its end finds out.
    held = (
        "holds all 4 epochs"
        if call == "unlink"
        else f"{out / 'last.npz'} holds the run up to epoch 2, and "
    )
    assert held in line
    assert folders.epochs_in(out) == (4 if call == "unlink" else 2)
    monkeypatch.undo()
    way = re.search("(--resume --out .*) (goes on there|writes the rest), once", line)
    assert way is not None
    assert main([*shlex.split(way[1]), "--quiet", "--no-pictures"]) == 0
    assert (out / "best.npz").read_bytes() == whole
    assert not list(out.glob(".*"))


@pytest.mark.parametrize("instead", ["nothing", "a file", "a link to nowhere"])
def test_a_folder_that_somebody_takes_away_is_not_said_to_hold_the_run(
    tmp_path, capsys, after_two, instead
):
    out = tmp_path / "run"

    def take_away():
        shutil.rmtree(out)
        if instead == "a file":
            out.write_text("text")
        elif instead == "a link to nowhere":
            out.symlink_to("nowhere")

    after_two(take_away)
    assert main([*RUN, "--out", str(out)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {out}{os.sep}last") and "Errno" not in line
    assert line.endswith("; what was saved there is gone")
    assert [Path(path).name for path in os.listdir(tmp_path)] == ["run"] * (instead != "nothing")


def test_a_program_of_ones_own_is_told_what_the_model_keeps(tmp_path, monkeypatch):
    data = datasets.load("digits")
    x, y = data.x_train[:64], data.y_train[:64]
    model, path, epochs = models.build("mnist-baseline"), tmp_path / "last.npz", []

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def after(model, history):
        epochs.append(model.copy_arrays())
        if history.epochs == 2:
            monkeypatch.setattr("fastcnn.network.checkpoint.np.savez", full)

    with pytest.raises(OSError, match="cannot be written") as caught:
        model.train(x, y, epochs=4, checkpoint_path=path, callbacks=[after], progress=False)
    assert str(caught.value).endswith(
        "; it holds the run up to epoch 2; the model keeps the weights of epoch 3"
    )
    kept = model.copy_arrays()
    monkeypatch.undo()
    again = models.build("mnist-baseline")
    again.train(x, y, epochs=3, progress=False)
    assert all(np.array_equal(kept[name], array) for name, array in again.copy_arrays().items())
    model.train(x, y, epochs=4, resume_from=path, checkpoint_path=path, progress=False)
    assert folders.epochs_in(tmp_path) == 4
