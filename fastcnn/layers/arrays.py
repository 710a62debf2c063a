"""Arrays by name whose memory belongs to someone else."""

from typing import Any

import numpy as np


class ParameterDict(dict[str, np.ndarray]):
    """Arrays by name whose memory stays where it is: assigning copies INTO the array.

    So `layer.params["weight"] = new` takes effect although the memory belongs to a model.

    Raises
    ------
    ValueError
        If a name does not exist, or the new value has another shape or is not real numbers; or on
        an attempt to remove an array.

    Examples
    --------
    >>> from fastcnn.layers import Dense
    >>> layer = Dense(2, 3)
    >>> layer.params["bias"] = [1, 2, 3]
    >>> layer.params["bias"]
    array([1., 2., 3.], dtype=float32)
    """

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label

    def bind(self, name: str, array: np.ndarray) -> None:
        """Make `array` itself the one called `name`, without copying."""
        super().__setitem__(name, array)

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self:
            known = ", ".join(self) or "none"
            raise ValueError(f"{self.label}: there is no array {name!r}; known are: {known}")
        array, value = self[name], np.asarray(value)
        if value.dtype.kind not in "fiub" or value.shape != array.shape:
            raise ValueError(
                f"{self.label}[{name!r}]: expected real numbers of shape {array.shape}, got "
                f"{value.dtype} of shape {value.shape}"
            )
        array[...] = value

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Assign several arrays, as `__setitem__` does."""
        for name, value in dict(*args, **kwargs).items():
            self[name] = value

    def __ior__(self, other: Any) -> "ParameterDict":  # type: ignore[override]
        self.update(other)
        return self

    def _refuse(self, *_: Any) -> Any:
        raise ValueError(f"{self.label}: arrays can be written, but not added or removed")

    __delitem__ = pop = popitem = clear = setdefault = _refuse  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        return dict, (dict(self),)  # a copy is a plain dict
