"""Numerical gradients, to check what a backward pass claims.

For a scalar loss L(y) with dL/dy = `upstream`, every element v of an input or a parameter must have

    dL/dv  ~  sum of upstream * (y(v + eps) - y(v - eps)) / (2 eps)

(central differences, with an error of order eps**2). Give it float64: in float32 the difference
drowns in rounding.
"""

from collections.abc import Callable, Mapping

import numpy as np


def numerical_gradient(
    function: Callable[[], np.ndarray], array: np.ndarray, upstream: np.ndarray, eps: float = 1e-6
) -> np.ndarray:
    """The gradient of sum(upstream * function()) by `array`, which `function` must read.

    `array` is changed in place, one element at a time, and left as it was.
    """
    gradient = np.empty(array.shape)
    for place in np.ndindex(*array.shape):
        value = array[place]
        array[place] = value + eps
        above = function().copy()
        array[place] = value - eps
        below = function()
        array[place] = value
        gradient[place] = np.sum(upstream * (above - below)) / (2 * eps)
    return gradient


def check_gradient(
    function: Callable[[], np.ndarray],
    arrays: Mapping[str, np.ndarray],
    upstream: np.ndarray,
    gradients: Mapping[str, np.ndarray],
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
) -> None:
    """Fails unless `gradients[name]` is the gradient by `arrays[name]`, for every name.

    Parameters
    ----------
    function : function
        Computes y from the arrays as they are when it is called.
    arrays : Mapping[str, array]
        Float64 arrays that `function` reads, by name; a layer's `params`, for instance.
    upstream : array
        DL/dy, the shape of y.
    gradients : Mapping[str, array]
        What the backward pass gave for `upstream`.

    Examples
    --------
    >>> x = np.array([1.0, 2.0])
    >>> check_gradient(lambda: x**2, {"x": x}, np.ones(2), {"x": 2 * x})
    """
    assert arrays.keys() == gradients.keys()
    for name, array in arrays.items():
        assert array.dtype == np.float64, f"{name} is {array.dtype}, not float64"
        np.testing.assert_allclose(
            gradients[name],
            numerical_gradient(function, array, upstream, eps),
            rtol=rtol,
            atol=atol,
            err_msg=f"gradient by {name}",
        )
