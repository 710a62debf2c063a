"""Checkpoints of a training run: the model's file, with the optimizer and the run's state in it."""

from pathlib import Path
from typing import Any

from .. import optim
from ..network.checkpoint import Arrays, CheckpointError, describe, read, write
from ..network.network import Network


def save_training(
    path: str | Path,
    model: Network,
    optimizer: optim.Optimizer,
    state: dict[str, Any],
    best_arrays: Arrays,
) -> None:
    """Write everything that the rest of a training run depends on; `load_model` reads it too.

    Parameters
    ----------
    state : dict[str, Any]
        What the training loop wants back, as JSON can hold it.
    best_arrays : Arrays
        `model.copy_arrays()` of the best epoch; may be empty.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    header = {
        "model": describe(model),
        "training": {"optimizer": optimizer.spec(), "state": state},
    }
    groups = {
        "model": dict(model.named_arrays()),
        "optimizer": optimizer.state_arrays(),
        "best": best_arrays,
    }
    write(path, header, groups)


def load_training(
    path: str | Path, model: Network, optimizer: optim.Optimizer
) -> tuple[dict[str, Any], Arrays]:
    """Bring model and optimizer to where `save_training` was called; returns (state, best_arrays).

    Raises
    ------
    CheckpointError
        If the file cannot be used, or is of another model or optimizer.
    """
    header, groups = read(path)
    try:
        spec, training = header["model"]["layers"], header["training"]
        kind, state = optim.kind_of(training["optimizer"]), training["state"]
        frozen = tuple(header["model"].get("frozen", ()))
    except (KeyError, TypeError, AttributeError, RecursionError):
        raise CheckpointError(f"{path} holds a model, but no training run to resume") from None
    if spec != describe(model)["layers"]:
        raise CheckpointError(f"{path} belongs to a training run of a model with other layers")
    if frozen != model.frozen:
        raise CheckpointError(
            f"{path} belongs to a training run with frozen layers {', '.join(frozen) or 'none'}, "
            f"not {', '.join(model.frozen) or 'none'}"
        )
    wanted = optim.kind_of(optimizer.spec())
    if kind != wanted:
        raise CheckpointError(f"{path} belongs to a training run with {kind}, not {wanted}")
    best = groups.get("best", {})
    own = {name: array.shape for name, array in model.named_arrays()}
    if best and {name: array.shape for name, array in best.items()} != own:
        raise CheckpointError(f"{path} is damaged: the best arrays are not those of its model")
    try:
        model.load_arrays(groups.get("model", {}))
        optimizer.load_state_arrays(groups.get("optimizer", {}))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path} does not fit: {error}") from None
    return state, best
