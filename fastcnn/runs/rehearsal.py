"""A training that nobody sees, before the run itself."""

import dataclasses

from .. import training
from ..config import Config
from ..config.recipe import (
    make_measuring,
    make_method,
    make_passes,
    make_weighting,
)
from ..datasets import Dataset
from ..network.network import EVALUATED_AT_ONCE
from ..schedules import Constant
from ..sequential import Sequential
from ..training.settings import Keeping, Stopping, Watching


def rehearse(model: Sequential, config: Config, data: Dataset, images: int) -> None:
    """Train a network for two steps, so that every kernel is compiled.

    The run itself is then not slowed by compilation, and its numbers are not touched: random
    numbers are keyed, not drawn from a common stream.

    Parameters
    ----------
    model : Sequential
        Like that of the run.
    config : Config
        Settings of the run.
    data : Dataset
        Its images.
    images : int
        How many an epoch trains on.

    Raises
    ------
    TrainingDiverged
        If it does.
    """
    compiles = config.machine.backend == "numba"
    # Kernels may be compiled for a size of batch: a whole and a last batch of training, and those
    # of measuring. The other backends know no such thing, and are slow.
    batch_size = config.training.batch_size if compiles else 1
    rows = batch_size + images % batch_size
    measured = EVALUATED_AT_ONCE + len(data.x_test) % EVALUATED_AT_ONCE if compiles else 1
    training.fit(
        model,
        data.x_train[:rows],
        data.y_train[:rows],
        method=dataclasses.replace(make_method(config), schedule=Constant()),
        passes=dataclasses.replace(make_passes(config), epochs=1, drop_last=False),
        measuring=make_measuring(config, None, (data.x_test[:measured], data.y_test[:measured])),
        stopping=Stopping(),
        watching=Watching(),
        keeping=Keeping(),
        weighting=make_weighting(config),
    )
