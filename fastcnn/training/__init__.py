"""Training: what a run is made of (`fit`), its epochs and steps (`loop`), and what they need."""

from .callbacks import Callback, StopTraining
from .diverged import TrainingDiverged
from .fit import fit, split
from .resuming import MAY_CHANGE

__all__ = ["MAY_CHANGE", "Callback", "StopTraining", "TrainingDiverged", "fit", "split"]
