"""Training in several processes: the bits of one.

Most tests have threads for processes, so that they need no MPI. The long proof, with real ones, is
`python -m tests.training.prove_parallel`.
"""

import sys

import numpy as np
import pytest

from fastcnn import Augment, Sequential
from fastcnn.layers import (
    BatchNorm,
    Conv2D,
    ConvTranspose2D,
    Dense,
    Dropout,
    Flatten,
    GroupNorm,
    MaxPool2D,
    PReLU,
    ReLU,
    Residual,
    SpatialDropout,
)
from fastcnn.training import TrainingDiverged, travelling
from fastcnn.training.parallel import MPI, Alone, found, started
from kernels import portion

from .processes import together

IMAGES = 16 * 5 + 9 + 40 + 7  # with batches of 40 and one of 16: uneven chunks, a last small batch


def data(count=IMAGES, shape=(3, 16, 16)):
    numbers = np.random.default_rng(1)
    return numbers.integers(0, 256, (count, *shape), np.uint8), numbers.integers(0, 4, count)


def everything():
    """Whatever sums over a batch, in large arrays and small ones."""
    return Sequential(
        Conv2D(3, 16, 3, padding=1), BatchNorm(16), MaxPool2D(2), ReLU(),
        Conv2D(16, 16, 3, padding=1, groups=16), GroupNorm(4, 16), ReLU(),
        ConvTranspose2D(16, 8, 2, stride=2), PReLU(8), SpatialDropout(0.2),
        Residual([Conv2D(8, 8, 3, padding=1), BatchNorm(8)]),
        Conv2D(8, 12, 3, stride=2), BatchNorm(12), PReLU(12), Flatten(), Dropout(0.3),
        Dense(12 * 7 * 7, 30), BatchNorm(30), ReLU(), Dense(30, 4), seed=5,
    )  # fmt: skip


def trained(parallel, build=everything, images=IMAGES, shape=(3, 16, 16), **options):
    model = build()
    options = {"epochs": 1, "batch_size": 40, "optimizer": "adam", "progress": False, **options}
    history = model.train(*data(images, shape), parallel=parallel, **options)
    kept = {name: values for name, values in history.items() if not name.startswith("seconds")}
    return {name: array.tobytes() for name, array in model.copy_arrays().items()}, kept


OPTIONS = (
    {"clip_norm": 0.5, "validation": 0.3, "track_gradients": True},
    {
        "augment": Augment(shift=2, flip=True, noise=0.1, brightness=0.2, cutout=3),
        "class_weight": {0: 2.0},
        "ema": 0.9,
    },
    {"augment": Augment(mixup=0.2, rotate=10), "precise_bn": 2, "optimizer": "sgd"},
    {"loss": "hinge", "batch_size": 63, "sample_weight": np.linspace(0.5, 2, IMAGES)},
)


@pytest.mark.parametrize("options", OPTIONS, ids=["clip", "changed", "mixed", "weighted"])
def test_the_bits_do_not_depend_on_the_number_of_processes(options):
    alone = trained(Alone(), **options)
    for count in (2, 4):
        for result in together(count, lambda comm: trained(MPI(comm), **options)):
            assert result == alone


def convolutions():
    """Gradients of each kind that a convolution is given, in each way that it has."""
    return Sequential(
        Conv2D(3, 16, 3, padding=1), ReLU(), Conv2D(16, 16, 3, padding=1, groups=4), BatchNorm(16),
        Conv2D(16, 16, 5, padding=2), MaxPool2D(2), ReLU(),
        Conv2D(16, 16, 3, padding=1), BatchNorm(16), MaxPool2D(2), ReLU(),
        Conv2D(16, 8, 3), Conv2D(8, 8, 1, groups=2), Flatten(), Dense(8 * 2 * 2, 4), seed=5,
    )  # fmt: skip


def test_each_way_to_convolve_has_the_same_bits_in_two_processes():
    alone = trained(Alone(), convolutions)
    for result in together(2, lambda comm: trained(MPI(comm), convolutions)):
        assert result == alone


def test_fewer_chunks_than_processes(monkeypatch):
    """As where filters are many and images small: every process sums over the whole batch."""
    monkeypatch.setattr(portion, "_SUMS", 1)
    alone = trained(Alone(), convolutions)
    for result in together(8, lambda comm: trained(MPI(comm), convolutions)):
        assert result == alone


@pytest.mark.parametrize(
    ("images", "size", "chunks"),
    [
        (128, 1000, 16),
        (128, 1_200_000, 8),
        (128, 2_400_000, 4),
        (9, 1e9, 4),
        (3, 1, 3),
        (3, 1e9, 3),
    ],
)
def test_chunks_are_fewer_where_sums_are_large(images, size, chunks):
    assert portion.chunks_with_sums(images, size) == chunks


def test_large_gradients_travel_by_themselves(monkeypatch):
    alone, begun = trained(Alone()), []
    monkeypatch.setattr(travelling, "_LEAST", 500)
    send = travelling.Travelling._send
    monkeypatch.setattr(
        travelling.Travelling, "_send",
        lambda self, each: (begun.append((each.distance, each.array.nbytes)), send(self, each)),
    )  # fmt: skip
    for result in together(4, lambda comm: trained(MPI(comm))):
        assert result == alone
    assert {distance for distance, _ in begun} == {1, 2}
    assert len({size for _, size in begun}) > 5
    assert min(size for _, size in begun) >= 500


def test_what_lies_between_those_that_travel_is_the_rest():
    flat = np.arange(20.0)

    def rests(comm):
        sums = travelling.Travelling(comm)
        for array in (flat[12:15], flat[3:7], flat[7:10]):
            sums._under_way.append(travelling._Traveller(array, array, 1))
        return [list(rest) for rest in sums.rest(flat)], [
            list(rest) for rest in sums.rest(flat[:3])
        ]

    (rest, before), _ = together(2, rests)
    assert rest == [[0, 1, 2], [10, 11], [15, 16, 17, 18, 19]]
    assert before == [[0, 1, 2]]


def test_sixteen_processes():
    alone = trained(Alone())
    assert together(16, lambda comm: trained(MPI(comm)))[7] == alone


def test_they_go_on_from_the_checkpoint_of_another_number(tmp_path):
    path = tmp_path / "last.npz"
    whole = trained(Alone(), epochs=2)

    def begin(comm):
        trained(MPI(comm), epochs=1, checkpoint_path=path)

    together(4, begin)
    goes_on = {"epochs": 2, "resume_from": path}
    assert together(2, lambda comm: trained(MPI(comm), **goes_on))[1][0] == whole[0]
    assert trained(Alone(), **goes_on)[0] == whole[0]


def test_one_writes_and_prints(tmp_path, capsys):
    def train(comm):
        parallel = MPI(comm)
        asked = []
        trained(
            parallel, checkpoint_path=tmp_path / f"{comm.Get_rank()}.npz", progress=True,
            callbacks=[lambda model, history: asked.append(1)],
        )  # fmt: skip
        return len(asked)

    assert together(2, train) == [1, 0]
    assert [file.name for file in tmp_path.iterdir()] == ["0.npz"]
    assert capsys.readouterr().out.count("epoch") == 1


def test_all_stop_where_one_is_asked_to():
    def train(comm):
        calls = []

        def should_stop():
            calls.append(1)
            return comm.Get_rank() == 1 and len(calls) == 2

        trained(MPI(comm), should_stop=should_stop, epochs=3)
        return len(calls)

    assert together(4, train) == [2, 2, 2, 2]


def test_all_see_a_divergence():
    def train(comm):
        try:
            trained(MPI(comm), optimizer="sgd", clip_norm=None, loss=_Lost())
        except TrainingDiverged as error:
            return str(error)
        return None

    words = together(2, train)
    assert words[0] is not None
    assert words[0] == words[1]


class _Lost:
    """A loss of one's own that is lost at the second batch."""

    from_logits = True

    def __init__(self):
        self.calls = 0

    def forward(self, outputs, targets):
        self.calls += 1
        self.shape = outputs.shape
        return np.nan if self.calls == 2 else 1.0

    def backward(self):
        return np.zeros(self.shape, np.float32)


def test_a_budget_of_time_is_that_of_the_first(monkeypatch):
    counts = together(2, lambda comm: trained(MPI(comm), minutes=0.02)[1]["steps"])
    assert counts[0] == counts[1]


# --- refusals -------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _all_fail(monkeypatch):
    monkeypatch.setattr(MPI, "_all_fail", lambda self: True)


@pytest.mark.parametrize("count", [3, 6])
def test_a_number_that_does_not_divide_the_tree(count):
    with pytest.raises(ValueError, match=f"1, 2, 4, 8 or 16 processes, got {count}"):
        together(count, MPI)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 15}, "batches of at least 16 images, got batch_size 15"),
        ({"seed": "rank"}, "process 1 on .* has another seed than process 0: 1 instead of 0"),
        ({"images": "rank"}, "process 1 on .* has another x than process 0"),
        ({"build": lambda: Sequential(Flatten(), _Own(), Dense(768, 4))}, "_Own is a layer of you"),
    ],
)
def test_refusals(options, words):
    def train(comm):
        own = {"seed": comm.Get_rank(), "images": IMAGES + comm.Get_rank()}
        given = {name: own[name] if value == "rank" else value for name, value in options.items()}
        return trained(MPI(comm), **given)

    with pytest.raises(ValueError, match=words):
        together(2, train)


class _Own(Flatten):
    """A layer that might sum over the batch."""


def test_other_backends_add_up_in_one_process():
    from fastcnn import backends

    backends.set_backend("im2col")
    try:
        with pytest.raises(ValueError, match="backend im2col adds up a batch in one process"):
            together(2, lambda comm: trained(MPI(comm)))
    finally:
        backends.set_backend("numba")


# --- the start ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"PMI_RANK": "3", "PMI_SIZE": "4"}, (3, 4)),
        ({"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"}, (0, 2)),
        ({"PMIX_RANK": "1"}, (1, 0)),
        ({"PMI_RANK": "x"}, None),
    ],
)
def test_who_was_started_by_mpiexec(environment, expected):
    assert started(environment) == expected


def test_without_mpi4py_the_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", None)
    with pytest.raises(ValueError, match=r"pip install 'fastcnn\[distributed\]'"):
        found()


# --- the tree -------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [1, 2, 3, 5, 8, 11, 16])
def test_both_trees_add_the_same(chunks):
    from kernels.tree import add_tree

    sums = np.random.default_rng(chunks).standard_normal((chunks, 7))
    flat = sums.reshape(-1).copy()
    add_tree(flat, chunks, 7)
    np.testing.assert_array_equal(flat[:7], portion.add_tree(sums))


@pytest.mark.parametrize("items", [16, 40, 63, 100])
def test_branches_begin_where_chunks_do(items):
    whole = portion.cut(items, 16)
    for count in (2, 4, 8, 16):
        mine = 16 // count
        for rank in range(count):
            begins = items * rank // count
            cut = portion.cut(items, 16, rank * mine, (rank + 1) * mine)
            np.testing.assert_array_equal(cut + begins, whole[rank * mine : (rank + 1) * mine + 1])
