"""Losses: the usual ones, their gradients, and how these are got wrong."""

from collections.abc import Callable, Iterator

import numpy as np

from .. import names
from .base import Gradients, Reference, near

Single = Callable[[np.ndarray, np.ndarray], np.ndarray]


def softmax(x: np.ndarray, axis: int = 1) -> np.ndarray:
    """Probabilities of each row."""
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))


class Kind:
    """A loss before anything is summed: numbers for each prediction, and their derivatives.

    `takes` says what predictions are: "numbers", "rows" of probabilities, "shares" from 0 to 1;
    `targets` what goes with them: "classes" (also one-hot), "numbers", "bits" or "signs".
    """

    def __init__(self, title: str, takes: str, targets: str, each: Single, slope: Single) -> None:
        self.title, self.takes, self.targets = title, takes, targets
        self.each, self.slope = each, slope


def _hinge_margin(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    right = (x * t).sum(1, keepdims=True)
    return np.maximum(0, x - right + 1) * (1 - t)


def _hinge_slope(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    hit = (_hinge_margin(x, t) > 0) * 1.0
    return hit - t * hit.sum(1, keepdims=True)


KINDS = {
    "softmax": Kind("softmax cross entropy", "numbers", "classes",
        lambda x, t: -t * np.log(softmax(x)), lambda x, t: softmax(x) - t),
    "nll": Kind("cross entropy of probabilities", "rows", "classes",
        lambda x, t: -t * np.log(x), lambda x, t: -t / x),
    "lognll": Kind("negative log likelihood of log probabilities", "logs", "classes",
        lambda x, t: -t * x, lambda x, t: -t + 0 * x),
    "bce": Kind("binary cross entropy of probabilities", "shares", "bits",
        lambda x, t: -t * np.log(x) - (1 - t) * np.log(1 - x),
        lambda x, t: (x - t) / (x * (1 - x))),
    "logits": Kind("binary cross entropy with a sigmoid", "numbers", "bits",
        lambda x, t: np.logaddexp(0, x) - t * x, lambda x, t: _sigmoid(x) - t),
    "mse": Kind("squared error", "numbers", "numbers",
        lambda x, t: (x - t) ** 2, lambda x, t: 2 * (x - t)),
    "half": Kind("half the squared error", "numbers", "numbers",
        lambda x, t: (x - t) ** 2 / 2, lambda x, t: x - t),
    "mae": Kind("absolute error", "numbers", "numbers",
        lambda x, t: abs(x - t), lambda x, t: np.sign(x - t)),
    "huber": Kind("Huber loss", "numbers", "numbers",
        lambda x, t: np.where(abs(x - t) < 1, (x - t) ** 2 / 2, abs(x - t) - 0.5),
        lambda x, t: np.clip(x - t, -1, 1)),
    "svm": Kind("multi-class hinge loss", "numbers", "classes", _hinge_margin, _hinge_slope),
    "hinge": Kind("hinge loss", "numbers", "signs",
        lambda x, t: np.maximum(0, 1 - t * x), lambda x, t: -t * (t * x < 1)),
}  # fmt: skip

_NAMED = (
    ("binarycross", "bce logits"), ("bce", "bce logits"), ("logloss", "bce nll"),
    ("softmax", "softmax"), ("crossentropy", "softmax nll"), ("categorical", "softmax nll"),
    ("nll", "lognll nll softmax"), ("likelihood", "lognll nll softmax"), ("mse", "mse half"),
    ("meansquare", "mse half"), ("square", "mse half"), ("quadratic", "mse half"),
    ("l2", "mse half"),
    ("mae", "mae"), ("absolute", "mae"), ("l1", "mae"), ("huber", "huber"), ("smoothl1", "huber"),
    ("svm", "svm"), ("hinge", "hinge svm"), ("ce", "softmax nll"), ("entropy", "softmax nll bce"),
)  # fmt: skip


def meant(name: str) -> list[str]:
    """Kinds that a loss of this name may be, the likeliest first."""
    bare = names.plain(name)
    first = next((kinds.split() for word, kinds in _NAMED if word in bare), [])
    return first or list(KINDS)


class Loss(Reference):
    """One loss of a student, for one batch."""

    def __init__(self, kind: str, x: np.ndarray, targets: np.ndarray, reduction: str) -> None:
        self.kind, self.of = kind, KINDS[kind]
        self.x, self.reduction = np.asarray(x, np.float64), reduction
        self.t = np.asarray(targets, np.float64)
        if self.of.targets == "classes" and np.ndim(targets) == 1:
            self.t = np.eye(x.shape[1])[targets]
        elif self.t.shape != self.x.shape:
            self.t = self.t.reshape(self.x.shape)
        self.title = f"{self.of.title}, {reduction}"
        self.scales = {
            "the batch size N": len(x),
            "the number of classes or outputs": x.shape[1] if x.ndim > 1 else 1,
            "the number of predictions": x.size,
        }

    @property
    def scale(self) -> float:
        """What the sum over all predictions is multiplied with."""
        if self.reduction == "sum":
            return 1.0
        return 1 / len(self.x) if self.reduction == "mean over the batch" else 1 / self.x.size

    def forward(self) -> np.ndarray:
        return np.asarray(self.of.each(self.x, self.t).sum() * self.scale)

    def gradients(self, dy: np.ndarray) -> Gradients:
        return {"x": self.of.slope(self.x, self.t) * self.scale}

    def forward_mistakes(self) -> Iterator[tuple[str, np.ndarray]]:
        total = self.of.each(self.x, self.t).sum()
        scale, n = self.scale, len(self.x)
        if self.reduction != "sum":
            yield "1/N is missing: the sum over the batch is given, not the mean", np.asarray(total)
        yield "the minus sign is missing", np.asarray(-total * scale)
        yield "it is divided by N twice", np.asarray(total * scale / n)
        if self.kind in ("softmax", "nll"):
            p = softmax(self.x) if self.kind == "softmax" else self.x
            log = np.log(p)
            yield "the logarithm is that of base 2", np.asarray(total * scale / np.log(2))
            yield "the logarithm is that of base 10", np.asarray(total * scale / np.log(10))
            yield "the targets are not used: all classes are summed", np.asarray(-log.sum() * scale)
            yield "the logarithm of the mean is taken, not the mean of the logarithms", np.asarray(
                -np.log((p * self.t).sum(1).mean()))  # fmt: skip
            yield "this is the probability of the right class, without the logarithm", np.asarray(
                -(p * self.t).sum() * scale)  # fmt: skip
        if self.kind == "softmax":
            yield ("softmax runs over the batch (axis 0), not over the classes",
                   np.asarray(-(self.t * np.log(softmax(self.x, 0))).sum() * scale))  # fmt: skip
            e = np.exp(self.x - self.x.max(1, keepdims=True))
            yield ("softmax divides by the sum over the batch (axis 0), not over the classes",
                   np.asarray(-(self.t * np.log(e / e.sum(0))).sum() * scale))  # fmt: skip
            twice = softmax(softmax(self.x))
            yield "softmax is applied twice", np.asarray(-(self.t * np.log(twice)).sum() * scale)
            e = np.exp(self.x - self.x.max())
            yield "softmax divides by the sum over the whole batch", np.asarray(
                -(self.t * np.log(e / e.sum())).sum() * scale)  # fmt: skip
        if self.kind in ("mse", "half"):
            gap = self.x - self.t
            yield "the square is missing", np.asarray(gap.sum() * scale)
            yield "the absolute value is taken, not the square", np.asarray(abs(gap).sum() * scale)
            yield "the root of the mean is taken", np.asarray(np.sqrt(total * scale))
            yield "the sum is squared, not summed squares", np.asarray(gap.sum() ** 2 * scale)
        if self.kind in ("bce", "logits"):
            p = self.x if self.kind == "bce" else _sigmoid(self.x)
            yield "the term (1 - t) log(1 - p) is missing", np.asarray(
                -(self.t * np.log(p)).sum() * scale)  # fmt: skip

    def gradient_mistakes(self, dy: np.ndarray) -> Iterator[tuple[str, Gradients]]:
        for words, dx in self._gradient_mistakes():
            yield words, {"x": dx}

    def _gradient_mistakes(self) -> Iterator[tuple[str, np.ndarray]]:
        x, t, scale, n = self.x, self.t, self.scale, len(self.x)
        slope = self.of.slope(x, t)
        if self.reduction != "sum":
            yield (
                "1/N is missing: this is the gradient of the sum over the batch, not of the mean",
                slope,
            )
            yield "it is divided by N twice", slope * scale / n
        else:
            yield ("the loss is a sum over the batch, and this the gradient of the mean: 1/N is "
                   "missing in forward, or too many here", slope / n)  # fmt: skip
        if x.ndim > 1 and x.shape[1] > 1:
            outputs = "classes" if self.of.targets == "classes" else "outputs"
            yield (
                f"it is divided by the number of {outputs}, not by the batch size",
                slope / x.shape[1],
            )
            yield f"it is divided by the number of {outputs} too", slope * scale / x.shape[1]
        yield (
            "the sign is wrong: targets minus predictions, not predictions minus targets",
            -slope * scale,
        )
        yield "the sign is wrong, and 1/N is missing", -slope
        if self.kind == "softmax":
            p = softmax(x)
            for words, wrong in (
                ("the targets are not subtracted: this is softmax(x)", p),
                ("softmax is missing on the way back: x minus the targets", x - t),
                ("softmax runs over the batch (axis 0) on the way back", softmax(x, 0) - t),
                ("softmax is applied twice on the way back", softmax(p) - t),
                (
                    "this is the gradient by the probabilities, not by x: softmax is left out",
                    -t / p,
                ),
                ("only the right class gets a gradient", (p - t) * t),
                ("the derivative p * (1 - p) of softmax is multiplied in", (p - t) * p * (1 - p)),
                ("1 is subtracted from every class, not from the right one", p - 1),
                ("the targets are added, not subtracted", p + t),
            ):
                yield words, wrong * scale
                yield words + ", and 1/N is missing", wrong
        if self.kind in ("nll", "lognll", "bce"):
            for words, wrong in (
                (
                    "this is the gradient through softmax, p - t; this loss takes probabilities",
                    x - t,
                ),
                ("the minus sign is missing: t / p", t / x),
                ("it is not divided by p", -t + 0 * x),
                ("only the term of t is there", -t / x),
            ):
                yield words, wrong * scale
        if self.kind == "logits":
            p = _sigmoid(x)
            yield "the sigmoid is missing on the way back: x minus the targets", (x - t) * scale
            yield "this is the gradient by the probabilities: the sigmoid is left out", (
                (p - t) / (p * (1 - p)) * scale)  # fmt: skip
            yield (
                "the derivative of the sigmoid is multiplied in twice",
                (p - t) * p * (1 - p) * scale,
            )
        if self.kind == "mse":
            yield "the factor 2 of the square is missing", slope * scale / 2
            yield "the factor 2 of the square is missing, and 1/N too", slope / 2
            yield "this is the gradient of the absolute value", np.sign(x - t) * scale
        if self.kind == "half":
            yield "there is a factor 2, though the loss has a half", slope * scale * 2
        if self.kind == "mae":
            yield "the difference is given, not its sign", (x - t) * scale
        if self.kind == "huber":
            yield "the gradient is not limited where the difference is large", (x - t) * scale
        if self.kind == "svm":
            hit = (_hinge_margin(x, t) > 0) * 1.0
            yield "the right class gets no gradient", hit * scale
            yield "the right class gets -1, not minus the number of margins", (hit - t) * scale
            yield "the right class gets -1, not minus the number of margins", hit - t


def examples(
    kind: str, one_hot: bool, seed: int = 0, n: int = 3, rank: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and targets that such a loss can take."""
    rng = np.random.default_rng(seed)
    shape = (n, 5) if rank == 2 else (n,)
    of = KINDS[kind]
    x = rng.normal(size=shape) * 1.3
    if of.takes in ("rows", "logs"):
        x = softmax(x) if rank == 2 else _sigmoid(x)
        x = np.log(x) if of.takes == "logs" else x
    elif of.takes == "shares":
        x = _sigmoid(x)
    if of.targets == "classes":
        labels = rng.permutation(5)[:n] if n <= 5 else rng.integers(0, 5, n)
        return x, np.eye(5)[labels] if one_hot else labels
    if of.targets == "numbers":
        return x, rng.normal(size=shape)
    bits = (rng.random(shape) < 0.5) * 1.0
    return x, bits if of.targets == "bits" else 2 * bits - 1


def recognise(name: str, x: np.ndarray, targets: np.ndarray, y: np.ndarray) -> Loss | None:
    """The loss that gives this value; else the first that its name may mean."""
    found = []
    for kind in meant(name):
        of = KINDS[kind]
        if of.targets == "classes" and (x.ndim != 2 or np.ndim(targets) not in (1, 2)):
            continue
        if of.targets != "classes" and np.size(targets) != x.size:
            continue
        for reduction in ("mean over the batch", "mean over all", "sum"):
            with np.errstate(all="ignore"):
                found.append(Loss(kind, x, targets, reduction))
                if near(found[-1].forward(), y, 1e-5):
                    return found[-1]
    bare = names.plain(name)
    return found[0] if found and any(word in bare for word, _ in _NAMED) else None
