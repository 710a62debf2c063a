"""A run as the page shows it: answers, maps, numbers, as plain data."""

import base64
import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from ..checks import is_whole
from ..datasets import Dataset
from ..datasets.own import digit
from ..explaining import explain
from ..gallery.analysis import layer_outputs, places, with_weights
from ..languages import Refusal, Said
from ..losses import CLASSIFICATION
from ..network.checkpoint import Arrays
from ..network.intake import turned
from ..trainable import Trainable

_NEAREST = 5
_MAPS = 32  # of a layer, at most
_UNITS = 512
_FILTERS = 64
_TERMS = 40  # products of a number, the largest
_FEATURES = 30  # moments whose features of the training images are kept
_SIDES = range(8, 281)  # pixels of a drawing
_CENTRED = ("mnist", "digits")  # datasets whose images are scaled and centred


class Broken(Refusal):
    """What the network cannot answer, for no fault of the question: one in training may break."""


class Shown:
    """A trained network with its images, asked by several threads.

    Parameters
    ----------
    model : Sequential or Graph
        The network.
    data : Dataset
        Its images.
    name : str
        What it is called.
    rate : float, optional
        The learning rate that it was trained with.
    remembered : int
        About so many training images are those among which the nearest are looked for.
    moments : sequence of (int, dict), optional
        Weights that it had in its training, each with what that moment is called.

    Raises
    ------
    ValueError
        If the network does not tell classes.
    """

    def __init__(
        self,
        model: Trainable,
        data: Dataset,
        name: str,
        rate: float | None = None,
        remembered: int = 2000,
        moments: Sequence[tuple[int, Arrays]] = (),
    ) -> None:
        if model.task != CLASSIFICATION:
            raise Refusal(
                f"the page shows networks that tell classes; {name} does not",
                f"此页面只展示分类网络；{name} 不是",
            )
        self.model, self.data, self.name, self._rate = model, data, name, rate
        self.turn = threading.RLock()  # layers remember their last call
        step = max(1, len(data.x_train) // remembered)
        self._images, self._labels = data.x_train[::step], data.y_train[::step]
        self._moments = list(moments)
        self._known: dict[int | None, np.ndarray] = {}
        self._features(None)

    @property
    def rate(self) -> float | None:
        """The learning rate."""
        return self._rate

    def about(self) -> dict[str, Any]:
        """What does not change: classes, layers, sizes."""
        channels, height, width = self.data.x_test.shape[1:]
        x = turned(self.model, self.data.x_test[:1])
        with self.turn:
            outputs = layer_outputs(self.model, x)
        shapes = {place.path: y.shape[1:] for place, y in outputs}
        return {
            "name": self.name,
            "classes": self.data.class_names,
            "channels": channels, "height": height, "width": width,
            "tests": len(self.data.x_test),
            "rate": self.rate,
            "centred": self.data.name in _CENTRED,
            "explains": self.model.is_row,
            "layers": [
                {
                    "path": place.path, "label": place.label, "kind": repr(place.layer),
                    "shape": shapes[place.path],
                }
                for place in places(self.model)
            ],
        }  # fmt: skip

    def image(self, request: Mapping[str, Any]) -> np.ndarray:
        """The pixels that a request is about, uint8 (1, C, H, W).

        Raises
        ------
        ValueError
            If there is no such test image, or the drawing is none.
        """
        if "image" in request:
            count = len(self.data.x_test)
            index = _whole(request["image"], Said("image", "图像编号"), count)
            return self.data.x_test[index : index + 1]
        drawing = _drawing(request)
        channels, height, width = self.data.x_test.shape[1:]
        if request.get("centred") is True and (height, width) == (28, 28):
            if not drawing.any():
                raise Refusal("nothing is drawn", "还没有画任何东西")
            pixels = digit.from_drawing(drawing)
        else:
            small = Image.fromarray(drawing).resize((width, height), Image.Resampling.BOX)
            pixels = np.asarray(small)
        return np.broadcast_to(pixels, (1, channels, height, width))

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Probabilities, every layer's maps and the nearest training images.

        Raises
        ------
        ValueError
            As `image` does, and if there is no such moment.
        """
        pixels = self.image(request)
        x = turned(self.model, pixels)
        with self._at(request) as moment:
            outputs = layer_outputs(self.model, x)
            chances = self.model.predict_proba(x)[0]
            if not all(np.isfinite(each).all() for each in (chances, *(y for _, y in outputs))):
                raise Broken(
                    "the network's numbers are no longer finite", "网络里的数已经不是有限的数"
                )
            away = self._features(moment) - self._before_the_last(pixels)[0]
        told = {
            "seen": coded(pixels[0]),
            "probabilities": [float(each) for each in chances],
            "layers": {place.path: shades(y[0], _MAPS, _UNITS) for place, y in outputs},
            "nearest": self._nearest((away**2).sum(axis=1)),
        }
        if "image" in request:
            told["label"] = int(self.data.y_test[request["image"]])
        return told

    def number(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What made one number of a layer's output, and what came back to it.

        Raises
        ------
        ValueError
            As `answer` does, and if there is no such layer, number or class.
        """
        pixels = self.image(request)
        layer, at, label = request.get("layer"), request.get("at"), request.get("label")
        if not isinstance(layer, str):
            raise wrong("layer must be a layer's name", "layer 应为层的名称", layer)
        if not isinstance(at, list) or not all(is_whole(i) for i in at):
            raise wrong("at must be a list of whole numbers", "at 应为一列整数", at)
        if not self.model.is_row:
            raise Refusal(
                "numbers are explained where layers stand in a row, and here they branch",
                "只能解释逐层相连的网络里的数，而这个网络有分支",
            )
        if label is not None:
            label = _whole(label, Said("label", "类别编号"), len(self.data.class_names))
        with self._at(request):
            number = explain(self.model, turned(self.model, pixels), layer, tuple(at), label)
        largest = sorted(number.terms, key=lambda term: -abs(term.product))
        has_weights = "weight" in number.place.layer.params
        return {
            "path": number.place.path, "label": number.place.label,
            "shape": number.shape, "at": number.at,
            "value": number.value, "constant": number.constant, "total": number.total,
            "is_sum": number.is_sum, "gradient": number.gradient,
            "formula": number.formula, "sources": number.sources,
            "count": len(number.terms), "has_weights": has_weights, "rate": self.rate,
            "terms": [
                {"at": term.at, "input": term.x, "slope": term.slope, "product": term.product}
                for term in largest[:_TERMS]
            ],
        }  # fmt: skip

    def filters(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The first convolution's weights, the mean over its inputs, (filters, height, width).

        None if there is no convolution, or they are not finite.

        Raises
        ------
        ValueError
            If there is no such moment.
        """
        with self._at(request):
            found = with_weights(self.model, 4)
            weight = found[0].layer.params["weight"] if found else np.full((1, 1), np.nan)
            is_there = bool(np.isfinite(weight).all())
            return {"filters": shades(weight.mean(axis=1), _FILTERS, 0) if is_there else None}

    @contextlib.contextmanager
    def _at(self, request: Mapping[str, Any]) -> Iterator[int | None]:
        """The network with its weights of a `moment` of its training, or as it is."""
        with self.turn:
            moment, kept = request.get("moment"), dict(self._moments)
            if moment is None:
                yield None
                return
            if not is_whole(moment) or moment not in kept:
                raise wrong("moment must be one that is kept", "这个时刻的权重没有保留", moment)
            now = self.model.copy_arrays()
            try:
                self.model.load_arrays(kept[moment])
                yield moment
            finally:
                self.model.load_arrays(now)

    def _before_the_last(self, images: np.ndarray) -> np.ndarray:
        """What the last layer with weights is given, (N, F) float32: images alike lie close.

        Where layers do not stand in a row, what comes out.
        """
        layers = self.model.layers
        weighted = [k for k, layer in enumerate(layers) if "weight" in layer.params]
        rows = []
        for start in range(0, len(images), 250):
            x = turned(self.model, images[start : start + 250])
            if not self.model.is_row:
                y = self.model.predict_logits(x)
            else:
                y = self.model.prepared(x)
                for layer in layers[: weighted[-1] if weighted else None]:
                    y = layer.forward(y)
            rows.append(y.reshape(len(y), -1).copy())
        return np.concatenate(rows)

    def _features(self, moment: int | None) -> np.ndarray:
        """Of the training images, by the weights of that moment, which the network has."""
        if moment not in self._known:
            if len(self._known) == _FEATURES:
                del self._known[next(iter(self._known))]
            self._known[moment] = self._before_the_last(self._images)
        return self._known[moment]

    def _nearest(self, away: np.ndarray) -> list[dict[str, Any]]:
        return [
            {
                "label": int(self._labels[i]),
                "distance": float(np.sqrt(away[i])),
                "seen": coded(self._images[i]),
            }
            for i in np.argsort(away, kind="stable")[:_NEAREST]
        ]


def wrong(en: str, zh: str, value: object) -> Refusal:
    """What must be, and what was got."""
    got = repr(value)[:100]
    return Refusal(f"{en}, got {got}", f"{zh}，得到的是 {got}")


def _whole(value: object, name: Said, count: int) -> int:
    if not is_whole(value) or not 0 <= value < count:
        last = count - 1
        raise wrong(f"{name.en} must be 0 to {last}", f"{name.zh}应为 0 到 {last}", value)
    return value


def _drawing(request: Mapping[str, Any]) -> np.ndarray:
    """The drawing in a request, uint8 (side, side)."""
    side, text = request.get("side"), request.get("drawing")
    if not isinstance(side, int) or side not in _SIDES:
        low, high = _SIDES.start, _SIDES.stop - 1
        raise wrong(f"side must be {low} to {high}", f"边长应为 {low} 到 {high}", side)
    try:
        pixels = base64.b64decode(text, validate=True)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise Refusal(
            "drawing must be the pixels in base64", "drawing 应为 base64 编码的像素"
        ) from None
    if len(pixels) != side * side:
        raise Refusal(
            f"a drawing of side {side} has {side * side} pixels, got {len(pixels)}",
            f"边长为 {side} 的画有 {side * side} 个像素，得到的是 {len(pixels)} 个",
        )
    return np.frombuffer(pixels, np.uint8).reshape(side, side)


def shades(y: np.ndarray, maps: int, units: int) -> dict[str, Any]:
    """The first of (C, H, W) or (F,) values, in 256 steps from the least of all to the largest."""
    low, high = float(y.min()), float(y.max())
    y = y[:maps] if y.ndim == 3 else y.reshape(-1)[:units]
    scale = 255 / (high - low) if high > low else 0.0
    return {
        "shape": y.shape,
        "low": low,
        "high": high,
        "values": coded(np.round((y - low) * scale).astype(np.uint8)),
    }


def coded(values: np.ndarray) -> str:
    """Whole numbers of a byte each, in base64."""
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
