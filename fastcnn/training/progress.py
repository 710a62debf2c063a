"""What a person sees of a training run: a bar within the epoch, a row of numbers after it."""

import contextlib
import sys
from collections.abc import Mapping
from typing import TextIO

from kernels import compiling

from ..terminal import say
from .table import columns_of, heading, line

# What writing to a terminal that has gone away raises.
_GONE = (OSError, ValueError)


class Progress:
    """Told what happens during training; this one keeps silent.

    Subclass it to be told: each method is called at the moment that its name says.
    """

    def on_epoch_start(self, epoch: int, epochs: int, steps: int) -> None:
        """Epoch ``epoch`` of ``epochs`` (from 1) begins, with so many steps."""

    def on_step(self, loss: float) -> None:
        """A step is done; ``loss`` is the mean over the epoch's images so far."""

    def on_epoch_end(self, row: Mapping[str, float]) -> None:
        """The epoch is measured; ``row`` has the keys of `History`."""

    def on_note(self, note: str) -> None:
        """Something a person should know, as a sentence."""

    def close(self) -> None:
        """Training is over, whichever way."""


class QuietProgress(Progress):
    """Silent but for what a person should know all the same, which goes to standard error."""

    def on_note(self, note: str) -> None:
        """Print the note on a line of its own."""
        compiling.watcher.stop()  # its line would be in front of ours
        say(f"note: {note}", sys.stderr)


class ConsoleProgress(Progress):
    """A bar on the terminal within an epoch, and a table with a row per epoch.

    The bar goes to standard error, and only when that is a terminal, so that a log holds the
    table alone.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        from tqdm import tqdm  # not needed by who trains in silence

        self._tqdm = tqdm
        self._stream = stream
        self._bar = None
        self._head_shown = False

    def _print(self, line: str) -> None:
        compiling.watcher.stop()  # its line would be in front of ours
        say(line, self._stream)

    def on_epoch_start(self, epoch: int, epochs: int, steps: int) -> None:
        """Open the bar."""
        self.close()
        with contextlib.suppress(*_GONE):
            self._bar = self._tqdm(
                total=steps,
                desc=f"epoch {epoch}/{epochs}",
                unit="batch",
                leave=False,
                disable=None,
                dynamic_ncols=True,
            )

    def on_step(self, loss: float) -> None:
        """Move the bar on."""
        if self._bar is not None:
            try:
                self._bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
                self._bar.update()
            except _GONE:
                self.close()

    def on_epoch_end(self, row: Mapping[str, float]) -> None:
        """Print the row, below the heading if it is the first."""
        self.close()
        columns = columns_of(row)
        if not self._head_shown:
            self._head_shown = True
            self._print("\n".join(heading(columns)))
        self._print(line(columns, row))

    def on_note(self, note: str) -> None:
        """Print the note on a line of its own."""
        self.close()
        self._print(f"note: {note}")

    def close(self) -> None:
        """Take the bar away."""
        bar, self._bar = self._bar, None
        if bar is not None:
            with contextlib.suppress(*_GONE):
                bar.close()


def _has_reader() -> bool:
    """Whether somebody looks on: a terminal or a notebook."""
    try:
        if sys.stdout.isatty():
            return True
    except (AttributeError, ValueError):  # none, or closed
        return False
    return "ipykernel" in sys.modules and type(sys.stdout).__module__.startswith("ipykernel")


def chosen(progress: "Progress | bool | None") -> Progress:
    """Who is told of a run.

    Parameters
    ----------
    progress : Progress, bool or None
        True: a table on the standard output. False: nobody. None: the table where somebody looks
        on, which are a terminal and a notebook.

    Raises
    ------
    ValueError
        If it is something else.
    """
    if progress is None:
        progress = _has_reader()
    if isinstance(progress, bool):
        return ConsoleProgress() if progress else Progress()
    if not isinstance(progress, Progress):
        raise ValueError(
            f"progress must be True, False, None or a fastcnn Progress object, got {progress!r}"
        )
    return progress
