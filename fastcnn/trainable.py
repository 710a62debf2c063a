"""`Trainable`: a network that can also be trained, saved and described."""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Never

import numpy as np

from . import foreign
from .checks import sizes, whole
from .files import place
from .inference import Compiled
from .layers.described import own_classes
from .network import checkpoint, summary, transfer
from .network.measures import Metric
from .network.network import Network
from .optim import Optimizer
from .schedules import Schedule
from .training.augment import Augment
from .training.budget import Budget
from .training.callbacks import checked
from .training.fit import fit
from .training.history import History
from .training.parallel import Alone
from .training.progress import Progress, chosen
from .training.settings import (
    Arrays,
    Clipping,
    Keeping,
    Measuring,
    Method,
    Passes,
    Stopping,
    Watching,
    Weighting,
    never,
)


class Trainable(Network):
    """What `Sequential` and `Graph` have in common besides what every `Network` has.

    Examples
    --------
    >>> from fastcnn import Sequential, optim
    >>> from fastcnn.layers import Dense
    >>> x, y, model = np.float32([[0], [1]] * 8), np.array([0, 1] * 8), Sequential(Dense(1, 2))
    >>> history = model.train(x, y, optimizer=optim.SGD(5.0), epochs=10, progress=False)
    >>> history["accuracy"][-1]
    1.0
    """

    def train(
        self,
        x: np.ndarray,
        y: np.ndarray,
        *,
        loss: Any = None,
        loss_weights: Any = None,
        optimizer: Optimizer | str | None = None,
        epochs: int = 10,
        minutes: float | None = None,
        batch_size: int = 32,
        validation: Arrays | float | None = None,
        test: Arrays | None = None,
        schedule: Schedule | str | None = None,
        patience: int | None = None,
        monitor: str = "val_loss",
        min_gain: float = 0.0,
        stop_gain: float | None = None,
        stop_gain_epochs: int = 3,
        restore_best: bool | None = None,
        clip_norm: float | None = None,
        clip_mode: str = "global",
        clip_arrays: Sequence[str] | None = None,
        augment: Augment | None = None,
        shuffle: bool = True,
        drop_last: bool = False,
        seed: int | None = None,
        progress: Progress | bool | None = None,
        should_stop: Callable[[], bool] | None = None,
        checkpoint_path: str | Path | None = None,
        save_minutes: float | None = None,
        resume_from: str | Path | None = None,
        allow: Collection[str] | str = (),
        track_gradients: bool = False,
        precise_bn: int = 0,
        sample_weight: np.ndarray | None = None,
        class_weight: Mapping[Any, float] | str | None = None,
        metrics: Mapping[str, Metric] | None = None,
        callbacks: Any = (),
        ema: float | None = None,
        parallel: Alone | None = None,
        **misspelt: Never,
    ) -> History:
        """Train in place.

        Parameters
        ----------
        x : uint8 (N, C, H, W), or float32 (N, ...)
            Training data. uint8 images are normalised by the model (``model.normalization``).
        y : int (N,) or float (N, outputs)
            Class numbers, names or one-hot rows; for several labels of one sample 0 or 1 for each;
            for regression numbers, (N,) or (N, outputs). Of a `Graph` with several outputs a tuple
            of as many arrays, or a dict by the names of the outputs.
        loss : str or loss, optional
            One of `fastcnn.losses`, or an object of your own with ``forward(outputs, targets)``,
            the mean over the batch, and ``backward()``; `fastcnn.losses.chosen` says more. Default:
            cross-entropy. The history has what fits it: ``accuracy`` for classes, ``exact_match``
            and ``label_accuracy`` for several labels, ``r2`` and ``mae`` for numbers. Of several
            outputs one for all, or a tuple.
        loss_weights : sequence of float, optional
            How much the loss of each of several outputs counts; default: 1.
        optimizer : Optimizer or str, optional
            Default ``SGD(0.01)``. An L2 penalty is its ``weight_decay``.
        epochs : int
            Passes over the training data, those of a resumed run included.
        minutes : float, optional
            How long this call may take, instead of ``epochs``: compiling, measuring and the epochs
            of a resumed run included. The schedule follows the share of the time that is over,
            and the last epoch is a part of one; the bits are not those of another such run.
        batch_size : int
            Rows per step; the last step of an epoch takes what is left, see ``drop_last``.
        validation : (x, y), (x, y, sample_weight) or float, optional
            Data measured after each epoch to choose the best, or the share of the training data
            to hold out for it, which keeps its weights: rows chosen at random, whatever their
            class. Where a class is rare, choose by class and give both parts (scikit-learn's
            ``train_test_split(x, y, stratify=y)``).
        test : (x, y) or (x, y, sample_weight), optional
            Data measured after each epoch and used for nothing.
        schedule : Schedule or str, optional
            How the learning rate changes; default: not at all.
        patience : int, optional
            Stop after so many epochs without a better ``monitor``.
        monitor : str
            What decides which epoch is best: "val_loss", "val_accuracy", or another validated
            column of the history. A loss and an error (mae) should fall, all else rise:
            `fastcnn.schedules.gain` goes by the name.
        min_gain : float
            An epoch is better only if it gains more than this on the best so far.
        stop_gain : float, optional
            Stop once an epoch gains less than this: ``monitor`` where there is validation data,
            else the training accuracy (0.001 is a tenth of a percent). Unlike ``patience``, which
            counts the epochs since the best one, it watches how steep the curve is. Epochs in which
            the network has not yet begun to learn (the loss is that of guessing) do not count:
            LeNet-5 with sigmoids spends its first three on MNIST so.
        stop_gain_epochs : int
            The gain is the mean over so many epochs, as one alone is noisy; 1 for each by itself.
        restore_best : bool, optional
            End with the parameters of the best epoch. Default: if ``patience`` is given.
        clip_norm : float, optional
            Gradients longer than this (Euclidean norm) are scaled to it.
        clip_mode : {"global", "array", "value"}
            All gradients as one vector, or each parameter array by itself; "value": no vector, but
            every single number is brought between -clip_norm and clip_norm.
        clip_arrays : sequence of str, optional
            Names of the arrays that are clipped, such as "weight" or "0.bias"; default: all. The
            others count for nothing in a length.
        augment : Augment, optional
            Random changes to the training images, made anew for each batch.
        shuffle : bool
            New order of the rows in every epoch.
        drop_last : bool
            Leave out the last batch of an epoch where it is smaller than ``batch_size``: BatchNorm
            learns little from one of 1 or 2 rows.
        seed : int, optional
            Key of shuffling, splitting, augmentation and dropout; default: the model's.
        progress : bool or Progress, optional
            True: a table with a row per epoch is printed; False: nothing. Default: it is printed in
            a terminal and in a notebook. A `Progress` is told what happens instead.
        should_stop : function, optional
            Asked after each batch; when it says True, training ends with the parameters of the
            last finished epoch (or the best).
        checkpoint_path : path, optional
            File that is rewritten at the end of each epoch, and read by ``resume_from``. That of an
            earlier run stays until the first epoch is finished.
        save_minutes : float, optional
            It is rewritten within an epoch too, once it is so old, and where ``should_stop`` says
            True. Default: only then.
        resume_from : path, optional
            Continue the run of this checkpoint. Data, model and all other arguments must be as they
            were, but for more ``epochs`` and what ``allow`` names.
        allow : str or collection of str
            Arguments that may be others than those of the run that is resumed: ``("lr",
            "batch_size")`` or ``"lr,batch_size"``, where "lr" is the optimizer's. From which epoch
            on they are is recorded in the history's ``changes``.
        track_gradients : bool
            Record in the history's ``gradients`` the Euclidean norm of each parameter array's
            gradient, before clipping and without weight decay: per epoch the mean over up to ten
            steps, evenly spread.
        precise_bn : int
            Before each evaluation BatchNorm's running statistics become the means over so many
            training batches, with the weights as they are; 0: they are what ran along. For runs
            whose steps stay long to the end, see `fastcnn.training.precise_bn`.
        sample_weight : (N,), optional
            How much each sample counts. What an epoch makes small is sum(w * loss) / sum(w) over
            the training samples, so that only the ratios of weights matter; a batch's loss is
            the mean of w * loss with the weights scaled to the mean 1. Accuracy and its kin are
            weighted too.
        class_weight : dict or "balanced", optional
            How much each class counts: class number or name -> weight, 1 for those not named;
            "balanced": each class alike, N / (classes * samples of the class). Weighs the
            training loss only; together with ``sample_weight`` they are multiplied.
        metrics : dict, optional
            More to measure on validation and test data after each epoch: name -> function(targets,
            outputs), which gives a number. Targets are class numbers (N,), or (N, outputs); outputs
            (N, K) what the network gives, for classes and labels before softmax or sigmoid. The
            columns are "val_NAME" and "test_NAME"; ``monitor`` may be one.
        callbacks : sequence, optional
            Functions (model, history), or objects with such an ``on_epoch_end``, called after each
            epoch is saved. One that returns True, or raises `fastcnn.training.StopTraining`, ends
            training.
        ema : float, optional
            Keep a moving average of the weights, and of BatchNorm's statistics: after each step it
            keeps this part of itself (0.999; less in the first steps). It is the average that is
            measured, that the best epoch is chosen by and that the model has in the end; steps are
            made with the weights themselves, which a checkpoint keeps too.
        parallel : MPI, optional
            ``fastcnn.training.parallel.MPI()`` in a program that ``mpiexec`` has started: all its
            processes train together, and the bits are those of one (docs/scale.md).
        **misspelt
            Refused, with the name that was meant.

        Returns
        -------
        History
            A dict of lists with one entry per epoch.

        Raises
        ------
        TrainingDiverged
            If a number becomes infinite or NaN; at the step where it shows.
        ValueError
            If an argument does not fit; the sentence says which.
        TypeError
            If there is no such option; names the one that was meant.

        Examples
        --------
        >>> from fastcnn import datasets, models
        >>> digits = datasets.load("digits")
        >>> history = models.build("mnist-baseline").train(
        ...     digits.x_train[:100], digits.y_train[:100], epochs=2, progress=False
        ... )
        >>> history["epoch"]
        [1, 2]
        """
        for option in misspelt:
            known = tuple(inspect.signature(self.train).parameters)[2:-1]
            raise TypeError(f"train has no option {option!r}; {foreign.answer(option, known)}")
        names = (clip_arrays,) if isinstance(clip_arrays, str) else clip_arrays
        arrays = None if names is None else tuple(names)
        budget = None if minutes is None else Budget(minutes)
        clipping = Clipping(clip_norm, clip_mode, arrays)
        return fit(
            self,
            x,
            y,
            method=Method.of(
                self.by_output("loss", loss),
                optimizer,
                schedule,
                clipping,
                ema,
                self.by_output("loss_weights", loss_weights),
            ),
            passes=Passes(
                epochs, batch_size, shuffle, augment, seed, drop_last, budget, parallel or Alone()
            ),
            measuring=Measuring(validation, test, precise_bn, track_gradients, metrics or {}),
            stopping=Stopping(
                monitor, patience, min_gain, stop_gain, stop_gain_epochs, restore_best
            ),
            watching=Watching(chosen(progress), should_stop or never, callbacks=checked(callbacks)),
            keeping=Keeping(
                None if checkpoint_path is None else place(checkpoint_path),
                None if resume_from is None else place(resume_from),
                allow.split(",") if isinstance(allow, str) else allow,
                minutes=save_minutes,
            ),
            weighting=Weighting(sample_weight, class_weight),
        )

    def compile_for_inference(self) -> Compiled:
        """The network as it is now, for answers only: `predict` without Python between kernels.

        Of one image it takes a fraction of the time. `fastcnn.inference.Compiled` says what it
        can do; training this network afterwards does not change it.

        Raises
        ------
        TypeError
            If the network is float64.
        """
        return Compiled(self)

    def save(self, path: str | Path) -> None:
        """Write the model to a file that `load_model` reads; see `fastcnn.network.checkpoint`."""
        checkpoint.save_model(self, path)

    # --- beginning with what another model has learned ------------------------------------------

    def load_fitting(self, path: str | Path) -> transfer.Loaded:
        """Load from a saved model what fits by name and shape; see `fastcnn.network.transfer`."""
        return transfer.load_fitting(self, path)

    def freeze(self, layers: int | str) -> None:
        """Freeze the first so many layers, or "all-but-last"; 0 for none. See `Layer.trainable`.

        Raises
        ------
        ValueError
            If there are not so many layers.
        """
        transfer.freeze(self, layers)

    def replace_head(self, classes: int, class_names: Sequence[str] | None = None) -> None:
        """Put a new last Dense, for so many classes, in the place of the old one.

        All other layers keep their values. An optimizer that has kept the state of the model
        before cannot go on with it: make a new one.

        Raises
        ------
        ValueError
            If the last layer with parameters is no Dense, or classes does not fit.
        """
        self._take(transfer.with_new_head(self, classes), self.seed)
        self.class_names = None if class_names is None else tuple(map(str, class_names))

    def summary(
        self,
        input_shape: Sequence[int] | None = None,
        *,
        time: bool = False,
        batch_size: int = 32,
    ) -> str:
        """A table of layers, their output for one sample (channels first), and their parameters.

        Layers inside a layer stand below it, indented, each with the name that it has there.

        Parameters
        ----------
        input_shape : sequence of int, optional
            Shape of one sample; default: the model's `input_shape`. Without either, outputs are
            left out.
        time : bool
            Run a copy of the model on random numbers too, for about a second: multiply-adds of a
            sample, milliseconds of a batch forward and backward, share of the processor's peak.
        batch_size : int
            Samples of that batch.

        Raises
        ------
        ValueError
            If `input_shape` is none that the layers take, or times are wanted without one.
        """
        sample = self.sample_shape
        if input_shape is not None:
            sample = sizes("summary", "input_shape", input_shape)
        if sample is not None and self.data_format == "channels_last" and len(sample) == 3:
            sample = (sample[2], sample[0], sample[1])
        if not time:
            return summary.table(self, sample)
        if sample is None:
            raise ValueError("times need the shape of a sample: summary((1, 28, 28), time=True)")
        return summary.timed(self, sample, whole("summary", "batch_size", batch_size))

    def __reduce__(self) -> Any:
        described, own = checkpoint.describe(self), own_classes(self.layers)
        clock = self._clock.epoch, self._clock.step, self._clock.seed
        return _rebuild, (described, self.copy_arrays(), type(self), own, self.loss, clock)


def _rebuild(
    described: dict[str, Any],
    arrays: dict[str, np.ndarray],
    kind: type,
    _: tuple[type, ...],
    loss: Any = None,
    clock: tuple[int, int, int] | None = None,
) -> Trainable:
    """What a pickle calls, once it has imported the classes of the layers."""
    model = checkpoint.rebuild(described, arrays, kind)
    model.loss = model.loss if loss is None else loss
    if clock is not None:
        model.set_clock(*clock)  # what is random goes on where it was
    return model
