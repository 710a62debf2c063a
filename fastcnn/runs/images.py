"""The images of a run, and what a person is told of them."""

import time
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from .. import training
from ..config import Config
from ..config.recipe import load_data
from ..datasets import Dataset


def loaded(
    config: Config, say: Callable[[str], None], note: Callable[[str], None]
) -> tuple[Dataset, float]:
    """The images that the settings name, as many as they say, and the seconds that it took.

    Parameters
    ----------
    config : Config
        The settings.
    say, note : function
        Told in lines what there is, and what a person should know of it.

    Raises
    ------
    ValueError
        If there are none; one sentence.
    """
    options, started = config.data, time.perf_counter()
    data = load_data(config)
    seconds = time.perf_counter() - started
    say(f"dataset {data.title} loaded in {seconds:.2f} s: {data.source}")
    for part, x, y in (
        ("train", data.x_train, data.y_train),
        ("test", data.x_test, data.y_test),
    ):
        say(f"  {part:5} images {_shape(x)}, labels {_shape(y)}")
    limited = data.limit(options.limit_train, options.limit_test)
    for part, whole, limit in (
        ("train", data.x_train, limited.x_train),
        ("test", data.x_test, limited.x_test),
    ):
        if len(limit) != len(whole):
            say(f"  {part:5} images before limit {len(whole):,}, after {len(limit):,}")
    if data.x_val is not None:
        say(f"  val   images {_shape(data.x_val)}, validated on")
    elif options.validation:
        rows, held_out = training.split(
            len(limited.x_train), options.validation, config.training.seed
        )
        say(f"  train images trained on {len(rows):,}, validated on {len(held_out):,}")
    for each in data.notes:
        note(each)
    return limited, seconds


def _shape(array: NDArray[Any]) -> str:
    return f"{array.shape} {array.dtype}"
