"""How good predictions are: rates per class and over all, calibration, and how sure of it one is.

Definitions are scikit-learn's, with 0 where a rate has nothing to divide by. Intervals hold 95 %:

- rates of counts (accuracy, top-k, precision, recall) by Wilson's score interval (E. B. Wilson,
  "Probable Inference, the Law of Succession, and Statistical Inference", 1927);
- losses and errors by the normal law of their mean;
- F1, averages over classes, calibration and R2 by the bootstrap's percentiles (B. Efron, "Bootstrap
  Methods: Another Look at the Jackknife", 1979), with random numbers that are always the same.

Calibration is the expected calibration error of Guo, Pleiss, Sun and Weinberger, "On Calibration of
Modern Neural Networks" (2017): over 15 equal bins of the largest probability, the mean distance
between it and the share that is right.
"""

from .classes import Report, averaged, measure, rates, softmax
from .intervals import Measured, wilson
from .targets import Figures, measure_labels, measure_numbers

__all__ = [
    "Figures",
    "Measured",
    "Report",
    "averaged",
    "measure",
    "measure_labels",
    "measure_numbers",
    "rates",
    "softmax",
    "wilson",
]
