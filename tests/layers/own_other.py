"""Layers of one's own in another module than the tests', with names that others have too."""

from fastcnn.layers import LeakyReLU


class ReLU(LeakyReLU):
    """Not the built-in one, though it is called so."""

    def __init__(self) -> None:
        super().__init__(0.5)

    def arguments(self) -> dict[str, float]:
        return {}


class Slope(ReLU):
    """There is another one in the tests."""
