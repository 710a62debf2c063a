"""Exercises that check themselves, and keep their answers until they are asked.

In a notebook stands a function to be written, and under it

    check(relu_gradient)        whether it is right, and what a wrong one probably forgot
    hint("relu_gradient")       a push
    answer("relu_gradient")     one way to write it
    solution("relu_gradient")   the same as a function, to go on with

The exercises themselves are in `answers.py`: a function that is right, the arguments it is tried
with, and the mistakes that people make.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from fastcnn.languages import Language, Said

language: Language = "en"  # `exercise_zh` makes it Chinese
_TRIES = 5


class Exercise(NamedTuple):
    """A function to be written."""

    right: Callable[..., Any]
    given: Callable[[np.random.Generator], tuple[Any, ...]]
    hint: Said
    mistakes: Mapping[Said, Callable[..., Any]]

    def arguments(self) -> list[tuple[Any, ...]]:
        """What it is tried with, the same every time."""
        random = np.random.default_rng(0)
        return [self.given(random) for _ in range(_TRIES)]


EXERCISES: dict[str, Exercise] = {}


def exercise(
    given: Callable[[np.random.Generator], tuple[Any, ...]],
    hint: Said,
    mistakes: Mapping[Said, Callable[..., Any]],
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make an exercise of the function below, which is its answer."""

    def register(right: Callable[..., Any]) -> Callable[..., Any]:
        EXERCISES[right.__name__] = Exercise(right, given, hint, mistakes)
        return right

    return register


def _found(name: str) -> Exercise:
    import answers  # noqa: F401  (they register themselves, and are not there before one asks)

    if name not in EXERCISES:
        names = ", ".join(EXERCISES)
        said = Said(
            f"there is no exercise {name!r}; there are {names}", f"没有练习 {name!r}；有 {names}"
        )
        raise ValueError(said.of(language))
    return EXERCISES[name]


def check(attempt: Callable[..., Any]) -> None:
    """Say whether a function gives what the answer gives."""
    name = attempt.__name__
    print(f"{name}: {verdict(_found(name), attempt).of(language)}")


def verdict(asked: Exercise, attempt: Callable[..., Any]) -> Said:
    """What `check` prints."""
    name = asked.right.__name__
    for arguments in asked.arguments():
        wanted = asked.right(*_copies(arguments))
        got = attempt(*_copies(arguments))
        if got is None:
            return Said(
                f'not written yet; hint("{name}") helps, answer("{name}") shows one way',
                f'还没有写；hint("{name}") 给提示，answer("{name}") 给出一种写法',
            )
        if _same(got, wanted):
            continue
        for mistake, wrong in asked.mistakes.items():
            tries = asked.arguments()
            if all(_same(attempt(*_copies(a)), wrong(*_copies(a))) for a in tries):
                return _not_yet(*mistake)
        if np.shape(got) != np.shape(wanted):
            is_, should = np.shape(got), np.shape(wanted)
            return _not_yet(f"its shape is {is_}, not {should}", f"形状是 {is_}，应为 {should}")
        names = inspect.signature(asked.right).parameters
        given = "\n".join(f"  {n} = {_text(a)}" for n, a in zip(names, arguments, strict=True))
        is_, should = _text(got), _text(wanted)
        return _not_yet(
            f"for\n{given}\nit gives {is_}\nand not   {should}",
            f"对于\n{given}\n给出的是 {is_}\n应为     {should}",
        )
    return Said("right", "正确")


def _not_yet(en: str, zh: str) -> Said:
    return Said(f"not yet: {en}", f"还不对：{zh}")


def hint(name: str) -> None:
    """Print a push in the right direction."""
    print(_found(name).hint.of(language))


def answer(name: str) -> None:
    """Print one way to write it."""
    source = inspect.getsource(_found(name).right)
    print(source[source.index("def ") :].rstrip())


def solution(name: str) -> Callable[..., Any]:
    """The answer as a function, unseen: a notebook goes on with it whatever has been written."""
    return _found(name).right


def _copies(arguments: tuple[Any, ...]) -> list[Any]:
    return [each.copy() if isinstance(each, np.ndarray) else each for each in arguments]


def _same(got: Any, wanted: Any) -> bool:
    if isinstance(wanted, tuple):
        return (
            isinstance(got, tuple | list)
            and len(got) == len(wanted)
            and all(map(_same, got, wanted))
        )
    try:
        given = np.asarray(got, np.float64)
    except (TypeError, ValueError):
        return False
    return given.shape == np.shape(wanted) and np.allclose(given, wanted, rtol=1e-4, atol=1e-6)


def _text(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "(" + ", ".join(map(_text, value)) + ")"
    return np.array2string(np.asarray(value), precision=3, threshold=12).replace("\n", "\n      ")
