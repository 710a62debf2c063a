"""What a person sees of a training run: a bar within the epoch, a row of numbers after it."""

import itertools
import sys
from collections.abc import Mapping, Sequence
from typing import TextIO

# Part, column heading, key, width, format; a part that is not measured has no column. All of them
# take 78 letters of a terminal's 80.
_TABLE = (
    ("", "epoch", "epoch", 5, ".0f"),
    ("", "lr", "lr", 8, ".3g"),
    ("train", "loss", "loss", 7, ".4f"),
    ("train", "acc", "accuracy", 7, ".2%"),
    ("val", "loss", "val_loss", 7, ".4f"),
    ("val", "acc", "val_accuracy", 7, ".2%"),
    ("test", "loss", "test_loss", 7, ".4f"),
    ("test", "acc", "test_accuracy", 7, ".2%"),
    ("", "seconds", "seconds", 7, ".2f"),
)
_GAP = "  "


def _cell(value: float, width: int, form: str) -> str:
    """A number in its column; one that is too long for it in powers of ten."""
    text = format(value, form)
    return (text if len(text) <= width else f"{value:.1e}").rjust(width)


def _heading(columns: Sequence[tuple[str, str, str, int, str]]) -> list[str]:
    """Two lines: the parts, each over its columns, and what the columns show."""
    parts = []
    for part, group in itertools.groupby(columns, lambda column: column[0]):
        widths = [width for *_, width, _ in group]
        width = sum(widths) + len(_GAP) * (len(widths) - 1)
        parts.append(f" {part} ".center(width, "-") if part else " " * width)
    return [
        _GAP.join(parts).rstrip(),
        _GAP.join(head.rjust(width) for _, head, _, width, _ in columns),
    ]


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
        print(line, file=self._stream or sys.stdout, flush=True)

    def on_epoch_start(self, epoch: int, epochs: int, steps: int) -> None:
        """Open the bar."""
        self.close()
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
            self._bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
            self._bar.update()

    def on_epoch_end(self, row: Mapping[str, float]) -> None:
        """Print the row, below the heading if it is the first."""
        self.close()
        columns = [column for column in _TABLE if column[2] in row]
        if not self._head_shown:
            self._head_shown = True
            self._print("\n".join(_heading(columns)))
        self._print(_GAP.join(_cell(row[key], width, form) for *_, key, width, form in columns))

    def on_note(self, note: str) -> None:
        """Print the note on a line of its own."""
        self.close()
        self._print(f"note: {note}")

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
