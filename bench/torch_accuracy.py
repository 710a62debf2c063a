"""How accurate PyTorch becomes where fastcnn's preset trains: the same network, images and recipe.

    python -m bench.torch_accuracy --model resnet20

Nothing but the starting weights and the dataset comes from fastcnn: the training loop, the
optimizer, the schedule and the random crops and mirror images are PyTorch's or written here with
its functions. Weight decay is that of PyTorch's SGD, on biases, gamma and beta too, where fastcnn
has it on weights only. For the presets that train with SGD, a cosine or one-cycle schedule, and no
changes of the images but shifts and mirror images.

Prints a table of its epochs. Needs the extra `compare`.
"""

import dataclasses
import sys
from typing import Literal

import tyro

from bench import sides
from fastcnn import models
from kernels.cores import available_cores


@dataclasses.dataclass
class Options:
    """Train PyTorch's twin of a model with the model's own recipe."""

    model: Literal["resnet20", "densenet", "mnist-fast", "cifar-fast"] = "resnet20"
    """Model to train."""
    epochs: int | None = None
    """Epochs; None: those of the preset."""
    threads: int = available_cores()
    """Threads of PyTorch."""
    layout: Literal["channels_last", "contiguous_format"] = "channels_last"
    """How PyTorch lays out images in memory."""
    seed: int = 42
    """Key of the starting weights, the split, the order of the images and their changes."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    sides.need_torch()
    import torch  # type: ignore[import-not-found]

    from bench.torch_training import train

    torch.set_num_threads(options.threads)
    epochs = options.epochs or models.preset(options.model)["epochs"]
    try:
        train(options.model, epochs, options.seed, options.layout)
    except ValueError as error:  # no such images
        print(f"error: {getattr(error, 'reason', error)}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
