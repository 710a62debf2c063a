"""Any number of threads ask a model; one at a time trains it, and the others are told so."""

import copy
import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import pytest

from fastcnn import Augment, Sequential, backend
from fastcnn.layers import (
    AveragePool2D,
    BatchNorm,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GroupNorm,
    LeakyReLU,
    MaxPool2D,
    ReLU,
    Residual,
    Softmax,
)
from fastcnn.losses import CrossEntropyLoss
from fastcnn.network import turns
from fastcnn.optim import SGD, Adam
from kernels import jit

RNG = np.random.default_rng(11)
# Of several sizes, so that threads need different shapes of the same memory.
IMAGES = [RNG.integers(0, 256, (n, 2, 8, 8), dtype=np.uint8) for n in (1, 7, 30, 64)]
LABELS = [RNG.integers(0, 3, len(images)) for images in IMAGES]


def build() -> Sequential:
    """One of everything that takes memory outside training."""
    return Sequential(
        Conv2D(2, 6, 3, padding=1), BatchNorm(6), ReLU(), MaxPool2D(2), Dropout(0.3),
        Residual(
            [Conv2D(6, 6, 3, padding=1), GroupNorm(2, 6), Residual([ReLU()])],
            shortcut=[Conv2D(6, 6, 1)], activation=Residual([LeakyReLU()], activation=ReLU()),
        ),
        Concatenate([BatchNorm(6), Conv2D(6, 3, 3, padding=1)]),
        AveragePool2D(2), Flatten(), Dense(36, 8), ReLU(), Dropout(0.5), Dense(8, 3), Softmax(),
    )  # fmt: skip


def trained(steps: int = 2) -> Sequential:
    model, optimizer = build(), SGD(0.05, momentum=0.9)
    train(model, optimizer, steps)
    return model


def train(model: Sequential, optimizer: SGD, steps: int) -> None:
    loss = CrossEntropyLoss()
    for _ in range(steps):
        loss.forward(model.forward(IMAGES[2], training=True), LABELS[2])
        model.backward(loss.backward())
        optimizer.step(model)


ASKED: dict[str, Callable[[Sequential, int], Any]] = {
    "predict": lambda model, i: model.predict(IMAGES[i], batch_size=16),
    "predict_proba": lambda model, i: model.predict_proba(IMAGES[i], batch_size=32),
    "evaluate": lambda model, i: np.array(model.evaluate(IMAGES[i], LABELS[i])),
    "forward": lambda model, i: model.forward(IMAGES[i]),
    "prepared": lambda model, i: model.prepared(IMAGES[i]).copy(),
    "layers": lambda model, i: row_of(model, IMAGES[i]),
}


def row_of(model: Sequential, images: np.ndarray) -> np.ndarray:
    """Layer by layer, by hand."""
    x = images.astype(np.float32)
    for layer in model.layers:
        x = layer.forward(x)
    return x


def at_once(jobs: list[Callable[[], Any]]) -> list[Any]:
    """The results of jobs that begin together, each in a thread of its own."""
    barrier = threading.Barrier(len(jobs))

    def run(job: Callable[[], Any]) -> Any:
        barrier.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result() for future in [pool.submit(run, job) for job in jobs]]


def all_right(model: Sequential, others: list[Callable[[], Any]], rounds: int = 12) -> None:
    """Ask for everything from eight threads at once, beside what others do."""
    expected = {(name, i): ask(model, i) for name, ask in ASKED.items() for i in range(4)}

    def asks(seed: int) -> list[tuple[str, int]]:
        wrong, numbers = [], np.random.default_rng(seed)
        for _ in range(rounds):
            name, i = str(numbers.choice(list(ASKED))), int(numbers.integers(4))
            if not np.array_equal(ASKED[name](model, i), expected[name, i]):
                wrong.append((name, i))
        return wrong

    answers = at_once([*(lambda seed=seed: asks(seed) for seed in range(8)), *others])
    assert answers[:8] == [[]] * 8


@pytest.mark.parametrize("kernels", ["numba", "im2col"])
def test_eight_threads_ask_one_model(kernels: str) -> None:
    model = trained()
    with backend(kernels):
        all_right(model, [])


def test_models_that_share_layers() -> None:
    model = trained()
    front, tail = Sequential(*model.layers[:7]), Sequential(*model.layers[7:], Softmax())
    inner = model.layers[5]
    assert isinstance(inner, Residual)
    part = Sequential(*inner.main)
    x = front.forward(IMAGES[1])
    small = RNG.normal(size=(5, 6, 4, 4)).astype(np.float32)
    expected = [x, tail.forward(x), part.forward(small)]

    def ask(who: Sequential, given: np.ndarray, wanted: np.ndarray) -> int:
        return sum(not np.array_equal(who.forward(given), wanted) for _ in range(40))

    others = [
        lambda: ask(front, IMAGES[1], expected[0]),
        lambda: ask(tail, x, expected[1]),
        lambda: ask(part, small, expected[2]),
    ]
    wrong: list[int] = []
    all_right(model, [lambda job=job: wrong.append(job()) for job in others], rounds=30)
    assert wrong == [0, 0, 0]


def test_first_use_in_many_threads_draws_the_weights_once() -> None:
    """A layer that stands alone makes its weights when someone first asks."""
    for seed in range(20):
        layer = Dense(6, 50, seed=seed)
        x = np.ones((3, 6), np.float32)
        answers = at_once([functools.partial(layer.forward, x)] * 6)
        for answer in answers:
            np.testing.assert_array_equal(answer, layer.forward(x))
        assert answers[0].any()


def test_an_error_in_one_thread_is_no_matter_to_others() -> None:
    model = trained()

    def fail() -> None:
        for _ in range(50):
            with pytest.raises(ValueError, match="expected input with 2 channels"):
                model.forward(np.zeros((1, 3, 8, 8), np.float32))

    all_right(model, [fail, fail])


def test_copies_made_while_others_ask() -> None:
    model = trained()
    expected = model.predict_proba(IMAGES[1])

    def copies() -> None:
        for _ in range(5):
            np.testing.assert_array_equal(copy.deepcopy(model).predict_proba(IMAGES[1]), expected)

    all_right(model, [copies])


# --- beside training ----------------------------------------------------------------------------


def test_training_is_the_same_to_the_bit_beside_prediction() -> None:
    model, twin = build(), build()
    front = Sequential(*model.layers[:6])  # asking it must not touch the dropout of the whole
    stop = threading.Event()

    def ask(who: Sequential) -> None:
        while not stop.is_set():
            who.forward(IMAGES[1])
            who.predict(IMAGES[3]) if who is model else None

    def learn() -> None:
        try:
            train(model, SGD(0.05, momentum=0.9), 15)
        finally:
            stop.set()

    at_once([learn, lambda: ask(model), lambda: ask(front)])
    train(twin, SGD(0.05, momentum=0.9), 15)
    for name, array in twin.named_arrays():
        np.testing.assert_array_equal(dict(model.named_arrays())[name], array, err_msg=name)


def in_thread(job: Callable[[], Any], name: str = "another") -> Any:
    """The result of a job in another thread, or its error."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(job())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run, name=name)
    thread.start()
    thread.join()
    return found[0]


def refused(answer: Any) -> bool:
    if not isinstance(answer, RuntimeError):
        return False
    sentence = "thread 'MainThread' is training this model, or layers of it, so 'another' cannot"
    return sentence in str(answer)


TRAINED: dict[str, Callable[[Sequential], Any]] = {
    "forward": lambda model: model.forward(IMAGES[0], training=True),
    "backward": lambda model: model.backward(np.ones((30, 3), np.float32)),
    "train": lambda model: model.train(IMAGES[1], LABELS[1], epochs=1),
    "step": lambda model: SGD(0.5).step(model),
    "step of layers": lambda model: Adam(0.5).step(model.layers[:1]),
}


@pytest.mark.parametrize("job", TRAINED.values(), ids=TRAINED)
def test_a_second_thread_is_refused_between_forward_and_backward(job: Any) -> None:
    model, twin = build(), build()
    for each in (model, twin):
        y = each.forward(IMAGES[2], training=True)
        if each is model:
            assert refused(in_thread(lambda: job(model)))
            assert in_thread(lambda: model.predict(IMAGES[0])).shape == (1,)
        each.backward(np.ones_like(y))
    np.testing.assert_array_equal(model.parameters.gradients, twin.parameters.gradients)
    assert in_thread(lambda: model.forward(IMAGES[0], training=True)).shape == (1, 3)


@pytest.mark.parametrize("job", TRAINED.values(), ids=TRAINED)
def test_a_second_thread_is_refused_during_train(job: Any) -> None:
    model, twin = build(), build()
    answers: list[bool] = []

    def look() -> bool:
        answers.append(refused(in_thread(lambda: job(model))))
        answers.append(refused(in_thread(lambda: job(Sequential(*model.layers[:1], Flatten())))))
        return False

    model.train(IMAGES[2], LABELS[2], epochs=2, batch_size=16, should_stop=look)
    twin.train(IMAGES[2], LABELS[2], epochs=2, batch_size=16)
    assert answers == [True] * 8
    np.testing.assert_array_equal(model.parameters.values, twin.parameters.values)
    assert in_thread(lambda: model.train(IMAGES[1], LABELS[1], epochs=1)).epochs == 1


def test_a_turn_ends_with_an_error_and_with_its_thread() -> None:
    model = build()
    with pytest.raises(ValueError, match="expected input with 2 channels"):
        model.forward(np.zeros((1, 3, 8, 8), np.float32), training=True)
    assert in_thread(lambda: model.forward(IMAGES[0], training=True)).shape == (1, 3)
    # That thread is gone, and its backward pass will not come.
    model.forward(IMAGES[0], training=True)
    with pytest.raises(ValueError, match="backward expected"):
        model.backward(np.ones((5, 3), np.float32))
    assert in_thread(lambda: model.train(IMAGES[1], LABELS[1], epochs=1)).epochs == 1
    with pytest.raises(ValueError, match="smaller than the images"):
        model.train(IMAGES[1], LABELS[1], augment=anything_shifted())
    assert in_thread(lambda: model.train(IMAGES[1], LABELS[1], epochs=1)).epochs == 1


def anything_shifted() -> Any:
    return Augment(shift=9)


def test_a_failed_forward_leaves_nothing_for_backward() -> None:
    """Half of what the layers remember would belong to the pass before."""
    model = Sequential(Conv2D(2, 3, 3), Flatten(), Dense(108, 3))
    y = model.forward(IMAGES[1], training=True)
    with pytest.raises(ValueError, match="108 features"):
        model.forward(np.zeros((7, 2, 9, 9), np.float32), training=True)
    with pytest.raises(RuntimeError, match="backward needs a forward"):
        model.backward(y)


@pytest.mark.parametrize("whole", [True, False])
def test_no_backward_pass_mixes_the_weights_before_a_step_with_those_after(whole: bool) -> None:
    model = build()
    layers = model.layers
    y = model.forward(IMAGES[2], training=True)
    model.backward(np.ones_like(y))
    model.backward(np.ones_like(y))  # other gradients of the same pass are nobody's loss
    SGD(0.1).step(model if whole else layers)
    with pytest.raises(RuntimeError, match="after the last step of an optimizer"):
        model.backward(np.ones_like(y))
    model.backward(np.ones_like(model.forward(IMAGES[2], training=True)))


def test_gradients_may_be_handed_from_thread_to_thread() -> None:
    model, twin, optimizer = build(), build(), SGD(0.1)
    for each in (model, twin):
        y = each.forward(IMAGES[2], training=True)
        each.backward(np.ones_like(y))
    optimizer.step(model)
    assert in_thread(lambda: SGD(0.1).step(twin)) is None
    optimizer.step(model)  # the same gradients once more, as Python's users may want it
    assert in_thread(lambda: SGD(0.1).step(twin)) is None
    np.testing.assert_array_equal(model.parameters.values, twin.parameters.values)


def test_kernels_have_as_many_threads_in_every_thread() -> None:
    model, before = build(), jit.get_threads()

    def own() -> list[int]:
        jit.set_threads(2)
        model.predict(IMAGES[1])
        return [jit.get_threads(), numba.get_num_threads()]

    def asked() -> int:
        model.predict(IMAGES[1])
        return numba.get_num_threads()

    try:
        for threads in (1, 3):
            jit.set_threads(threads)
            assert in_thread(asked) == in_thread(jit.get_threads) == threads
            assert in_thread(own) == [2, 2]
            assert jit.get_threads() == threads
    finally:
        jit.set_threads(before)


def test_a_refused_training_changes_nothing() -> None:
    """What the model learns from and what its classes are called belong to whoever trains."""
    model = Sequential(Flatten(), Dense(8, 2))
    x, y = np.random.default_rng(0).random((6, 2, 2, 2), np.float32), ["cat", "dog"] * 3
    before = model.learned_from, model.class_names
    with model.training_turn():
        assert refused(in_thread(lambda: model.train(x, y, epochs=1)))
    assert (model.learned_from, model.class_names) == before
    model.train(x, y, epochs=1)
    assert (model.learned_from, model.class_names) == ("floats", ("cat", "dog"))


class _LettingGo(threading.Thread):
    """Lets go of a turn just when somebody asks whether it lives."""

    turn: turns.Turn

    def is_alive(self) -> bool:
        self.turn.release()
        return True


def test_who_lets_go_while_another_asks_is_named_all_the_same() -> None:
    layer, turn, holder = Dense(2, 2), turns.Turn(), _LettingGo(name="the other")
    turn.take("test", [layer])
    turn.thread, holder.turn = holder, turn
    with pytest.raises(RuntimeError, match="the thread 'the other' is training"):
        turns.Turn().take("test", [layer])
    assert turns.Turn().take("test", [layer])


def test_threads_that_all_want_to_train_never_mix() -> None:
    """Whoever comes through has trained alone."""
    model, sentences = build(), list[str]()

    def learn() -> int:
        done = 0
        for _ in range(60):
            try:
                y = model.forward(IMAGES[1], training=True)
                model.backward(np.ones_like(y))
            except RuntimeError as error:
                sentences.append(str(error))
            else:
                done += 1
        return done

    done = at_once([learn] * 4)
    assert sum(done) >= 60
    assert model._clock.step == sum(done)
    assert all("is training this model" in sentence for sentence in sentences)
