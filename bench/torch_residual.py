"""PyTorch's residual block, which knows nothing of fastcnn: a process that trains it loads none."""

import torch
from torch import nn


class ResidualTwin(nn.Module):
    """activation(main(x) + shortcut(x))"""

    def __init__(self, main: nn.Module, shortcut: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.main, self.shortcut, self.activation = main, shortcut, activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activation(self.main(x) + self.shortcut(x))
