"""A constructor that is given an argument it does not have answers in a sentence."""

import inspect
import re

import pytest

import fastcnn
from fastcnn import Augment, Graph, Sequential, layers, losses, optim, plain, schedules

pytest.importorskip("sklearn", reason="the estimators need scikit-learn: pip install '.[sklearn]'")

from fastcnn import estimator


def made_by_users() -> list[type]:
    """What stands in the public modules, and those at the root."""
    found: list[type] = [Augment, Graph, Sequential]
    for module in (layers, losses, optim, schedules, plain, estimator):
        names = getattr(module, "__all__", None) or [n for n in vars(module) if n[0] != "_"]
        found += [getattr(module, name) for name in names]
    return [each for each in found if is_ours(each) and not inspect.isabstract(each)]


def is_ours(each: object) -> bool:
    return inspect.isclass(each) and each.__module__.startswith(fastcnn.__name__)


@pytest.mark.parametrize("kind", made_by_users(), ids=lambda kind: kind.__name__)
def test_an_unknown_argument_is_answered(kind: type) -> None:
    with pytest.raises(TypeError, match=f"{kind.__name__} has no argument 'nonsense'; ") as told:
        kind(nonsense=1)
    assert "its arguments are " in str(told.value) or "it takes no arguments" in str(told.value)


@pytest.mark.parametrize("kind", made_by_users(), ids=lambda kind: kind.__name__)
def test_a_class_that_inherits_its_constructor_shows_its_arguments(kind: type) -> None:
    """Python 3.11.2 showed those of `__new__`, *_ and **arguments, and training ended with them."""
    own = type("Own", (kind,), {})
    constructor = [*inspect.signature(kind.__init__).parameters.values()][1:]
    wanted = [] if kind.__init__ is object.__init__ else constructor
    assert [*inspect.signature(own).parameters.values()] == wanted
    assert inspect.signature(own) == own.__signature__


@pytest.mark.parametrize(
    ("kind", "name", "answer"),
    [
        (estimator.CNNClassifier, "learning_rate", "here it is called 'lr'"),
        (estimator.CNNClassifier, "max_iter", "here it is called 'epochs'"),
        (estimator.CNNRegressor, "learning_rate_init", "here it is called 'lr'"),
        (estimator.CNNRegressor, "batchsize", "did you mean 'batch_size'?"),
        (losses.CrossEntropyLoss, "from_logits", "leave it out: the loss always takes logits"),
        (losses.CrossEntropyLoss, "weight", "give class_weight to model.train"),
        (Augment, "rotation_range", "here it is called 'rotate'"),
        (Sequential, "layers", "give them one by one: Sequential(Conv2D(...), ReLU(), ...)"),
    ],
)
def test_names_of_other_libraries(kind: type, name: str, answer: str) -> None:
    with pytest.raises(TypeError, match=re.escape(f"has no argument {name!r}; {answer}")):
        kind(**{name: 1})
