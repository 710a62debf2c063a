"""A random network given what does not fit, and in its other forms: compiled, files, PyTorch."""

import contextlib
import copy
import io
from pathlib import Path
from typing import Any

import numpy as np

from fastcnn import exchange, layers, load_model
from fastcnn.training.diverged import TrainingDiverged
from tests.network.random_lives import Way
from tests.network.random_networks import Chance, Made, Net, build
from tests.network.random_walk import (
    difference,
    differences,
    one_of,
    samples,
    sentence,
    states_of,
    tuple_of,
)

# --- what does not fit ----------------------------------------------------------------------------


def misuse(number: int) -> list[str]:
    """Arrays that do not fit are taken, or refused in one sentence; afterwards all is as it was."""
    made, chance = build(number), Chance(number, 7)
    model = made.model
    x = samples(made, chance, 3, is_any=False)
    expected = tuple_of(model.forward(one_of(x)))
    wrong: list[str] = []
    several = len(x) > 1
    first = x[0]
    bad: list[tuple[str, Any]] = [
        ("an axis more", first[..., None]), ("an axis less", first[0]), ("none", first[:0]),
        ("a channel less", first[:, :-1]), ("a column less", first[..., :-1]),
        ("a channel more", np.repeat(first, 2, axis=1)), ("whole numbers", first.astype(np.int64)),
        ("float16", first.astype(np.float16)), ("complex", first.astype(complex)),
        ("words", np.full(first.shape, "a")), ("a list", first.tolist()), ("None", None),
        ("a number", 3.5), ("objects", first.astype(object)), ("flat", first.reshape(3, -1)),
        ("flat all", first.reshape(-1)), ("bool", first > 0), ("uint8", first.astype(np.uint8)),
    ]  # fmt: skip
    compiled = model.compile_for_inference()
    labels = np.zeros(3, int)
    calls: list[tuple[str, Any]] = [
        ("forward", model.forward), ("training forward", lambda a: model.forward(a, training=True)),
        ("predict", model.predict), ("predict_logits", model.predict_logits),
        ("predict_proba", model.predict_proba), ("compiled.forward", compiled.forward),
        ("compiled.predict", compiled.predict), ("evaluate", lambda a: model.evaluate(a, labels)),
        ("train", lambda a: copy.deepcopy(model).train(a, labels, epochs=1, progress=False)),
    ]  # fmt: skip
    for name, what in bad:
        for who, call in calls:
            if who == "train" and chance.odds(0.8):
                continue
            given = (what, *x[1:]) if several else what
            try:
                call(given)
            except TrainingDiverged:
                pass
            except Exception as error:
                wrong += sentence(f"{who} of {name} {np.shape(what)}", error)
    y = tuple_of(model.forward(one_of(x), training=True))
    for name, dy in (
        ("an axis more", [each[..., None] for each in y]), ("less", [each[1:] for each in y]),
        ("whole", [each.astype(int) for each in y]), ("none", None),
        ("a list", [each.tolist() for each in y]),
        ("float64", [each.astype(np.float64) for each in y]),
        ("one more", [*y, y[0]]),
    ):  # fmt: skip
        try:
            model.backward(None if dy is None else one_of(dy))
        except Exception as error:
            wrong += sentence(f"backward of {name}", error)
    for a, b in zip(tuple_of(model.forward(one_of(x))), expected, strict=True):
        if a.tobytes() != b.tobytes() and not _has_moved(model):
            wrong.append("after misuse the network says something else")
    return wrong


def _has_moved(model: Net) -> bool:
    """Whether statistics move in a forward pass of training."""
    return bool(states_of(model))


# --- other forms of the network -------------------------------------------------------------------


def forms(number: int, folder: Path) -> list[str]:
    """Compiled, in files, in ONNX, in PyTorch: the answers of the network itself."""
    made, chance = build(number), Chance(number, 4)
    model = made.model
    count = chance.whole(1, 9)
    x = [np.ascontiguousarray(each) for each in samples(made, chance, count, is_any=False)]
    expected = tuple_of(model.forward(one_of(x)))
    if not all(np.isfinite(each).all() for each in expected):
        return []
    wrong: list[str] = []
    double = copy.deepcopy(model).astype(np.float64)
    exact = tuple_of(double.forward(one_of([each.astype(np.float64) for each in x])))
    noise = [float(np.abs(a - b).max()) for a, b in zip(exact, expected, strict=True)]

    def same(what: str, found: Any, tolerance: float = 2e-5) -> None:
        found = tuple_of(found)
        if len(found) != len(expected):
            wrong.append(f"{what}: {len(found)} outputs")
            return
        for i, (a, b) in enumerate(zip(found, expected, strict=True)):
            size = float(np.abs(b).max(initial=0)) + 30 * noise[i] / tolerance
            text = difference(np.asarray(a), b, tolerance, 0, size)
            if text:
                wrong.append(f"{what}: output {i} {text}")

    compiled = model.compile_for_inference()
    norms = any(
        type(leaf) is layers.BatchNorm for each in model.layers for _, leaf in each.leaves()
    )
    answers = tuple_of(compiled.forward(one_of(x)))
    same("compiled", answers)
    if not norms:
        for a, b in zip(answers, expected, strict=True):
            if a.tobytes() != b.tobytes():
                wrong.append("compiled: other bits, and there is no BatchNorm")
    if len(expected) == 1 and expected[0].ndim == 2:
        for who in ("predict", "predict_logits", "predict_proba"):
            a, b = (getattr(each, who)(one_of(x), 4) for each in (compiled, model))
            if a.shape != b.shape or (a != b).mean() > (norms or a.dtype.kind == "f"):
                wrong.append(f"compiled.{who} says something else")
            text = difference(a, b, 2e-5, 0, 1 + float(np.abs(b).max()) + 30 * noise[0] / 2e-5)
            if a.dtype.kind == "f" and text:
                wrong.append(f"compiled.{who}: {text}")
    if all(len(shape) == 3 for shape in made.inputs) and chance.odds(0.5):
        wrong += pixel_forms(made, folder, chance)
    held = [each.copy() for each in answers]
    one = [each[-1:] for each in x]
    with Way(1, True, False).chosen():
        last = tuple_of(compiled.forward(one_of(one)))
    for a, b in zip(last, held, strict=True):
        if a.tobytes() != b[-1:].tobytes():
            wrong.append("compiled: other bits for one sample by one thread")
    for a, b in zip(answers, held, strict=True):
        if a.tobytes() != b.tobytes():
            wrong.append("compiled: what was handed out has been overwritten")
    for name, save, load in (
        ("npz", model.save, load_model),
        ("safetensors", lambda p: exchange.save_safetensors(model, p), exchange.load_safetensors),
    ):
        save(folder / f"model.{name}")
        found = tuple_of(load(folder / f"model.{name}").forward(one_of(x)))
        if any(a.tobytes() != b.tobytes() for a, b in zip(found, expected, strict=True)):
            wrong.append(f"{name}: other bits")
    wrong += onnx_forms(made, x, folder, same)
    wrong += torch_forms(made, x, same, chance)
    with contextlib.redirect_stdout(io.StringIO()):
        model.summary()
        model.summary(None if len(x) > 1 else x[0].shape[1:])
        repr(model)
    return wrong


def session_of(path: Path) -> Any:
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def pixel_forms(made: Made, folder: Path, chance: Chance) -> list[str]:
    """Images of whole numbers, compiled and as ONNX."""
    model, count = copy.deepcopy(made.model), chance.whole(1, 5)
    scale = chance.one((1 / 255, 1 / 60))
    model.normalization = (scale, chance.one((0.0, -0.5)))
    x = [chance.rng.integers(0, 256, (count, *shape), np.uint8) for shape in made.inputs]
    expected = tuple_of(model.forward(one_of(x)))
    found = {"compiled": tuple_of(model.compile_for_inference().forward(one_of(x)))}
    with contextlib.suppress(ValueError):  # told of elsewhere
        shape = None if model.sample_shape or len(x) > 1 else x[0].shape[1:]
        exchange.save_onnx(model, folder / "pixels.onnx", pixels=True, input_shape=shape)
        session = session_of(folder / "pixels.onnx")
        names = [each.name for each in session.get_inputs()]
        found["onnxruntime"] = tuple(session.run(None, dict(zip(names, x, strict=True))))
        back = exchange.load_onnx(folder / "pixels.onnx")
        found["load_onnx"] = tuple_of(back.forward(one_of(x)))
    double = copy.deepcopy(model).astype(np.float64)
    exact = tuple_of(double.forward(one_of(x)))
    wrong = []
    for who, answers in found.items():
        for a, b, c in zip(answers, expected, exact, strict=True):
            size = float(np.abs(b).max()) + 30 * float(np.abs(b - c).max()) / 1e-4
            text = difference(a, b, 1e-4, 0, size)
            wrong += [f"{who} of pixels: {text}"] * bool(text)
    return wrong


def onnx_forms(made: Made, x: list[np.ndarray], folder: Path, same: Any) -> list[str]:
    path = folder / "model.onnx"
    for fold in (False, True):
        try:
            shape = None if made.model.sample_shape or len(x) > 1 else x[0].shape[1:]
            exchange.save_onnx(made.model, path, fold=fold, input_shape=shape)
        except ValueError as error:
            return refused("save_onnx", error)
        session = session_of(path)
        names = [each.name for each in session.get_inputs()]
        found = session.run(None, dict(zip(names, x, strict=True)))
        same(f"onnxruntime, fold={fold}", tuple(found), 1e-4)
        try:
            back = exchange.load_onnx(path)
        except ValueError as error:
            return refused("load_onnx", error)
        same(f"load_onnx, fold={fold}", back.forward(one_of(x)), 1e-4)
    return []


def torch_forms(made: Made, x: list[np.ndarray], same: Any, chance: Chance) -> list[str]:
    import torch

    model = made.model
    try:
        module = exchange.to_torch(model)
    except ValueError as error:
        return refused("to_torch", error)
    last = model.data_format == "channels_last"

    def turned(array: Any, axes: tuple[int, ...]) -> Any:
        return array.transpose(axes) if last and array.ndim == 4 else array

    to, back = (0, 3, 1, 2), (0, 2, 3, 1)
    given = [torch.tensor(np.ascontiguousarray(turned(each, to))) for each in x]
    try:
        with torch.no_grad():
            found = tuple_of(module(*given))
    except ValueError as error:  # PyTorch's norms refuse a single number
        return [] if "Expected more than 1" in str(error) else [f"torch: {error}"]
    same("to_torch", tuple(turned(each.numpy(), back) for each in found), 1e-3)
    if any(isinstance(leaf, (layers.Dropout, layers.SpatialDropout))
           for each in model.layers for _, leaf in each.leaves()):  # fmt: skip
        return []
    try:
        back_again = exchange.from_torch(module, one_of([tuple(each.shape[1:]) for each in given]))
    except ValueError as error:
        return refused("from_torch", error)
    found = tuple_of(back_again.forward(one_of([each.numpy() for each in given])))
    same("from_torch", tuple(turned(each, back) for each in found), 1e-4)
    # In float64, where no kink lies between a number and its rounding.
    double = copy.deepcopy(model).astype(np.float64)
    module = exchange.to_torch(double).train()
    given = [each.double().requires_grad_() for each in given]
    try:
        y = tuple_of(module(*given))
    except ValueError as error:  # more than one value per channel when training
        return [] if "Expected more than 1" in str(error) else [f"torch: {error}"]
    dys = [chance.rng.standard_normal(turned(each, back).shape) for each in
           [each.detach().numpy() for each in y]]  # fmt: skip
    torch.autograd.backward(y, [torch.tensor(turned(each, to).copy()) for each in dys])
    ours = tuple_of(double.forward(one_of([each.astype(np.float64) for each in x]), training=True))
    dx = tuple_of(double.backward(one_of(dys)))
    theirs = [turned(each.detach().numpy(), back) for each in y]
    wrong = differences(
        "torch, training output", dict(enumerate(ours)), dict(enumerate(theirs)), 1e-9, 1e-8
    )
    by_input = [turned(each.grad.numpy(), back) for each in given]
    return wrong + differences(
        "torch, gradient of input", dict(enumerate(dx)), dict(enumerate(by_input)), 1e-9, 1e-7
    )


REFUSALS: dict[str, int] = {}


def refused(who: str, error: Exception) -> list[str]:
    """A form that cannot be: said in one sentence."""
    text = str(error)
    key = f"{who}: {text.partition(': ')[2] or text}"
    REFUSALS[key] = REFUSALS.get(key, 0) + 1
    return [f"{who}: not a sentence: {text}"] if "\n" in text or len(text) < 20 else []
