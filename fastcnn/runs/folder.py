"""What lies in the folder of a run or of a search, and reading it without trusting it."""

import contextlib
import dataclasses
import glob
import itertools
import json
import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..files import copy_file, is_file, make_folder, remove_empty, write_text
from ..holding import HeldError, Hold
from ..terminal import in_words
from ..training.checkpoint import SavedTraining, record_of
from ..training.history import History
from ..training.settings import Keeping
from .schema import RESULT as SCHEMA
from .schema import checked

CHECKPOINT = "last.npz"
"""File of a run from which it is resumed."""

EARLIER = tuple(f"last-{number}.npz" for number in range(1, 100))
"""The checkpoints before it, as far as they are kept."""

SETTINGS = "config.toml"
"""File of a run that holds every setting."""

HISTORY = "history.csv"
"""File of a run with a row per epoch."""

MODEL = "best.npz"
"""File of a run with its network."""

RESULT = "result.json"
"""File of a run that appears last of all, at its end."""

WORK = (CHECKPOINT, SETTINGS, HISTORY, MODEL, RESULT)
"""Files of a run that nothing but the run can make."""

PICTURES = ("curves.png", "predictions.png")
"""Files of a run that are drawn at its end."""

_FILES = (*WORK, *EARLIER, "gradients.csv", *PICTURES)

PLAN = "search.toml"
"""File in the folder of a search that says what is searched."""


def holds_search(folder: Path) -> bool:
    """Whether a folder holds a search."""
    return is_file(folder / PLAN)


def holds_run(folder: Path) -> bool:
    """Whether a folder holds a training run, or what is left of one."""
    return any(is_file(folder / name) for name in (SETTINGS, HISTORY, MODEL))


def read_json(path: Path) -> dict[str, Any]:
    """The names and values in a JSON file of a run.

    Raises
    ------
    ValueError
        If it cannot be read or is damaged; one sentence, which names it.
    """
    return read_file(path, _from_json, "remove it, or train again")


def read_result(path: Path) -> dict[str, Any]:
    """The numbers in result.json, each of them what it must be.

    Raises
    ------
    ValueError
        If it cannot be read or is damaged; one sentence, which names it.
    """
    advice = "remove it, or train again"
    return read_file(path, lambda text: dict(checked(_from_json(text), SCHEMA)), advice)


def _from_json(text: str) -> dict[str, Any]:
    values = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError("it does not hold names and values")
    return values


def read_file(path: Path, parse: Callable[[str], Any], advice: str = "train again") -> Any:
    """What `parse` makes of a text file; a ValueError that names the file if it cannot."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
    except RecursionError:
        raise ValueError(f"{path} is damaged: it is nested too deep; {advice}") from None
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; {advice}") from None


# --- a run in its folder --------------------------------------------------------------------------


class RunFolder:
    """The folder of one run, which no other process may work in until `release`.

    What an earlier run has left stays whole until this one has a finished epoch to show.

    Parameters
    ----------
    path : Path
        Made if missing.
    resume : bool
        Whether the run in it is to go on.
    replace : bool
        Whether the run in it may be replaced by another.
    keep : int
        How many checkpoints are kept.

    Attributes
    ----------
    path : Path
        The folder.
    is_ours : bool
        Whether its files are those of this run.
    start : Path
        The checkpoint that a resumed run goes on from.
    notes : list of str
        What should be known of it.

    Raises
    ------
    ValueError
        If it cannot be written to, another process has it, it holds a search, a run that is neither
        to be resumed nor to be replaced, or none to resume.
    """

    def __init__(
        self, path: Path, *, resume: bool = False, replace: bool = False, keep: int = 1
    ) -> None:
        self.path = path
        if resume and not checkpoints(path):
            raise ValueError(f"there is no run to resume in {path}: it has no {CHECKPOINT}")
        _refuse_search(path)
        self._made = make_folder(path)
        self._hold = Hold(path, _FILES)
        try:
            _refuse_search(path)  # one may have begun before we had the folder
            left = "" if resume else _left(path)
            if left and not replace:
                raise _TakenError(left)
            self.start, self.notes = usable(path) if resume else (path / CHECKPOINT, [])
            # Epochs that earlier processes have saved.
            self._shown = record_of(SavedTraining(self.start)).history.epochs if resume else 0
        except ValueError:
            self.release()
            raise
        self._replaces, self._resumes, self._kept = bool(left), resume, keep
        self.is_ours = not left and not resume
        self._is_begun = False

    def release(self) -> None:
        """Let others have the folder; what we made and left empty goes."""
        self._hold.release()
        remove_empty(self._made)

    @property
    def is_finished(self) -> bool:
        """Whether a run has come to its end in it."""
        return (self.path / RESULT).is_file()

    def save(
        self, epochs: int, write: Callable[[Path], None], settings: str, *, is_own: bool = False
    ) -> bool:
        """Have the checkpoint written after so many epochs, and before the first the settings.

        Parameters
        ----------
        epochs : int
            Finished ones.
        write : function
            Writes the checkpoint to the path that it is given.
        settings : str
            Text of config.toml.
        is_own : bool
            Whether what is there is an earlier one of this run.

        Returns
        -------
        bool
            Whether it was: the run that is replaced stays until there is an epoch.
        """
        is_more = epochs > self._shown
        if not self.is_ours and not is_more and not is_own:
            return False
        self._make_room()
        write(self.path / CHECKPOINT)
        if self._is_begun or not (self.is_ours or is_more):
            return True
        (self.path / RESULT).unlink(missing_ok=True)  # it would be taken for ours
        if not self._resumes:  # before there are our settings, which would be taken for theirs
            for name in (MODEL, *(set(_FILES) - {CHECKPOINT, SETTINGS})):
                (self.path / name).unlink(missing_ok=True)
        write_text(self.path / SETTINGS, settings)
        self.is_ours = self._is_begun = True
        return True

    def _make_room(self) -> None:
        """Let the checkpoint that is there be the one before the next; at no moment is it away."""
        names = [self.path / name for name in (CHECKPOINT, *EARLIER)]
        surplus = names[max(self._kept, 1) :]
        if not (self.is_ours or self._resumes):
            surplus = names[1:]  # of the run that is replaced
        for path in filter(Path.is_file, surplus):
            path.unlink(missing_ok=True)
        # One that is damaged takes the place of none.
        if self._kept > 1 and (self.is_ours or (self._resumes and self.start == names[0])):
            for place in range(self._kept - 1, 1, -1):
                with contextlib.suppress(FileNotFoundError):
                    os.replace(names[place - 1], names[place])
            if names[0].is_file():
                copy_file(names[0], names[1])
        self.start = names[0]

    def takes_results(self, history: History) -> bool:
        """Whether the files of this run belong here: nothing that is complete is spoilt."""
        if self.is_ours or self._replaces:
            return self.is_ours
        stopped = history.stopped_because in ("interrupted", "diverged")
        return not (stopped and self.is_finished)

    @contextlib.contextmanager
    def kept_on_failure(self, epochs: int) -> Iterator[None]:
        """Within this block, a file that cannot be written is answered with what is kept."""
        try:
            yield
        except OSError as error:
            said = in_words(error)
            kept = (
                f"{self.path / CHECKPOINT} holds all {epochs} epochs, and {self.resuming} writes "
                f"the rest, once that can be written"
            )
            raise OSError(f"{said}; {kept}" if epochs else said) from None

    @property
    def resuming(self) -> str:
        """The options that go on with this run."""
        return f"--resume --out {shlex.quote(str(self.path))}"


@dataclasses.dataclass(frozen=True)
class InFolder(Keeping):
    """A checkpoint in the folder of a run."""

    folder: RunFolder | None = None
    settings: str = ""

    @property
    def is_wanted(self) -> bool:
        """It is."""
        return True

    @property
    def checkpoint(self) -> Path | None:
        """The one that is there."""
        return self.folder.start if self.folder is not None else None

    @property
    def resuming(self) -> str:
        """The options of ``python -m fastcnn.train``."""
        return self.folder.resuming if self.folder is not None else ""

    def keep(self, epochs: int, write: Callable[[Path], None], *, is_own: bool) -> bool:
        """Have the checkpoint written, once there is something to show."""
        assert self.folder is not None
        return self.folder.save(epochs, write, self.settings, is_own=is_own)


def free_folder(path: Path, keep: int = 1) -> RunFolder:
    """The folder, or the first of PATH-2, PATH-3, ... in which there is no run and nobody works."""
    for number in itertools.count(1):
        with contextlib.suppress(_TakenError, HeldError):
            name = path if number == 1 else path.with_name(f"{path.name}-{number}")
            return RunFolder(name, keep=keep)
    raise AssertionError


def newest(folder: Path, model: str | None, dataset: str | None) -> Path | None:
    """The folder in FOLDER whose checkpoint was written last, of such a run where that is said."""
    name = f"{glob.escape(model) if model else '*'}-{glob.escape(dataset) if dataset else '*'}"
    begun = folder.glob(f"{name}/{CHECKPOINT}")
    more = folder.glob(f"{name}-[0-9]*/{CHECKPOINT}")
    found = {checkpoint: checkpoint.stat().st_mtime for checkpoint in (*begun, *more)}
    return max(found, key=lambda file: (found[file], file)).parent if found else None


def epochs_in(folder: Path) -> int:
    """Finished epochs of the run in a folder, by its checkpoint.

    Raises
    ------
    CheckpointError
        If that cannot be used.
    """
    return record_of(SavedTraining(usable(folder)[0])).history.epochs


def usable(folder: Path) -> tuple[Path, list[str]]:
    """The newest checkpoint of the run in a folder that is whole, and what is said of others.

    Raises
    ------
    CheckpointError
        If there is none; that of the newest.
    """
    faults: list[ValueError] = []
    for path in checkpoints(folder) or [folder / CHECKPOINT]:
        try:
            epochs = record_of(SavedTraining(path)).history.epochs
        except ValueError as error:
            faults.append(error)
            continue
        where = f"the run goes on from {path.name}, which holds {epochs} epochs"
        return path, [f"{fault}; {where}" for fault in faults]
    raise faults[0]


def checkpoints(folder: Path) -> list[Path]:
    """Those that there are, the newest first."""
    return [folder / name for name in (CHECKPOINT, *EARLIER) if is_file(folder / name)]


def remove_checkpoints(folder: Path) -> None:
    """Of a run that is over and is not to go on."""
    for path in checkpoints(folder):
        path.unlink(missing_ok=True)


class _TakenError(ValueError):
    """A folder that holds a run."""


def _refuse_search(path: Path) -> None:
    if holds_search(path):
        raise ValueError(f"{path} is the folder of a search: give the run another one")


def _left(path: Path) -> str:
    """What a run has left in a folder that would be lost, as a refusal; empty if nothing."""
    ways = "choose another folder, or replace it with --replace"
    epochs, batches, result = 0, 0, {}
    if checkpoints(path):
        try:
            history = record_of(SavedTraining(usable(path)[0])).history
            epochs, batches = history.epochs, history.batches
        except ValueError:
            return f"{path} holds a run whose {CHECKPOINT} cannot be read: {ways}"
    if (path / RESULT).is_file():
        with contextlib.suppress(ValueError):
            result = read_result(path / RESULT)
        epochs = epochs or result.get("epochs_run", 1)
    count = "1 epoch" if epochs == 1 else f"{epochs} epochs"
    if not epochs and batches:
        return f"{path} holds a run within its first epoch: continue it with --resume, {ways}"
    if not epochs:
        is_left = (path / MODEL).is_file() or ((path / HISTORY).is_file() and not result)
        return f"{path} holds what is left of a run: {ways}" if is_left else ""
    if not (path / RESULT).is_file():
        return f"{path} holds an unfinished run of {count}: continue it with --resume, {ways}"
    if not checkpoints(path):
        return f"{path} holds a run of {count}: {ways}"
    if result.get("stopped_because") == "interrupted":
        return f"{path} holds an interrupted run: continue it with --resume, {ways}"
    if result.get("stopped_because") == "diverged":
        rate = "go on from there with another rate by --resume --allow lr and --lr"
        return f"{path} holds a run that diverged after {count}: {ways}, {rate}"
    return f"{path} holds a finished run: {ways}, go on with it by --resume and more --epochs"
