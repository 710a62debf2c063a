"""The estimators do what scikit-learn expects of its own."""

import functools
import pickle
import subprocess
import sys

import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_digits, load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastcnn import Graph, Input, Sequential, load_model
from fastcnn.estimator import CNNClassifier, CNNRegressor
from fastcnn.layers import Concat, Conv2D, Dense, Dropout, Flatten, ReLU
from fastcnn.losses import HingeLoss
from fastcnn.optim import SGD
from kernels import jit
from kernels.cores import available_cores

IRIS, KINDS = load_iris(return_X_y=True)
SCALED = StandardScaler().fit_transform(IRIS)
NAMES = np.array(["setosa", "versicolor", "virginica"])[KINDS]
ROWS, DIGITS = load_digits(return_X_y=True)  # 64 numbers from 0 to 16
IMAGES = (ROWS.reshape(-1, 1, 8, 8) * 15.9).astype(np.uint8)


@parametrize_with_checks(
    [CNNClassifier(), CNNClassifier(loss="hinge"), CNNRegressor()]
)  # and no check may fail
def test_what_scikit_learn_asks_of_every_estimator(estimator, check):
    check(estimator)


def quick(**arguments) -> CNNClassifier:
    return CNNClassifier(**{"epochs": 3, "lr": 0.01, "random_state": 0, **arguments})


def numbers(**arguments) -> CNNRegressor:
    return CNNRegressor(**{"epochs": 30, "lr": 0.01, "random_state": 0, **arguments})


def small(shape, outputs, seed=0) -> Sequential:
    layers = Conv2D(shape[0], 4, 3), ReLU(), Flatten(), Dropout(0.3)
    return Sequential(*layers, Dense(4 * (shape[1] - 2) * (shape[2] - 2), outputs), seed=seed)


# --- what it learns -------------------------------------------------------------------------------


def test_names_are_learned_and_given_back():
    found = quick(epochs=20).fit(SCALED, NAMES)
    assert found.score(SCALED, NAMES) > 0.9
    assert list(found.classes_) == ["setosa", "versicolor", "virginica"]
    assert found.model_.class_names == ("setosa", "versicolor", "virginica")
    assert (found.n_features_in_, found.n_iter_, len(found.loss_curve_)) == (4, 20, 20)
    assert found.history_["loss"] == found.loss_curve_


def test_rows_become_images():
    flat = quick(input_shape=(1, 8, 8)).fit(IMAGES.reshape(-1, 64)[:500], DIGITS[:500])
    given = quick().fit(IMAGES[:500], DIGITS[:500])
    grey = quick().fit(IMAGES[:500, 0], DIGITS[:500])
    assert flat.score(IMAGES.reshape(-1, 64)[500:], DIGITS[500:]) > 0.8
    wanted = given.predict_proba(IMAGES[500:])
    assert (flat.predict_proba(IMAGES.reshape(-1, 64)[500:]) == wanted).all()
    assert (grey.predict_proba(IMAGES[500:, 0]) == wanted).all()
    assert given.model_.learned_from == "pixels"


def forked() -> Graph:
    x = Input((1, 8, 8))
    sides = Conv2D(1, 4, 3)(x), Conv2D(1, 4, 3)(x)
    return Graph(x, Dense(288, 10)(Flatten()(ReLU()(Concat()(sides)))))


@pytest.mark.parametrize(
    "network",
    ["lab-cnn", small, functools.partial(small, seed=3), small((1, 8, 8), 10), forked()],
    ids=["name", "function", "partial", "network", "graph"],
)
def test_any_network(network):
    found = quick(network=network, input_shape=(1, 8, 8)).fit(ROWS[:300] / 16, DIGITS[:300])
    assert found.score(ROWS[:300] / 16, DIGITS[:300]) > 0.5
    assert found.predict_proba(ROWS[:7] / 16).shape == (7, 10)


def test_a_network_is_copied_and_goes_on_from_its_weights():
    network = small((1, 8, 8), 10)
    before = network.copy_arrays()
    found = quick(network=network).fit(IMAGES[:200], DIGITS[:200])
    assert all((array == before[name]).all() for name, array in network.copy_arrays().items())
    still = quick(network=network, optimizer="sgd", lr=0.0).fit(IMAGES[:200], DIGITS[:200])
    assert (still.predict(IMAGES) == network.predict(IMAGES)).all()
    assert (found.predict(IMAGES) != network.predict(IMAGES)).any()


def test_other_options_of_train_reach_it():
    found = quick(
        validation=0.25, patience=1, epochs=50, lr=0.05, options={"monitor": "val_accuracy"}
    )
    found.fit(SCALED, KINDS)
    assert found.history_.stopped_because == "early stopping"
    assert found.n_iter_ < 50
    assert len(found.history_["val_loss"]) == found.n_iter_
    with pytest.raises(TypeError, match="here it is called 'clip_norm'"):
        quick(options={"clipnorm": 1.0}).fit(SCALED, KINDS)


# --- numbers --------------------------------------------------------------------------------------

LENGTH, WIDTH = SCALED[:, 2], SCALED[:, 3]


def test_numbers_are_learned():
    found = numbers().fit(SCALED[:, :3], WIDTH)
    assert found.score(SCALED[:, :3], WIDTH) > 0.9
    assert found.predict(SCALED[:7, :3]).shape == (7,)
    assert set(found.history_) >= {"loss", "r2", "mae"}
    assert (found.n_features_in_, found.n_iter_, len(found.loss_curve_)) == (3, 30, 30)


def test_several_numbers_at_once():
    both = np.stack([LENGTH, WIDTH], axis=1)
    found = numbers(validation=0.2, patience=5).fit(SCALED[:, :2], both)
    assert found.predict(SCALED[:7, :2]).shape == (7, 2)
    assert found.score(SCALED[:, :2], both) > 0.7
    column = numbers(epochs=3).fit(SCALED[:, :3], WIDTH[:, None])
    row = numbers(epochs=3).fit(SCALED[:, :3], WIDTH)
    assert (column.predict(SCALED[:, :3])[:, 0] == row.predict(SCALED[:, :3])).all()
    with pytest.raises(ValueError, match=r"targets of shape \(1,\) before, got \(2,\)"):
        column.partial_fit(SCALED[:, :3], both)


def test_numbers_from_images():
    ink = IMAGES.mean(axis=(1, 2, 3)) / 255
    found = numbers(network=small, epochs=5, loss="huber").fit(IMAGES[:500], ink[:500] * 10)
    assert found.score(IMAGES[500:], ink[500:] * 10) > 0.5


def test_numbers_in_passes():
    found = numbers()
    for _ in range(20):
        found.partial_fit(SCALED[:, :3], WIDTH)
    again = pickle.loads(pickle.dumps(found))
    assert found.score(SCALED[:, :3], WIDTH) > 0.8
    assert (again.predict(SCALED[:, :3]) == found.predict(SCALED[:, :3])).all()
    target = TransformedTargetRegressor(numbers(), transformer=StandardScaler())
    assert target.fit(SCALED[:, :3], 1e4 + 50 * WIDTH).score(SCALED[:, :3], 1e4 + 50 * WIDTH) > 0.9


def test_tables_keep_their_precision():
    assert numbers(epochs=1).fit(SCALED, WIDTH).model_.dtype == np.float64
    assert numbers(epochs=1).fit((SCALED * 9).astype(int), WIDTH).model_.dtype == np.float64
    single = numbers(epochs=1).fit(SCALED.astype(np.float32), WIDTH)
    assert single.model_.dtype == np.float32
    wide = single.predict(SCALED.astype(np.float32).astype(float))
    assert (wide == single.predict(SCALED.astype(np.float32))).all()


# --- weights --------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", [quick(), numbers()], ids=["classes", "numbers"])
def test_samples_of_weight_0_are_as_good_as_absent(estimator):
    weights = np.random.default_rng(0).integers(0, 3, len(KINDS))
    kept = weights > 0
    one = clone(estimator).fit(SCALED, KINDS, sample_weight=weights)
    two = clone(estimator).fit(SCALED[kept], KINDS[kept], sample_weight=weights[kept] * 10)
    three = clone(estimator).fit(SCALED[kept], KINDS[kept])
    assert np.allclose(one.predict(SCALED), two.predict(SCALED), rtol=1e-9)
    assert one.loss_curve_ != three.loss_curve_


def test_classes_have_weights_by_their_labels():
    rare = np.flatnonzero((NAMES != "versicolor") | (np.arange(len(NAMES)) % 10 == 0))

    def recall(class_weight):
        found = quick(network=None, epochs=8, lr=0.003, class_weight=class_weight)
        return (found.fit(SCALED[rare], NAMES[rare]).predict(SCALED) == "versicolor").mean()

    assert recall(None) < recall("balanced")
    assert recall({"versicolor": 100.0}) > 0.5
    assert recall({"versicolor": 0.0}) == 0
    with pytest.raises(ValueError, match="class_weight has 'rosa', the classes are setosa, vers"):
        recall({"rosa": 2.0})
    with pytest.raises(ValueError, match="partial_fit does not see: give a dict"):
        quick(class_weight="balanced").partial_fit(SCALED, NAMES, classes=np.unique(NAMES))
    passes = quick(class_weight={"setosa": 0.0})
    passes.partial_fit(SCALED, NAMES, classes=np.unique(NAMES), sample_weight=np.ones(len(NAMES)))
    assert passes.n_iter_ == 1


# --- random choices -------------------------------------------------------------------------------


def probabilities(found: CNNClassifier) -> np.ndarray:
    return found.predict_proba(IMAGES[:50])


def test_random_states():
    def fitted(state):
        return probabilities(quick(network=small, epochs=1, random_state=state).fit(IMAGES, DIGITS))

    assert (fitted(5) == fitted(5)).all()
    assert (fitted(5) != fitted(6)).any()
    state = np.random.RandomState(5)
    first, second = fitted(state), fitted(state)
    assert (first == fitted(np.random.RandomState(5))).all()
    assert (first != second).any()
    np.random.seed(5)  # noqa: NPY002
    assert (fitted(None) == first).all()


def test_further_passes_choose_anew(monkeypatch):
    """Else dropout would leave the same units out in every pass."""
    seeds = []
    clock = Sequential.set_clock
    monkeypatch.setattr(
        Sequential, "set_clock", lambda self, *keys: (seeds.append(keys), clock(self, *keys))
    )
    found = quick(network=small)
    for _ in range(3):
        found.partial_fit(IMAGES[:32], DIGITS[:32], classes=range(10))
    assert len(set(seeds)) == len(seeds) == 3


# --- going on -------------------------------------------------------------------------------------


def test_partial_fit_goes_on():
    found = quick(network=small)
    for start in range(0, 1500, 300):
        found.partial_fit(
            IMAGES[start : start + 300], DIGITS[start : start + 300], classes=range(10)
        )
    assert found.score(IMAGES[1500:], DIGITS[1500:]) > 0.7
    assert found.n_iter_ == len(found.loss_curve_) == 5
    assert found._optimizer.steps == 5 * 10  # 300 rows in batches of 32
    with pytest.raises(ValueError, match="y has 10, the classes are 0, 1, 2"):
        found.partial_fit(IMAGES[:5], [1, 2, 3, 10, 4])
    with pytest.raises(ValueError, match=r"the classes are 0, 1, .* not 3, 4"):
        found.partial_fit(IMAGES[:5], DIGITS[:5], classes=[3, 4])
    with pytest.raises(ValueError, match="the first call of partial_fit needs classes="):
        quick().partial_fit(SCALED, KINDS)


def test_warm_start_goes_on_and_fit_begins_anew():
    warm = quick(warm_start=True).fit(SCALED, KINDS)
    loss = warm.loss_curve_[-1]
    warm.fit(SCALED, KINDS)
    assert (warm.n_iter_, len(warm.loss_curve_)) == (6, 6)
    assert warm.loss_curve_[3] < loss
    with pytest.raises(ValueError, match="y has 3, the classes are 0, 1, 2"):
        warm.fit(SCALED, KINDS + 1)
    cold = quick().fit(SCALED, KINDS)
    first = cold.predict_proba(SCALED)
    assert (cold.fit(SCALED, KINDS).predict_proba(SCALED) == first).all()
    assert cold.n_iter_ == 3


# What fails: before the network is made, in making it, and in an epoch that is not the first.
FAILURES = {
    "y": ({}, (SCALED[:, :2], KINDS[:7])),
    "loss": ({"loss": "bce"}, (SCALED[:, :2], KINDS)),
    "epochs": ({"epochs": 0}, (SCALED[:, :2], KINDS)),
    "diverges": ({"lr": 1e200}, (SCALED[:, :2], KINDS)),
    "metric": ({"options": {"metrics": {"odd": lambda *_: "three"}}}, (SCALED[:, :2], KINDS)),
}


def state(found) -> dict:
    """All that a fit sets; of arrays and networks their numbers."""
    own = {name: value for name, value in vars(found).items() if name not in found.get_params()}
    model, optimizer = own.pop("model_"), own.pop("_optimizer")
    own["history_"] = own["history_"]["loss"]  # not how long it took
    known = repr((model.loss, model.task, model.learned_from, model.class_names))
    arrays = model.copy_arrays() | optimizer.state_arrays()
    return {**own, "known": known, **{name: array.tobytes() for name, array in arrays.items()}}


def same(one: dict, two: dict) -> bool:
    return one.keys() == two.keys() and all(np.array_equal(one[n], two[n]) for n in one)


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("estimator", [quick(), numbers(epochs=3)], ids=["classes", "numbers"])
def test_a_fit_that_fails_leaves_what_was_there(estimator, failure):
    arguments, data = FAILURES[failure]
    fresh = clone(estimator).set_params(**arguments)
    with pytest.raises((ValueError, ArithmeticError)):
        fresh.fit(*data)
    assert not fresh.__sklearn_is_fitted__() and not hasattr(fresh, "n_features_in_")
    found = clone(estimator).fit(SCALED, KINDS)
    before = state(found)
    with pytest.raises((ValueError, ArithmeticError)):
        found.set_params(**arguments).fit(*data)
    assert same(state(found), before)
    assert found.predict(SCALED).shape == (len(SCALED),)


@pytest.mark.parametrize("estimator", [quick(), numbers(epochs=3)], ids=["classes", "numbers"])
def test_going_on_that_fails_leaves_what_was_there(estimator):
    found = clone(estimator).set_params(warm_start=True).fit(SCALED, KINDS)
    before, seen = state(found), []

    def stop(_, history):
        seen.append(history.epochs)
        if len(seen) > 1:
            raise KeyboardInterrupt

    found.set_params(options={"callbacks": [stop]})
    for learn in (found.fit, found.partial_fit):
        with pytest.raises(KeyboardInterrupt):
            learn(SCALED, KINDS)
        assert same(state(found), before)
    assert seen == [1, 2, 1]
    other = clone(estimator).fit(SCALED, KINDS).partial_fit(SCALED, KINDS)
    assert same(state(found.set_params(options=None).partial_fit(SCALED, KINDS)), state(other))


@pytest.mark.parametrize("optimizer", ["adam", SGD(0.01, momentum=0.9)])
def test_a_copy_goes_on_like_the_original(optimizer):
    found = quick(network=small, optimizer=optimizer, lr=None).fit(IMAGES[:200], DIGITS[:200])
    again = pickle.loads(pickle.dumps(found))
    assert (probabilities(again) == probabilities(found)).all()
    for each in (found, again):
        each.partial_fit(IMAGES[:200], DIGITS[:200])
    assert (probabilities(again) == probabilities(found)).all()
    assert again.loss_curve_ == found.loss_curve_
    fresh = clone(found)
    assert not hasattr(fresh, "model_")
    assert fresh.network is small and repr(fresh.optimizer) == repr(optimizer)


def test_the_network_is_saved_like_any_other(tmp_path):
    found = quick(network=small).fit(IMAGES[:200], np.array(list("abcdefghij"))[DIGITS[:200]])
    found.model_.save(tmp_path / "model.npz")
    model = load_model(tmp_path / "model.npz")
    assert [model.class_names[k] for k in model.predict(IMAGES[:50])] == list(
        found.predict(IMAGES[:50])
    )


# --- scores ---------------------------------------------------------------------------------------


class Margin:
    """A loss of one's own whose outputs are scores, too."""

    task, gives_scores = "classification", True

    def __init__(self) -> None:
        self.hinge = HingeLoss(margin=2.0)

    def forward(self, outputs, targets):
        return self.hinge.forward(outputs, targets)

    def backward(self):
        return self.hinge.backward()


@pytest.mark.parametrize("loss", ["hinge", HingeLoss(margin=0.5), Margin()])
def test_scores_have_no_probability(loss):
    found = quick(loss=loss, epochs=20)
    assert not hasattr(found, "predict_proba")
    found.fit(SCALED, NAMES)
    for method in ("predict_proba", "predict_log_proba"):
        with pytest.raises(AttributeError, match=method) as refusal:
            getattr(found, method)
        assert "which have no probability: use decision_function" in str(refusal.value.__cause__)
    scores = found.decision_function(SCALED)
    assert (found.classes_[scores.argmax(axis=1)] == found.predict(SCALED)).all()
    calibrated = CalibratedClassifierCV(quick(loss=loss, epochs=20), cv=2).fit(SCALED, NAMES)
    assert np.allclose(calibrated.predict_proba(SCALED).sum(axis=1), 1)
    two = NAMES != "setosa"
    pair = quick(loss=loss, epochs=20).fit(SCALED[two], NAMES[two])
    assert pair.decision_function(SCALED).shape == (len(SCALED),)
    assert (pair.classes_[(pair.decision_function(SCALED) > 0) * 1] == pair.predict(SCALED)).all()
    assert cross_val_score(pair, SCALED[two], NAMES[two], scoring="roc_auc", cv=3).mean() > 0.9


def test_probabilities_belong_to_the_loss_of_the_fit():
    found = quick(epochs=20).fit(SCALED, NAMES)
    scores = found.set_params(loss="hinge").decision_function(SCALED)
    odds = np.log(found.predict_proba(SCALED))
    assert np.allclose(scores - scores[:, :1], odds - odds[:, :1])
    assert not hasattr(found.fit(SCALED, NAMES).set_params(loss=None), "predict_proba")
    assert not hasattr(quick(loss="cross-entropi"), "predict_proba")  # fit says what is wrong


# --- within scikit-learn --------------------------------------------------------------------------


def test_cross_validation_in_a_pipeline():
    pipeline = make_pipeline(StandardScaler(), quick(epochs=15))
    assert cross_val_score(pipeline, IRIS, NAMES, cv=3).mean() > 0.85


def test_a_search_in_two_processes(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    search = GridSearchCV(quick(network="lab-cnn"), {"lr": [1e-6, 3e-3]}, cv=2, n_jobs=2)
    search.fit(IMAGES[:300], DIGITS[:300])
    assert search.best_params_ == {"lr": 3e-3}
    best = quick(network="lab-cnn", lr=3e-3).fit(IMAGES[:300], DIGITS[:300])
    assert (search.predict_proba(IMAGES) == best.predict_proba(IMAGES)).all()
    # The processes that the search has left behind, each with its share of the cores.
    threads = Parallel(n_jobs=2)(delayed(jit.get_threads)() for _ in range(2))
    assert threads == [max(1, available_cores() // 2)] * 2


def test_calibration():
    found = CalibratedClassifierCV(quick(epochs=15), cv=2).fit(SCALED, NAMES)
    assert found.score(SCALED, NAMES) > 0.85
    assert np.allclose(found.predict_proba(SCALED).sum(axis=1), 1)


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "x", "y", "message"),
    [
        ({"network": "lenet5"}, SCALED, KINDS, "lenet5 takes images, X has rows of 4 numbers"),
        ({"network": "lenet6"}, IMAGES, DIGITS, "did you mean 'lenet5'"),
        ({"network": 3}, IMAGES, DIGITS, "a name .*, a Sequential, a Graph or a function"),
        ({"network": lambda *_: None}, IMAGES, DIGITS, "a Sequential or a Graph, gave a NoneType"),
        ({"network": small((1, 8, 8), 3)}, IMAGES, DIGITS, r"gives \(3,\) .* there are 10 classes"),
        ({"input_shape": (1, 8, 9)}, IMAGES, DIGITS, r"samples of shape \(1, 8, 8\), but the"),
        ({"input_shape": (1, 8, 9)}, ROWS, DIGITS, r"samples of shape \(64,\), but the"),
        ({"optimizer": SGD(0.1)}, SCALED, KINDS, "lr can be given where the optimizer"),
        ({"options": {"epochs": 3}}, SCALED, KINDS, "epochs does not go into options"),
        ({"options": {"x": SCALED}}, SCALED, KINDS, "x does not go into options"),
        ({"options": ["ema"]}, SCALED, KINDS, "options must be a dict of arguments"),
        ({"network": Dense(4, 3)}, SCALED, KINDS, r"a function that builds one, got Dense\(4, 3\)"),
        ({"input_shape": ()}, SCALED, KINDS, "input_shape must be that of one sample"),
        ({"input_shape": (1, 8.5, 8)}, IMAGES, DIGITS, "input_shape must be a whole number .*8.5"),
        ({}, IMAGES.transpose(0, 2, 3, 1), DIGITS, r"give X.transpose\(0, 3, 1, 2\)"),
        ({"epochs": 0}, SCALED, KINDS, "epochs must be a whole number above 0"),
        ({"loss": "mse"}, SCALED, KINDS, "needs a loss for classification, MSELoss"),
        ({}, SCALED[:50], KINDS[:50], "y has one class, 0, of at least two"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(arguments, x, y, message):
    with pytest.raises((ValueError, TypeError), match=message):
        quick(**arguments).fit(x, y)


def test_images_that_lie_otherwise_are_not_taken_for_others():
    colours = np.repeat(IMAGES, 3, axis=1)
    found = quick(epochs=1).fit(colours, DIGITS)
    with pytest.raises(ValueError, match="8 features, but CNNClassifier is expecting 3"):
        found.predict(colours.transpose(0, 2, 3, 1))
    with pytest.raises(ValueError, match=r"samples of shape \(8, 8, 3\), but the network"):
        quick(input_shape=(3, 8, 8)).fit(colours.transpose(0, 2, 3, 1), DIGITS)


def test_without_scikit_learn_a_sentence_says_what_to_do():
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "try: import fastcnn.estimator\nexcept ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install '.[sklearn]'" in done.stdout
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize("which", ["X", "y", "sample_weight"])
@pytest.mark.parametrize("estimator", [CNNClassifier, CNNRegressor])
def test_masked_values_are_refused(estimator, which):
    given = {"X": np.eye(6), "y": np.arange(6) % 2, "sample_weight": np.ones(6)}
    given[which] = np.ma.array(given[which], mask=given[which] == 1)
    with pytest.raises(ValueError, match=f"^{estimator.__name__}: {which}: .* values are masked"):
        estimator(epochs=1).fit(**given)
