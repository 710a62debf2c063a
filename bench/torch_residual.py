"""PyTorch's residual block and dense unit: a process that trains them need not load fastcnn."""

import torch  # type: ignore[import-not-found]
from torch import nn  # type: ignore[import-not-found]


class ResidualTwin(nn.Module):
    """activation(main(x) + shortcut(x))"""

    def __init__(self, main: nn.Module, shortcut: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.main, self.shortcut, self.activation = main, shortcut, activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activation(self.main(x) + self.shortcut(x))


class ConcatenateTwin(nn.Module):
    """[x, layers(x)]"""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat((x, self.layers(x)), dim=1)
