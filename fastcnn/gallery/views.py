"""What pictures of one saved model or run share: the choices, the layers, the images."""

import functools
from dataclasses import dataclass

import numpy as np

from ..datasets import Dataset
from ..losses import CLASSIFICATION
from ..network.intake import turned
from ..runs.saved import Saved
from ..trainable import Trainable
from . import analysis
from .analysis import Place


@dataclass(frozen=True)
class Options:
    """What can be chosen of a picture; each kind takes what concerns it.

    Attributes
    ----------
    layer : int, optional
        Which of the layers that the kind is about, from 1; None: the usual one, or all.
    channel : int, optional
        Input channel of filters; None: all three of an image in colours, else the first.
    image : int
        Number of the test image, from 0.
    most : int, optional
        Tiles, maps, features or images at most; None: as many as the kind usually shows.
    quantity, part : str
        What `overlay` shows: see `plots.overlay`.
    names : tuple[str, ...]
        What the sources are called in a legend; default: model and dataset.
    dataset, data_dir, offline
        Where the images come from; default: those of the run.
    """

    layer: int | None = None
    channel: int | None = None
    image: int = 0
    most: int | None = None
    quantity: str = "accuracy"
    part: str = "train"
    names: tuple[str, ...] = ()
    dataset: str | None = None
    data_dir: str | None = None
    offline: bool = False


class View:
    """A source, with what several pictures of it need."""

    def __init__(self, saved: Saved, options: Options) -> None:
        self.saved, self.options = saved, options
        self.name = saved.name

    @property
    def model(self) -> Trainable:
        """The source's model."""
        return self.saved.model

    @functools.cached_property
    def data(self) -> Dataset:
        """The images that the options ask for, else the source's own."""
        options = self.options
        return self.saved.dataset(options.dataset, options.data_dir, options.offline)

    @functools.cached_property
    def any_data(self) -> Dataset:
        """The same, where the network may be for numbers or several labels."""
        if self.model.output_names or self.model.task == CLASSIFICATION:
            return self.data
        options = self.options
        return self.saved.dataset(options.dataset, options.data_dir, options.offline, several=True)

    @functools.cached_property
    def weighted(self) -> list[Place]:
        """The layers with weights."""
        places = analysis.with_weights(self.model)
        if not places:
            raise ValueError(f"{self.name} has no layers with weights")
        return places

    @functools.cached_property
    def probabilities(self) -> np.ndarray:
        """(test images, classes)."""
        return self.model.predict_proba(turned(self.model, self.data.x_test))

    @property
    def image(self) -> np.ndarray:
        """The chosen test image, (C, H, W)."""
        images = self.any_data.x_test
        count = len(images)
        if not 0 <= self.options.image < count:
            raise ValueError(f"image must be 0 to {count - 1}, got {self.options.image}")
        return images[self.options.image]

    @property
    def image_name(self) -> str:
        """Number and class of the image that is looked at."""
        data = self.any_data
        name = f"test image {self.options.image} of {data.name}"
        if data.task != CLASSIFICATION:
            return name
        return f"{name}, class {data.class_names[data.y_test[self.options.image]]}"

    def some(self, places: list[Place], what: str) -> list[Place]:
        """The chosen layer of these, or all of them."""
        if not places:
            raise ValueError(f"{self.name} has no {what}")
        layer = self.options.layer
        if layer is None:
            return places
        if not 1 <= layer <= len(places):
            raise ValueError(f"layer must be 1 to {len(places)} for the {what}, got {layer}")
        return [places[layer - 1]]

    def first(self, places: list[Place], what: str) -> Place:
        """The chosen layer of these, or the first."""
        return self.some(places, what)[0]

    def most(self, usual: int) -> int:
        """How many are shown: what the options say, else what is usual."""
        return usual if self.options.most is None else self.options.most
