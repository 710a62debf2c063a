"""Training: what a run is made of (`fit`), its epochs and steps (`loop`), and what they need."""

from .fit import fit, split
from .loop import TrainingDiverged

__all__ = ["TrainingDiverged", "fit", "split"]
