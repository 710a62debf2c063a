"""Networks as scikit-learn's estimators, for its pipelines, searches and cross-validation.

What they do is done elsewhere: scikit-learn checks what comes in, `models` builds the network, and
`Sequential` learns and predicts. docs/sklearn.md shows how they are used.
"""

try:
    from sklearn.utils.validation import validate_data as _since_1_6  # noqa: F401
except ImportError:
    raise ImportError(
        "fastcnn.estimator needs scikit-learn 1.6 or newer: pip install '.[sklearn]' in the folder "
        "of the clone"
    ) from None

from .classifier import CNNClassifier
from .regressor import CNNRegressor

__all__ = ["CNNClassifier", "CNNRegressor"]
