"""A finished run, or a saved model, opened for looking at it.

Examples
--------
>>> run = Saved("runs/mnist-baseline-mnist")  # doctest: +SKIP
>>> run.history["test_accuracy"][-1]  # doctest: +SKIP
0.9872
"""

import functools
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kernels import jit

from .. import backends, datasets
from ..checks import refuse_nan
from ..config import Config, read_toml, replace
from ..config.recipe import load_data
from ..datasets import Dataset
from ..files import place
from ..graph import Graph
from ..inference import Compiled
from ..losses import CLASSIFICATION, REGRESSION
from ..network import intake
from ..network.network import EVALUATED_AT_ONCE
from ..sequential import Sequential, load_model
from ..terminal import one_line, say
from ..training.history import History, Table
from .folder import MODEL, RESULT, checkpoints, read_file, read_result
from .same_images import say_if_changed

# Multiply-adds, for each thread, from which on a network is compiled for its answers. The usual way
# takes some 20 s for them (bench/README.md, answers in batches), and compiling, which the first
# command on a machine has to wait for, about as long. It then takes 0.55 to 0.8 of the time.
_WORTH_COMPILING = 5e11


class Output(NamedTuple):
    """What comes out of a network.

    Attributes
    ----------
    name : str
        Empty where there is one output, which nobody named.
    task : str
        What it says: "classification", "multilabel" or "regression".
    shape : tuple of int
        Of what it gives for a sample.
    """

    name: str
    task: str
    shape: tuple[int, ...]


class Saved:
    """What a training run left in its folder, or a model file alone; each part is read when asked.

    Parameters
    ----------
    path : path
        The folder that `python -m fastcnn.train --out` wrote, or a model's .npz file.

    Raises
    ------
    ValueError
        If there is neither; and by the parts below, if the file behind them is missing or damaged.
        One sentence, which names the file.

    Examples
    --------
    >>> from fastcnn import models
    >>> models.build("lenet5").save("lenet5.npz")
    >>> Saved("lenet5.npz").model.input_shape
    (1, 28, 28)
    """

    def __init__(self, path: str | Path) -> None:
        self.path = place(path)
        if not self.path.exists():
            raise ValueError(f"there is no run folder or model file {self.path}")
        self.is_run = self.path.is_dir()
        self._compared = False  # whether it was said if the images are not the run's any more
        if self.is_run and not (self.path / "config.toml").is_file():
            inside = [*self.path.glob("*/config.toml"), *self.path.glob("*/*/config.toml")]
            hint = f"; name one inside it, such as {min(inside).parent}" if inside else ""
            raise ValueError(
                f"{self.path} is not the folder of a training run: it has no config.toml{hint}"
            )

    def _file(self, name: str, why: str) -> Path:
        """A file of the run."""
        if not self.is_run:
            raise ValueError(f"{self.path} is a model; {why} is kept by runs: name a run's folder")
        if not (self.path / name).is_file():
            ahead = ""
            if not (self.path / RESULT).is_file() and checkpoints(self.path):
                ahead = " before the run has come to its end, to which --resume takes it"
            raise ValueError(f"the run {self.path} has no {name}: {why} is not known{ahead}")
        return self.path / name

    @functools.cached_property
    def model(self) -> Sequential | Graph:
        """The network: of a run, that of its best epoch."""
        return load_model(self._file(MODEL, "the model") if self.is_run else self.path)

    @functools.cached_property
    def config(self) -> Config:
        """The run's settings."""
        return replace(Config(), read_toml(self._file("config.toml", "the configuration")))

    @functools.cached_property
    def history(self) -> History:
        """The run's numbers per epoch; `best_epoch` is known once the run is over."""
        path = self._file("history.csv", "the history")
        history = read_file(path, History.from_csv)
        if not history.epochs:
            raise ValueError(f"the run {self.path} has finished no epoch: {path.name} is empty")
        history.best_epoch = self.result.get("best_epoch") or 0
        return history

    @functools.cached_property
    def gradients(self) -> Table:
        """The norms of the run's gradients per epoch."""
        if self.is_run and not (self.path / "gradients.csv").is_file():
            raise ValueError(
                f"the run {self.path} did not track its gradients: train with --track-gradients"
            )
        path = self._file("gradients.csv", "the history of gradients")
        table = read_file(path, Table.from_csv)
        if "epoch" not in table:
            raise ValueError(f"the run {self.path} has finished no epoch: {path.name} is empty")
        return table

    @functools.cached_property
    def result(self) -> dict[str, Any]:
        """The run's result.json; empty while it is not over."""
        path = self.path / "result.json"
        if not (self.is_run and path.is_file()):
            return {}
        return read_result(path)

    @property
    def model_name(self) -> str:
        """What the model is called."""
        if self.is_run:
            return self.config.model.model
        return self.model.name or self.path.stem

    @property
    def name(self) -> str:
        """Model and dataset, for headings."""
        if not self.is_run:
            return self.model_name
        return f"{self.model_name} on {datasets.title(self.config.data.dataset)}"

    def dataset(
        self,
        name: str | None = None,
        data_dir: str | None = None,
        offline: bool = False,
        several: bool = False,
        measured: bool = True,
    ) -> Dataset:
        """The images that the run was trained and tested on, or those of the dataset named.

        Where people's own images have changed since the run, standard error says so.

        several : whether the network may be for something else than the classes of one output
        measured : whether they are to be measured, so that it matters which they are

        Raises
        ------
        ValueError
            If no dataset is known, or its images do not fit the model.
        """
        if not self.is_run and name is None:
            raise ValueError(f"the model {self.path} does not say on which images: give --dataset")
        has_model = not self.is_run or (self.path / MODEL).is_file()
        if has_model:  # else it is a run without an epoch
            self._check_inputs() if several else self._check_task()
        config = self.config if self.is_run else Config()
        if not self.is_run and isinstance(self.model.task, str):
            config = replace(config, {"task": self.model.task})
        if data_dir is not None:
            config = replace(config, {"data_dir": data_dir})
        if offline:
            config = replace(config, {"offline": True})
        if name is not None and datasets.is_path(name):
            name = str(place(name).resolve())
        is_own = self.is_run and name in (None, config.data.dataset)
        if is_own:
            data = load_data(config)
            data = data.limit(config.data.limit_train, config.data.limit_test)
        else:
            data = self._other(config, str(name))
        if not has_model:
            return data
        if is_own:
            data = self._named_alike(data)
            if measured and not self._compared:
                self._compared = True
                say_if_changed(self.result.get("images", {}), data)
        shape = data.x_test.shape[1:]
        if self.model.data_format == "channels_last":
            shape = (*shape[1:], shape[0])
        if self.model.input_shape not in (None, shape):
            raise ValueError(
                f"{self.model_name} takes images of shape {self.model.input_shape}, those of "
                f"{data.title} have {shape}"
            )
        if self.model.output_names:
            self.telling(data)
            return data
        given = self.model.output_shape((1, *shape))[1:]
        if len(given) != 1:
            what = f"{self.model_name} gives {given} for an image, which is no row of numbers"
            raise ValueError(f"{what}: use it in Python, load_model(...).measure(images, targets)")
        outputs, classes = given[0], data.outputs
        if self.model.task != CLASSIFICATION:
            if outputs != classes:
                raise ValueError(
                    f"what {self.model_name} gives for an image is {outputs} wide, what "
                    f"{data.title} has is {classes} wide"
                )
            return data
        counted = data.class_names == tuple(map(str, range(classes)))
        if not is_own and counted and classes < outputs:  # the last classes have no image
            names = self.model.class_names or tuple(map(str, range(outputs)))
            return data.renamed(names)
        if outputs != classes:
            raise ValueError(
                f"{self.model_name} tells {outputs} classes apart, {data.title} has {classes}"
            )
        return data

    @functools.cached_property
    def outputs(self) -> tuple[Output, ...]:
        """What comes out of the network.

        Raises
        ------
        ValueError
            If it does not say which images it takes.
        """
        model, shape = self.model, self.model.input_shape
        self._check_inputs()
        if shape is None:
            raise ValueError(
                f"{self.path} does not say which images it takes: it has no input_shape"
            )
        found: Any = model.output_shape((1, *shape))
        tasks = model.task if isinstance(model.task, tuple) else (model.task,)
        shapes = found if model.output_names else (found,)
        names = model.output_names or model.structure().get("output_names") or ("",)
        each = zip(names, tasks, shapes, strict=True)
        return tuple(Output(name, task, tuple(shape[1:])) for name, task, shape in each)

    def telling(self, data: Dataset) -> tuple[int, ...]:
        """The places of the outputs that tell the classes of a dataset apart.

        Raises
        ------
        ValueError
            If there are none.
        """
        wanted = CLASSIFICATION, (len(data.class_names),)
        found = [i for i, each in enumerate(self.outputs) if (each.task, each.shape) == wanted]
        if not found:
            given = ", ".join(f"{each.name} {each.shape}" for each in self.outputs)
            raise ValueError(
                f"{data.title} has {wanted[1][0]} classes, which none of the outputs of "
                f"{self.model_name} tells apart, {given}: measure it in Python, "
                f"load_model(...).measure(images, targets)"
            )
        return tuple(found)

    def answers(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        """What each output gives for images (N, C, H, W), before a softmax where it has a task.

        Computed as `logits` computes.

        Raises
        ------
        ValueError
            If the network has several inputs, or gives NaN.
        """
        self._check_inputs()
        logits = [each.task != REGRESSION for each in self.outputs]
        several = len(logits) > 1
        model = self._compiled.network if self._is_much(images) else self.model
        x = intake.samples(model, "predict", intake.turned(self.model, images))
        parts: list[list[np.ndarray]] = [[] for _ in logits]
        which = tuple(logits) if several else logits[0]
        for rows, y in model.outputs(x, EVALUATED_AT_ONCE, which):
            for part, each in zip(parts, y if several else (y,), strict=True):
                refuse_nan(str(self.path), each, rows.start)
                part.append(each.copy())
        return tuple(map(np.concatenate, parts))

    def logits(self, images: np.ndarray) -> np.ndarray:
        """What the network gives for images (N, C, H, W) of a dataset, before its softmax.

        Where they are so many that it pays, the network answers compiled for it, in float32 and
        with the kernels of the "numba" backend; what it gives is the same within 1e-5 of the
        largest number. Else it runs as in training, to the bits of what was measured there, and
        nothing is compiled that training has not compiled already.

        Raises
        ------
        ValueError
            If the network does not tell classes apart, or gives NaN.
        """
        self._check_task()
        model = self._compiled if self._is_much(images) else self.model
        found = model.predict_logits(intake.turned(self.model, images))
        refuse_nan(str(self.path), found)
        return found

    @functools.cached_property
    def _compiled(self) -> Compiled:
        """The network for answers only."""
        return self.model.compile_for_inference()

    def _is_much(self, images: np.ndarray) -> bool:
        """Whether the network should be compiled for these images."""
        if self.model.dtype != np.float32 or backends.current_name() != "numba":
            return False
        walk = self.model.walk(images.shape[1:])
        work = sum(layer.multiply_adds(shape) for _, layer, shape, _ in walk)
        return work * len(images) >= _WORTH_COMPILING * jit.get_threads()

    def _check_inputs(self) -> None:
        count = len(self.model.connections().inputs)
        if count > 1:
            names = self.model.structure().get("input_names") or [f"x{i}" for i in range(count)]
            raise ValueError(
                f"{self.path} is a network of {count} inputs, and here each picture is one: use it "
                f"in Python, load_model(...).predict(({', '.join(names)}))"
            )

    def _check_task(self) -> None:
        self._check_inputs()
        if self.model.output_names:
            names = ", ".join(self.model.output_names)
            raise ValueError(
                f"{self.path} is a network of several outputs ({names}), and this is for one that "
                f"tells classes apart: ask it with python -m fastcnn.predict, or in Python, "
                f"load_model(...).predict(images)"
            )
        if self.model.task != CLASSIFICATION:
            kind = "numbers" if self.model.task == REGRESSION else "several labels of one image"
            raise ValueError(
                f"{self.path} is a network for {kind}, not for classes: ask it with "
                f"python -m fastcnn.predict, or in Python, load_model(...).predict(images)"
            )

    def _other(self, config: Config, name: str) -> Dataset:
        """Another dataset than the run's; people's own pictures are made to fit the model."""
        config = replace(config, {"dataset": name, "size": None, "grey": False})
        shape = self.image_shape
        if not datasets.is_path(name):
            return load_data(config)
        data = load_data(config, size=None if shape is None else shape[1:], whole=True)
        if shape is not None:
            data = data.fitted(shape)
        for note in data.notes:  # such as pictures that are left out
            say(f"note: {one_line(note)}", sys.stderr)
        return self._named_alike(data)

    def _named_alike(self, data: Dataset) -> Dataset:
        """Other images with their labels as the model numbers its classes, found by name."""
        own = self.model.class_names
        if own is None or own == data.class_names:
            return data
        if data.task != CLASSIFICATION:  # a column for each, in the order of the network's
            return data.renamed(own) if len(own) == data.outputs else data
        strange = [name for name in data.class_names if name not in own]
        if strange and not all(name.isdecimal() for name in data.class_names):
            raise ValueError(
                f"{data.title} has a class {strange[0]!r} that {self.model_name} does not know: "
                f"its classes are {datasets.listing(own[:20])}"
            )
        if strange:  # numbers without names mean the model's numbers
            return data if len(own) != len(data.class_names) else data.renamed(own)
        return data.renamed(own, [own.index(name) for name in data.class_names])

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """(channels, height, width) of the images that the model takes, if it takes images."""
        shape = self.model.input_shape
        if shape is None or len(shape) != 3:
            return None
        last = self.model.data_format == "channels_last"
        return (shape[2], shape[0], shape[1]) if last else (shape[0], shape[1], shape[2])
