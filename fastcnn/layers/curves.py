"""Activations that are a function with its derivative in `kernels.curves`, and nothing more."""

from typing import Any, ClassVar

import numpy as np

from kernels import curves

from .. import checks
from .activation import _Elementwise


class _Curve(_Elementwise):
    """One whose function and derivative stand in `kernels.curves`."""

    def curve(self) -> curves.Curve:
        """The function with its numbers."""
        raise NotImplementedError

    def apply(self, x: np.ndarray, y: np.ndarray) -> None:
        curves.curve(self.curve(), x, y)

    def spread(self, dy: np.ndarray, kept: np.ndarray, dx: np.ndarray) -> None:
        curves.curve_backward(self.curve(), dy, kept, dx)


class ReLU6(_Curve):
    """min(max(x, 0), 6), elementwise; the gradient at 0 and 6 is 0.

    x of any shape -> y of the same shape, float32 or float64. Howard et al., "MobileNets" (2017).

    Examples
    --------
    >>> ReLU6().forward(np.float32([[-1, 2, 8]]))
    array([[0., 2., 6.]], dtype=float32)
    """

    def curve(self) -> curves.Curve:
        return curves.Clip(0.0, 6.0)


class ELU(_Curve):
    """x where x > 0, else alpha * (exp(x) - 1), elementwise.

    x of any shape -> y of the same shape, float32 or float64. Clevert, Unterthiner, Hochreiter,
    "Fast and Accurate Deep Network Learning by Exponential Linear Units" (2016), equation 15.

    Parameters
    ----------
    alpha : float
        What large negative numbers become is -alpha.

    Raises
    ------
    ValueError
        If alpha is not a finite number.

    Examples
    --------
    >>> ELU().forward(np.float32([[-1, 0, 2]])).round(4)
    array([[-0.6321,  0.    ,  2.    ]], dtype=float32)
    """

    positional = 1

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = checks.finite("ELU", "alpha", alpha)

    def arguments(self) -> dict[str, Any]:
        return {"alpha": self.alpha}

    def curve(self) -> curves.Curve:
        return curves.Elu(self.alpha, 1.0)


class SELU(_Curve):
    """scale * (x where x > 0, else alpha * (exp(x) - 1)), elementwise.

    x of any shape -> y of the same shape, float32 or float64. Klambauer, Unterthiner, Mayr,
    Hochreiter, "Self-Normalizing Neural Networks" (2017), equation 2: alpha 1.6733 and scale
    1.0507 keep mean 0 and variance 1 from layer to layer.

    Examples
    --------
    >>> SELU().forward(np.float32([[-1, 0, 2]])).round(4)
    array([[-1.1113,  0.    ,  2.1014]], dtype=float32)
    """

    def curve(self) -> curves.Curve:
        return curves.Elu(1.6732632423543772, 1.0507009873554805)


class GELU(_Curve):
    """x * P(N(0, 1) < x), elementwise.

        approximate="none"   y = x / 2 * (1 + erf(x / sqrt(2)))
        approximate="tanh"   y = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))

    x of any shape -> y of the same shape, float32 or float64. Hendrycks and Gimpel, "Gaussian Error
    Linear Units" (2016), section 2.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        Which of the two.

    Raises
    ------
    ValueError
        If approximate is another word.

    Examples
    --------
    >>> GELU().forward(np.float32([[-1, 0, 2]])).round(4)
    array([[-0.1587,  0.    ,  1.9545]], dtype=float32)
    """

    _curves: ClassVar[dict[str, curves.Curve]] = {"none": curves.Gelu(), "tanh": curves.GeluTanh()}

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in tuple(self._curves):
            raise ValueError(
                f"GELU: approximate must be 'none', which is exact, or 'tanh', got {approximate!r}"
            )
        self.approximate = approximate

    def arguments(self) -> dict[str, Any]:
        return {"approximate": self.approximate}

    def curve(self) -> curves.Curve:
        return self._curves[self.approximate]


class SiLU(_Curve):
    """x / (1 + exp(-x)), elementwise; also called swish.

    x of any shape -> y of the same shape, float32 or float64. Elfwing, Uchibe, Doya,
    "Sigmoid-Weighted Linear Units" (2018), equation 9.

    Examples
    --------
    >>> SiLU().forward(np.float32([[-1, 0, 2]])).round(4)
    array([[-0.2689,  0.    ,  1.7616]], dtype=float32)
    """

    def curve(self) -> curves.Curve:
        return curves.Silu()


class Softplus(_Curve):
    """log(1 + exp(beta * x)) / beta, elementwise.

    x of any shape -> y of the same shape, float32 or float64. Dugas, Bengio, Belisle, Nadeau,
    Garcia, "Incorporating Second-Order Functional Knowledge" (2001). Large numbers do not overflow,
    so there is no threshold as PyTorch's.

    Parameters
    ----------
    beta : float
        How sharp the bend is, above 0.

    Raises
    ------
    ValueError
        If beta is not a finite number above 0.

    Examples
    --------
    >>> Softplus().forward(np.float32([[-1, 0, 2]])).round(4)
    array([[0.3133, 0.6931, 2.1269]], dtype=float32)
    """

    positional = 1

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = checks.above_0("Softplus", "beta", beta)

    def arguments(self) -> dict[str, Any]:
        return {"beta": self.beta}

    def curve(self) -> curves.Curve:
        return curves.Softplus(self.beta)


class Mish(_Curve):
    """x * tanh(log(1 + exp(x))), elementwise.

    x of any shape -> y of the same shape, float32 or float64. Misra, "Mish: A Self Regularized
    Non-Monotonic Activation Function" (2020), equation 1.

    Examples
    --------
    >>> Mish().forward(np.float32([[-1, 0, 2]])).round(4)
    array([[-0.3034,  0.    ,  1.944 ]], dtype=float32)
    """

    def curve(self) -> curves.Curve:
        return curves.Mish()


class Hardswish(_Curve):
    """x * min(max(x + 3, 0), 6) / 6, elementwise: SiLU in straight lines and a parabola.

    x of any shape -> y of the same shape, float32 or float64. Howard et al., "Searching for
    MobileNetV3" (2019), section 5.2.

    Examples
    --------
    >>> Hardswish().forward(np.float32([[-4, 0, 1, 4]])).round(4)
    array([[-0.    ,  0.    ,  0.6667,  4.    ]], dtype=float32)
    """

    def curve(self) -> curves.Curve:
        return curves.HardSwish()


class Hardsigmoid(_Curve):
    """min(max(x + 3, 0), 6) / 6, elementwise; the gradient at -3 and 3 is 0.

    x of any shape -> y of the same shape, float32 or float64, from 0 to 1. Howard et al.,
    "Searching for MobileNetV3" (2019), section 5.2; PyTorch's and Keras 3's.

    Examples
    --------
    >>> Hardsigmoid().forward(np.float32([[-4, 0, 4]]))
    array([[0. , 0.5, 1. ]], dtype=float32)
    """

    def curve(self) -> curves.Curve:
        return curves.HardSigmoid()
