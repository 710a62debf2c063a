"""A disk that fails in the middle of a run: one sentence, and the run goes on to the same bits."""

import errno
import os
import shutil
from pathlib import Path

import pytest

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
    out, fails = tmp_path / "run", pytest.MonkeyPatch()

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
    held = "holds all 4 epochs" if call == "unlink" else "it holds the run up to epoch 2"
    assert held in line
    assert folders.epochs_in(out) == (4 if call == "unlink" else 2)
    monkeypatch.undo()
    assert main(["--resume", "--quiet", "--no-pictures", "--out", str(out)]) == 0
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
