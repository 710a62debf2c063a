"""What a person should know about a run: each a sentence, or None where there is nothing to say."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..conversion import fields_of
from ..layers import BatchNorm
from ..losses import REGRESSION
from ..losses.asked import each_of
from ..losses.base import by_place
from ..network.network import Network
from .history import History

# Guessing among K classes costs ln K nats. A loss this near to it (relatively) has learned
# nothing; one of so many times it comes from weights that a step far too long has thrown away.
_STUCK_WITHIN = 0.01
_LOST_ABOVE = 2

_FAR = 10.0  # means and deviations of numbers that a network learns without a note
_SMALL = 8  # images; a smaller batch tells BatchNorm too little


def is_guessing(loss: float, classes: int) -> bool:
    """Whether that is the loss of a network that has learned nothing."""
    guessing = math.log(classes)
    return abs(loss - guessing) <= _STUCK_WITHIN * guessing


def lost(row: Mapping[str, float], classes: int, at_first: float | None) -> str | None:
    """The network does no better than guessing after an epoch, or far worse.

    Parameters
    ----------
    row : mapping
        The epoch.
    classes : int
        How many are guessed among.
    at_first : float or None
        The loss of the first batch, before any step; None where that was in another run.
    """
    guessing, value = math.log(classes), row["loss"]
    if is_guessing(value, classes) and row["accuracy"] < 2 / classes:
        note = (
            f"the training loss {value:.4f} is still that of guessing, ln {classes} = "
            f"{guessing:.4f}: if this lasts, try another learning rate, and check that labels "
            f"and images belong together"
        )
    elif min(value, at_first or 0) > _LOST_ABOVE * guessing:
        note = (
            f"the training loss {value:.4g} is far above that of guessing, ln {classes} = "
            f"{guessing:.4f}, and was {at_first:.4g} before the first step: the pixels or the "
            f"weights that the network begins with are too large"
        )
    elif value > _LOST_ABOVE * guessing:
        note = (
            f"the training loss {value:.4g} is far above that of guessing, ln {classes} = "
            f"{guessing:.4f}: the learning rate {row['lr']:g} is probably too high"
        )
    else:
        return None
    return f"after epoch {row['epoch']:.0f} {note}"


def small_last_batch(model: Network, count: int, batch_size: int) -> str | None:
    """BatchNorm's statistics are thrown about by a last batch of few images, or by all of one."""
    last, are_single = count % batch_size, min(count, batch_size) == 1
    is_small = 0 < last < _SMALL and 2 * last <= batch_size <= count
    if not (is_small or are_single):
        return None
    parts = (layer for part in model.layers for layer in part.family())
    if not any(isinstance(layer, BatchNorm) and layer.trainable for layer in parts):
        return None
    if are_single:
        return (
            "each batch has 1 image, too few for BatchNorm: what a channel has one number of it "
            "makes the same of every image; give more images, or a larger batch_size"
        )
    images = "1 image" if last == 1 else f"{last} images"
    return (
        f"the last batch of each epoch has {images}, too few for BatchNorm's statistics; "
        f"drop_last leaves it out"
    )


def far_targets(model: Network, y: NDArray[Any]) -> str | None:
    """Numbers to learn that are far from mean 0 and deviation 1; the first of them are named."""
    outputs = model.output_names
    each = zip(
        outputs or ("",), each_of(model.task), fields_of(y) if outputs else (y,), strict=True
    )
    for output, task, numbers in each:
        if task != REGRESSION:
            continue
        count, names = numbers.shape[1], model.class_names or ()
        rows = by_place(numbers)
        means, deviations = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=float)
        for i, (mean, deviation) in enumerate(zip(means, deviations, strict=True)):
            if 1 / _FAR <= deviation <= _FAR and abs(mean) <= _FAR:
                continue
            which = f"of number {names[i] if len(names) == count else i} " if count > 1 else ""
            which += f"of output {output} " if output else ""
            return (
                f"the targets {which}have mean {mean:.4g} and deviation {deviation:.4g}: a network "
                f"begins with outputs near 0, and learns sooner, and all numbers alike, what is "
                f"brought near to mean 0 and deviation 1 before"
            )
    return None


def part_left_out(epochs: int, batches: int) -> str:
    """A run that was interrupted within an epoch goes on with other settings."""
    end = f"the end of epoch {epochs}" if epochs else "the start"
    made = "1 batch that was" if batches == 1 else f"{batches} batches that were"
    return f"with other settings the run goes on from {end}, without the {made} made after it"


def appended(count: int, copies: int) -> str:
    """Changed copies of all training images are trained on too."""
    each = "1 changed copy" if copies == 1 else f"{copies} changed copies"
    return f"{(1 + copies) * count:,} images: {count:,}, and {each} of each"


def other_rates(
    rate: Callable[[int, int, int], float], epochs: int, before: int, steps: int, history: History
) -> str | None:
    """A run goes on with another number of epochs, which its schedule depends on.

    Parameters
    ----------
    rate : function
        (epoch from 0, epochs, step) -> rate.
    epochs, before : int
        How many there are now, and were.
    steps : int
        Steps of an epoch.
    history : History
        The finished epochs.
    """
    done = history.epochs
    if epochs == before or done in (0, epochs):
        return None
    ends = (0, steps - 1)
    one, other = (
        [rate(epoch, count, step) for epoch in range(done) for step in ends]
        for count in (before, epochs)
    )
    if one == other:
        return None
    first, last = rate(done, epochs, 0), rate(epochs - 1, epochs, steps - 1)
    return (
        f"the schedule is now one of {epochs} epochs, not {before}: the rate, "
        f"{history['lr'][-1]:.3g} at the end of epoch {done}, is {first:.3g} at the start of epoch "
        f"{done + 1} and {last:.3g} at the end of epoch {epochs}"
    )


def put_back(
    history: History, arrays: Mapping[str, NDArray[Any]], kept: Mapping[str, NDArray[Any]]
) -> str | None:
    """Said once of callbacks after which the model has other arrays than before."""
    note = (
        "a callback changes the model's weights, which are put back: the run would not be the same "
        "if it were resumed; write a layer or an optimizer that changes them"
    )
    same = all(np.array_equal(arrays[name], array, equal_nan=True) for name, array in kept.items())
    return None if same or note in history.notes else note
