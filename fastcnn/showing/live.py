"""A network in training, watched: it waits, goes on, steps, and may be broken on purpose."""

import math
import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..config import Config
from ..config.recipe import make_method, make_model, make_normalization
from ..datasets import Dataset
from ..gallery import analysis
from ..languages import Refusal, Said
from ..network.intake import turned
from ..random import generator
from .guard import told
from .shown import Shown, wrong

_PAUSE = 0.002  # seconds between two steps, in which others may ask
_TESTED = 500  # test images that are measured
_MOMENTS = 40  # of the training, whose weights are kept; then every other one
_POINTS = 300  # of a curve
_RATES = (0.0, 1e6)
_LARGEST = 1e30  # of a gradient that is told
_DEAD = -20.0  # the bias that keeps a ReLU shut
STARTS = ("own", "small", "dead")
"""How weights begin: as the network's settings say; a hundred times smaller, in every layer; with
biases that no ReLU opens to."""


class Live(Shown):
    """A network that one thread trains while others ask.

    Parameters
    ----------
    config : Config
        Settings of the network and of its training: optimizer, rate, loss, batch, clipping. The
        rate stays what it is set to.
    data : Dataset
        Images.
    """

    def __init__(self, config: Config, data: Dataset) -> None:
        self._config = config
        name = f"{config.model.model} on {data.name}"
        super().__init__(self._new(data), data, name, remembered=200)
        self._go = threading.Condition()
        self._is_going, self._steps_wanted, self._is_over = False, 0, False
        self._method = make_method(config)
        self._shuffles = True
        self._every = max(1, len(data.x_train) // config.training.batch_size // 10)
        self._begin("own")
        self._thread = threading.Thread(target=self._train, daemon=True)
        self._thread.start()

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return self._method.optimizer.lr

    def end(self) -> None:
        """End the training, after its step."""
        with self._go:
            self._is_over = True
            self._go.notify()
        self._thread.join()

    # --- what the page asks ----------------------------------------------------------------------

    def about(self) -> dict[str, Any]:
        """As a network's that is trained, and what can be changed."""
        return {**super().about(), "live": True, "starts": STARTS}

    def state(self) -> dict[str, Any]:
        """Where the training is, its curves, its gradients."""
        with self.turn:
            thin = max(1, math.ceil(len(self._losses) / _POINTS))
            few = max(1, math.ceil(len(self._accuracies) / _POINTS))
            return {
                "going": self._is_going, "failed": self._failed,
                "step": self._step, "epoch": self._step / self._of,
                "rate": self.rate, "shuffles": self._shuffles,
                "loss": self._losses[-1] if self._losses else None,
                "losses": [
                    [k + 1, float(np.mean(self._losses[k : k + thin]))]
                    for k in range(0, len(self._losses), thin)
                ],
                "accuracies": [*self._accuracies[:-1:few], *self._accuracies[-1:]],
                "gradients": self._norms,
                "moments": [step for step, _ in self._moments],
            }  # fmt: skip

    def control(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Go, pause, step, or change the rate, the order or the start; then the state.

        Raises
        ------
        ValueError
            If there is no such thing to do.
        """
        known = {"going", "step", "rate", "shuffles", "start"}
        if not request or not known.issuperset(request):
            names = ", ".join(sorted(known))
            raise Refusal(f"what can be done is {names}", f"可以做的有 {names}")
        for name in ("going", "step", "shuffles"):
            if name in request and not isinstance(request[name], bool):
                raise wrong(
                    f"{name} must be true or false", f"{name} 应为 true 或 false", request[name]
                )
        rate, start = request.get("rate"), request.get("start")
        if rate is not None:
            is_number = isinstance(rate, (int, float)) and not isinstance(rate, bool)
            if not is_number or not _RATES[0] <= rate <= _RATES[1]:
                low, high = (f"{limit:g}" for limit in _RATES)
                raise wrong(f"rate must be {low} to {high}", f"学习率应为 {low} 到 {high}", rate)
        if start is not None and start not in STARTS:
            names = ", ".join(STARTS)
            raise wrong(f"start must be one of {names}", f"start 应为 {names} 之一", start)
        with self.turn:
            if start is not None:
                self._begin(start)
            if rate is not None:
                self._method.optimizer.lr = float(rate)
            if "shuffles" in request:
                self._shuffles, self._order = request["shuffles"], np.arange(0)
        with self._go:
            self._is_going = request.get("going", self._is_going) and self._failed is None
            self._steps_wanted += bool(request.get("step")) and self._failed is None
            self._go.notify()
        return self.state()

    # --- the training ----------------------------------------------------------------------------

    def _begin(self, start: str) -> None:
        """A new network, of no step; the rate stays as it is."""
        rate, self._method = self.rate, make_method(self._config)
        self.model, self._method.optimizer.lr = self._new(self.data), rate
        weighted = [layer for layer in self.model.layers if "weight" in layer.params]
        for place in analysis.with_weights(self.model):
            params = place.layer.params
            if start == "small":
                params["weight"] *= 0.01
            elif start == "dead" and "bias" in params and place.layer is not weighted[-1]:
                params["bias"][...] = _DEAD
        self._step, self._order = 0, np.arange(0)
        self._failed: dict[str, str] | None = None
        self._of = math.ceil(len(self.data.x_train) / self._config.training.batch_size)
        self._losses: list[float] = []
        self._accuracies: list[tuple[int, float]] = []
        self._norms: list[tuple[str, float]] = []
        self._moments = []
        self._look()

    def _new(self, data: Dataset) -> Any:
        model = make_model(self._config, data.x_train.shape[1:], len(data.class_names))
        model.normalization = make_normalization(self._config, data.x_train, 0.0)
        return model

    def _train(self) -> None:
        """Steps, as long as they are wanted."""
        while True:
            with self._go:
                while not (self._is_over or self._is_going or self._steps_wanted):
                    self._go.wait()
                if self._is_over:
                    return
            with self.turn:
                with self._go:  # while it waited for its turn it may have been told to pause
                    if not (self._is_going or self._steps_wanted):
                        continue
                    self._steps_wanted = max(0, self._steps_wanted - 1)
                try:
                    with np.errstate(all="ignore"):  # it may be broken on purpose
                        self._make_step()
                except Exception as error:  # too little memory, for example
                    why = Said(f"the training has failed: {error}", f"训练中断：{error}")
                    self._failed = told(why)
                    self._is_going = False
            time.sleep(_PAUSE)

    def _make_step(self) -> None:
        """One batch forward, backward and into the weights."""
        epoch, place = divmod(self._step, self._of)
        size, data = self._config.training.batch_size, self.data
        if place == 0 or not len(self._order):
            self._order = self._rows(epoch)
        rows = self._order[place * size : (place + 1) * size]
        self.model.set_clock(epoch, place)
        loss = self._method.loss
        value = loss.forward(
            self.model.forward(data.x_train[rows], training=True), data.y_train[rows]
        )
        if not math.isfinite(value):
            self._failed, self._is_going = {"loss": f"{value:g}"}, False
            return
        self.model.backward(loss.backward(), input_gradient=False)
        self._norms = [
            (where.label, min(float(np.linalg.norm(where.layer.grads["weight"])), _LARGEST))
            for where in analysis.with_weights(self.model)
        ]
        self._method.clipping.shorten(self.model)
        self._method.optimizer.step(self.model)
        self._step += 1
        is_sum = self._config.training.loss_reduction == "sum"
        self._losses.append(value / len(rows) if is_sum else value)
        if self._step % self._every == 0 or self._step == 1:
            self._look()

    def _rows(self, epoch: int) -> np.ndarray:
        """The order of the training images in an epoch; unshuffled, all of a class in a row."""
        if not self._shuffles:
            return np.argsort(self.data.y_train, kind="stable")
        count = len(self.data.x_train)
        return generator(self.model.seed, "live", epoch).permutation(count)

    def _look(self) -> None:
        """Measure the network, and keep its weights."""
        x, y = self.data.x_test[:_TESTED], self.data.y_test[:_TESTED]
        guesses = self.model.predict(turned(self.model, x))
        self._accuracies.append((self._step, float(np.mean(guesses == y))))
        if len(self._moments) == _MOMENTS:
            del self._moments[1::2]
        self._moments.append((self._step, self.model.copy_arrays()))

    def _features(self, moment: int | None) -> np.ndarray:
        """Anew each time: now is another network after every step."""
        return self._before_the_last(self._images)
