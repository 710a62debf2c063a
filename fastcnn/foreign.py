"""What PyTorch and Keras call it: their names of arguments, answered with ours.

A constructor that is given an argument it does not have says what it is called here, or how the
same is done, before Python would say that it is unexpected. So does what is made, where an
attribute of such a name is set, which would change nothing.
"""

import functools
import inspect
from collections.abc import Iterable
from typing import Any, Self

from .checks import nearest

_OURS_ALONE = __name__.partition(".")[0] + "."

# Their name -> ours; of several, the one that the constructor has.
_OURS: dict[str, tuple[str, ...]] = {
    "kernel_size": ("pool_size",),
    "pool_size": ("kernel_size",),
    "filters": ("out_channels",),
    "units": ("out_features",),
    "strides": ("stride",),
    "dilation_rate": ("dilation",),
    "use_bias": ("bias",),
    "kernel_initializer": ("init",),
    "num_features": ("num_channels",),
    "num_channels": ("num_features",),
    "normalized_shape": ("num_features",),
    "groups": ("num_groups",),
    "epsilon": ("eps",),
    "p": ("rate",),
    "negative_slope": ("alpha",),
    "dim": ("axis",),
    "alpha_initializer": ("init",),
    "input_dim": ("in_features",),
    "in_channels": ("in_features",),
    "out_channels": ("out_features",),
    "in_features": ("in_channels",),
    "out_features": ("out_channels",),
    "learning_rate": ("lr",),
    "rho": ("alpha",),
    "beta_1": ("betas",),
    "beta_2": ("betas",),
    "from_logits": (),
    "min_lr": ("lr_min",),
    "eta_min": ("lr_min",),
    "min_delta": ("min_gain",),
    "threshold": ("min_gain",),
    "step_size": ("every",),
    "gamma": ("factor",),
    "clipnorm": ("clip_norm",),
    "criterion": ("loss",),
    "learning_rate_init": ("lr",),
    "alpha": ("weight_decay",),
    "solver": ("optimizer",),
    "max_iter": ("epochs",),
    "n_iter_no_change": ("patience",),
    "validation_fraction": ("validation",),
    "model": ("network",),
    "rotation_range": ("rotate",),
    "horizontal_flip": ("flip",),
    "loss_fn": ("loss",),
    "validation_data": ("validation",),
    "validation_split": ("validation",),
    "verbose": ("progress",),
    "early_stopping": ("patience",),
}
# Their name -> how it is done here, or that it is not.
_DONE: dict[str, str] = {
    "inplace": "leave it out: a model uses its memory again by itself",
    "padding_mode": "leave it out: padding is zeros",
    "return_indices": "leave it out: the layer remembers them by itself",
    "device": "leave it out: everything runs on the CPU",
    "dtype": "call astype(np.float64) on the layer or the model",
    "data_format": "give it to the model: Sequential(..., data_format='channels_last'), Input(..., "
    "data_format='channels_last')",
    "input_shape": "give it to the model: Sequential(..., input_shape=...), Graph(Input(...), ...)",
    "activation": "put a layer behind it, such as ReLU()",
    "track_running_stats": "leave it out: running statistics are always kept",
    "affine": "leave it out: gamma and beta are always there; freeze them with trainable = False",
    "elementwise_affine": "leave it out: gamma and beta are always there",
    "center": "leave it out: beta is always there",
    "scale": "leave it out: gamma is always there",
    "axis": "leave it out: channels are the second axis",
    "dim": "leave it out: classes or channels are the second axis",
    "threshold": "leave it out: large numbers do not overflow",
    "shared_axes": "give num_parameters: the channels, or 1 for one in common",
    "trainable": "set layer.trainable = False afterwards",
    "name": "leave it out: layers are called by their place, '0.weight'",
    "amsgrad": "leave it out: there is no AMSGrad",
    "clipnorm": "give clip_norm to model.train",
    "from_logits": "leave it out: the loss always takes logits",
    "ignore_index": "leave such rows out of the batch",
    "kernel_regularizer": "give weight_decay to the optimizer",
    "learning_rate": "give it to the optimizer, as in optimizer=SGD(lr=0.1)",
    "lr": "give it to the optimizer, as in optimizer=SGD(lr=0.1)",
    "weight_decay": "give it to the optimizer, as in optimizer=SGD(weight_decay=1e-4)",
    "momentum": "give it to the optimizer, as in optimizer=SGD(momentum=0.9)",
    "T_max": "leave it out: a schedule is told how many epochs there are",
    "mode": "leave it out: losses and errors should fall, all else rise",
    "weight": "give class_weight to model.train",
    "weights": "give class_weight to model.train",
    "layers": "give them one by one: Sequential(Conv2D(...), ReLU(), ...)",
    "params": "leave it out: optimizer.step(model) says whose parameters",
    "requires_grad": "set layer.trainable = False",
    "training": "say it to forward(x, training=True)",
}


@functools.cache
def _arguments(cls: type) -> tuple[str, ...] | None:
    """The names of its constructor's arguments; None if it takes any."""
    parameters = inspect.signature(cls).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return tuple(each.name for each in parameters if each.kind in by_name)


def check_arguments(cls: type, given: Iterable[str]) -> None:
    """Raise if the constructor of a class has no arguments of such names.

    Raises
    ------
    TypeError
        With the name that it has here.
    """
    known = _arguments(cls) if given else None
    for name in given:
        if known is not None and name not in known:
            raise TypeError(f"{cls.__name__} has no argument {name!r}; {answer(name, known)}")


class OfInit:
    """The signature of a class, which `inspect`, help and editors show: its constructor's.

    Python 3.11.3 and older would take that of an inherited ``__new__``, which says nothing.
    """

    def __get__(self, thing: object, cls: type) -> inspect.Signature:
        if thing is not None:
            raise AttributeError("__signature__")
        if cls.__init__ is object.__init__:
            return inspect.Signature()
        whole = inspect.signature(cls.__init__)
        return whole.replace(parameters=[*whole.parameters.values()][1:])


class Answering:
    """A class whose constructor answers names of arguments that it does not have."""

    __signature__: Any = OfInit()

    def __new__(cls, *_: Any, **arguments: Any) -> Self:
        """Refuse other names before Python would."""
        check_arguments(cls, arguments)
        return super().__new__(cls)


class Settled(Answering):
    """One whose attributes, set later, are checked as its constructor checks its arguments."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name[0] != "_":
            known = _arguments(type(self))
            if name not in vars(self) or known is None or name in known:  # no result of a pass
                value = checked_setting(self, name, value)
        super().__setattr__(name, value)


def checked_setting(thing: Any, name: str, value: Any) -> Any:
    """A setting as the constructor takes it, where somebody sets it after that.

    Of classes of this package; one of somebody's own keeps what it likes.

    Raises
    ------
    ValueError, TypeError
        If the constructor refuses it.
    AttributeError
        If there is no such setting, or it cannot be changed.
    """
    cls = type(thing)
    known = _arguments(cls)
    if known is None or not cls.__module__.startswith(_OURS_ALONE) or hasattr(cls, name):
        return value
    try:
        given = thing.arguments()
    except AttributeError:  # its constructor is at work
        return value
    if name not in known:
        if (name in _OURS or name in _DONE) and name not in vars(thing):
            raise AttributeError(f"{cls.__name__} has no {name!r}; {answer(name, known)}")
        return value
    if any(isinstance(each, Settled) for each in given.values()):
        return value  # of what wraps another, whose constructor wants a new one
    made = vars(cls(**{**given, name: value}))
    if name not in made:
        raise AttributeError(f"{cls.__name__}: {name} cannot be changed: make a new one")
    return made[name]


def answer(name: str, known: tuple[str, ...]) -> str:
    """What an argument is called here, or how the same is done, and which there are."""
    listed = f"its arguments are {', '.join(known)}" if known else "it takes no arguments"
    ours = next((each for each in _OURS.get(name, ()) if each in known), None)
    if ours is not None:
        return f"here it is called {ours!r}; {listed}"
    if name in _DONE:
        return f"{_DONE[name]}; {listed}"
    match = nearest(name, known) if known else None
    return f"did you mean {match!r}? {listed}" if match else listed
