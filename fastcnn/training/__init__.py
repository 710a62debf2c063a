"""Training: what a run is made of (`fit`), its epochs and steps (`loop`), and what they need."""

from .callbacks import Callback, StopTraining
from .fit import fit, split
from .loop import TrainingDiverged
from .resuming import MAY_CHANGE

__all__ = ["MAY_CHANGE", "Callback", "StopTraining", "TrainingDiverged", "fit", "split"]
