"""A run as the page shows it: answers, maps, numbers, as plain data."""

import base64
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from ..datasets import Dataset
from ..datasets.own import digit
from ..explaining import explain
from ..gallery.analysis import layer_outputs, places
from ..losses import CLASSIFICATION
from ..trainable import Trainable

_NEAREST = 5
_MAPS = 32  # of a layer, at most
_UNITS = 512
_TERMS = 40  # products of a number, the largest
_SIDES = range(8, 281)  # pixels of a drawing
_CENTRED = ("mnist", "digits")  # datasets whose images are scaled and centred


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
    ) -> None:
        if model.task != CLASSIFICATION:
            raise ValueError(f"the page shows networks that tell classes; {name} does not")
        self.model, self.data, self.name, self._rate = model, data, name, rate
        self.turn = threading.RLock()  # layers remember their last call
        step = max(1, len(data.x_train) // remembered)
        self._images, self._labels = data.x_train[::step], data.y_train[::step]
        self._features = self._before_the_last(self._images)

    @property
    def rate(self) -> float | None:
        """The learning rate."""
        return self._rate

    def about(self) -> dict[str, Any]:
        """What does not change: classes, layers, sizes."""
        channels, height, width = self.data.x_test.shape[1:]
        x = self._taken(self.data.x_test[:1])
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
            index = _whole(request["image"], "image", count)
            return self.data.x_test[index : index + 1]
        drawing = _drawing(request)
        channels, height, width = self.data.x_test.shape[1:]
        if request.get("centred") is True and (height, width) == (28, 28):
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
            As `image` does.
        """
        pixels = self.image(request)
        x = self._taken(pixels)
        with self.turn:
            outputs = layer_outputs(self.model, x)
            chances = self.model.predict_proba(x)[0]
            features = self._before_the_last(pixels)[0]
        if not all(np.isfinite(each).all() for each in (chances, *(y for _, y in outputs))):
            raise ValueError("the network's numbers are no longer finite")
        told = {
            "seen": coded(pixels[0]),
            "probabilities": [float(each) for each in chances],
            "layers": {place.path: shades(y[0], _MAPS, _UNITS) for place, y in outputs},
            "nearest": self._nearest(features),
        }
        if "image" in request:
            told["label"] = int(self.data.y_test[request["image"]])
        return told

    def number(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What made one number of a layer's output, and what came back to it.

        Raises
        ------
        ValueError
            As `image` does, and if there is no such layer, number or class.
        """
        pixels = self.image(request)
        layer, at, label = request.get("layer"), request.get("at"), request.get("label")
        if not isinstance(layer, str):
            raise ValueError(f"layer must be a layer's name, got {layer!r}")
        if not isinstance(at, list) or not all(_is_whole(i) for i in at):
            raise ValueError(f"at must be a list of whole numbers, got {at!r}")
        if label is not None:
            label = _whole(label, "label", len(self.data.class_names))
        with self.turn:
            number = explain(self.model, self._taken(pixels), layer, tuple(at), label)
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

    def _taken(self, images: np.ndarray) -> np.ndarray:
        """Images of a dataset as the model takes them."""
        last = self.model.data_format == "channels_last"
        return images.transpose(0, 2, 3, 1) if last else images

    def _before_the_last(self, images: np.ndarray) -> np.ndarray:
        """What the last layer with weights is given, (N, F) float32: images alike lie close.

        Where layers do not stand in a row, what comes out.
        """
        layers = self.model.layers
        weighted = [k for k, layer in enumerate(layers) if "weight" in layer.params]
        rows = []
        for start in range(0, len(images), 250):
            x = self._taken(images[start : start + 250])
            if not self.model.is_row:
                y = self.model.predict_logits(x)
            else:
                y = self.model.prepared(x)
                for layer in layers[: weighted[-1] if weighted else None]:
                    y = layer.forward(y)
            rows.append(y.reshape(len(y), -1).copy())
        return np.concatenate(rows)

    def _nearest(self, features: np.ndarray) -> list[dict[str, Any]]:
        away = ((self._features - features) ** 2).sum(axis=1)
        return [
            {
                "label": int(self._labels[i]),
                "distance": float(np.sqrt(away[i])),
                "seen": coded(self._images[i]),
            }
            for i in np.argsort(away, kind="stable")[:_NEAREST]
        ]


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole(value: object, name: str, count: int) -> int:
    if not _is_whole(value) or not 0 <= value < count:  # type: ignore[operator]
        raise ValueError(f"{name} must be 0 to {count - 1}, got {value!r}"[:200])
    return value  # type: ignore[return-value]


def _drawing(request: Mapping[str, Any]) -> np.ndarray:
    """The drawing in a request, uint8 (side, side)."""
    side, text = request.get("side"), request.get("drawing")
    if not isinstance(side, int) or side not in _SIDES:
        raise ValueError(f"side must be {_SIDES.start} to {_SIDES.stop - 1}, got {side!r}"[:200])
    try:
        pixels = base64.b64decode(text, validate=True)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError("drawing must be the pixels in base64") from None
    if len(pixels) != side * side:
        raise ValueError(f"a drawing of side {side} has {side * side} pixels, got {len(pixels)}")
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
