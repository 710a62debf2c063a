"""Every kind of picture by name, drawn from saved models and runs: `python -m fastcnn.plot`.

Examples
--------
>>> from fastcnn.runs.saved import Saved
>>> figure = draw("filters", [Saved("run")], Options(layer=2))  # doctest: +SKIP
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .. import plots
from ..checks import unknown
from ..config import recipe
from ..losses import CLASSIFICATION
from ..network.intake import turned
from ..plots.confusion import confusion_matrix
from ..plots.curves import NATS
from ..random import generator
from ..runs.results import sheet
from ..runs.saved import Saved
from . import analysis
from .views import Options, View

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BATCH = 256  # images that activation variances are measured on
_STEPS = 20  # of an epoch, that are enough to draw its learning rates
_PICTURED = 10  # images of `predictions`


# --- of a model's parameters ----------------------------------------------------------------------


def _filters(view: View) -> "Figure":
    place = view.first(analysis.with_weights(view.model, 4), "convolutions")
    weight = place.layer.params["weight"]
    height, width = weight.shape[2:]
    title = f"{view.name}: {len(weight)} filters of {height} x {width}, {place}"
    return plots.weight_tiles(weight, title, view.options.channel, "filter", view.most(128))


def _hidden(view: View) -> "Figure":
    dense = analysis.with_weights(view.model, 2)
    if dense and view.model.input_shape is None:
        raise ValueError(
            f"{view.name} does not say which images it takes, so nobody knows what {dense[0]} "
            f"sees: set model.input_shape, such as (1, 28, 28), and save it again"
        )
    seen = [place for place in dense if analysis.image_shape(view.model, place)]
    place = view.first(seen, "dense layers that see an image or feature maps")
    shape = analysis.image_shape(view.model, place)
    assert shape is not None
    tiles = plots.unit_images(place.layer.params["weight"], shape)
    title = (
        f"{view.name}: weights of {len(tiles):,} units over {' x '.join(map(str, shape))}, {place}"
    )
    return plots.weight_tiles(tiles, title, view.options.channel, "unit", view.most(128))


def _heatmap(view: View) -> "Figure":
    place = view.some(analysis.with_weights(view.model, 2), "dense layers")[-1]
    weight = place.layer.params["weight"]
    names = view.model.class_names
    title = f"{view.name}: weights of {place}, {weight.shape[0]:,} inputs"
    return plots.weight_heatmap(
        weight, title, names if names and len(names) == weight.shape[1] else None
    )


def _biases(view: View) -> "Figure":
    places = view.some(analysis.with_parameter(view.model, "bias"), "biases")
    arrays = {str(place): place.layer.params["bias"] for place in places}
    return plots.parameter_bars(arrays, f"{view.name}: biases", "bias")


def _gamma_beta(view: View) -> "Figure":
    places = view.some(analysis.with_parameter(view.model, "gamma"), "normalisation layers")
    arrays = {
        f"{name} of {place}": place.layer.params[name]
        for place in places
        for name in ("gamma", "beta")
    }
    title = f"{view.name}: scale gamma (bars from 1) and shift beta (from 0) of the normalisation"
    ones = {name: 1.0 for name in arrays if name.startswith("gamma")}
    across = 2 if len(arrays) <= 8 else 6
    return plots.parameter_bars(arrays, title, "value", across, ones)


def _histograms(view: View) -> "Figure":
    places = view.some(analysis.with_weights(view.model), "layers with weights")
    weights = {place.label: place.layer.params["weight"] for place in places}
    return plots.weight_histograms(weights, f"{view.name}: weights of each layer")


def _norms(view: View) -> "Figure":
    places = view.some(analysis.with_weights(view.model), "layers with weights")
    norms = {
        place.label: np.linalg.norm(analysis.neurons(place.layer.params["weight"]), axis=1)
        for place in places
    }
    title = f"{view.name}: Euclidean norm of the weights of each filter or unit"
    return plots.neuron_norms(norms, title)


def _important(view: View) -> "Figure":
    *before, last = view.weighted
    weight = last.layer.params["weight"]
    if weight.ndim != 2:
        raise ValueError(f"{view.name} does not end in a dense layer, but in {last}")
    tiles = names = None
    hidden = before[-1] if before else None
    shape = analysis.image_shape(view.model, hidden) if hidden else None
    if hidden and shape and shape[0] in (1, 3):
        tiles = plots.unit_images(hidden.layer.params["weight"], shape)
        what = f"units of {hidden.label}, as the weights that they look at the image with"
    elif shape := analysis.image_shape(view.model, last):
        names = [f"map {c}\n({y}, {x})" for c, y, x in np.ndindex(shape)]
        what = "places of the last feature maps (row, column)"
    else:
        what = f"inputs of {last.label}"
    title = f"{view.name}: the features that weigh most for each class; {what}"
    classes = view.model.class_names or [str(k) for k in range(weight.shape[1])]
    return plots.important_features(weight, classes, tiles, title, view.most(8), names)


# --- of images ------------------------------------------------------------------------------------


def _feature_maps(view: View) -> "Figure":
    outputs = [
        (place, y[0])
        for place, y in analysis.layer_outputs(view.model, turned(view.model, view.image[None]))
        if y.ndim == 4 and not place.layer.passes_through
    ]
    # Layers inside blocks are many: without a choice, the model's own layers are shown.
    own = [(place, maps) for place, maps in outputs if "." not in place.path]
    chosen = view.options.layer
    shown = outputs if chosen is not None else own
    wanted = view.some([place for place, _ in shown], "layers that give feature maps")
    maps = {str(place): maps for place, maps in shown if place in wanted}
    title = f"{view.name}: what the layers make of {view.image_name}"
    return plots.feature_maps(maps, view.image, title, view.most(32))


def _probabilities(view: View) -> "Figure":
    data, image, number = view.data, view.image, view.options.image
    probabilities = view.model.predict_proba(turned(view.model, image[None]))[0]
    return plots.class_probabilities(
        image, probabilities, data.class_names, int(data.y_test[number]),
        f"{view.name}: predicted probabilities for test image {number}",
    )  # fmt: skip


def _variance(view: View) -> "Figure":
    data = view.any_data
    x = turned(view.model, data.x_test[:_BATCH])
    variances = {
        name: analysis.activation_variances(view.model, x, name)
        for name in analysis.INITIALIZATIONS
    }
    title = (
        f"{view.name}: variance of the outputs of each layer before training, by initialisation "
        f"(small: normal, deviation 0.01)\n{len(x)} images of {data.name}"
    )
    return plots.activation_variance(variances, title)


def _confusion(view: View) -> "Figure":
    names = view.data.class_names
    matrix = confusion_matrix(view.data.y_test, view.probabilities, len(names))
    right = np.trace(matrix) / matrix.sum()
    title = f"{view.name}: {matrix.sum():,} test images, {right:.2%} right"
    return plots.confusion(matrix, class_names=names, title=title)


def _misclassified(view: View) -> "Figure":
    data = view.data
    return plots.misclassified(
        data.x_test, data.y_test, view.probabilities, data.class_names, view.name, view.most(20)
    )


def _predictions(view: View) -> "Figure":
    data = view.any_data
    rows = generator(view.model.seed, "pictures").permutation(len(data.x_test))
    rows = rows[: view.most(_PICTURED)]
    if data.task != CLASSIFICATION:
        return sheet(view.model, data, rows, view.name)
    predicted = view.probabilities[rows].argmax(axis=1)
    right = int((predicted == data.y_test[rows]).sum())
    title = f"{view.name}: {right} of {len(rows)} random test images right"
    return plots.predictions(
        data.x_test[rows], data.y_test[rows], predicted, data.class_names, title
    )


# --- of runs --------------------------------------------------------------------------------------


def _gradients(view: View) -> "Figure":
    table = view.saved.gradients
    places = [p for p in analysis.with_weights(view.model) if f"{p.path}.weight" in table]
    norms = {place.label: table[f"{place.path}.weight"] for place in places}
    title = f"{view.name}: gradient of each layer's weights, mean per epoch before clipping"
    return plots.gradient_flow(norms, table["epoch"], title)


def _named(views: Sequence[View]) -> dict[str, View]:
    """The runs by what the legend calls them."""
    names = views[0].options.names
    if names and len(names) != len(views):
        raise ValueError(f"names must be as many as runs, got {len(names)} for {len(views)}")
    plain = names or [view.name for view in views]
    if len(set(plain)) < len(plain):
        plain = [str(view.saved.path) for view in views]
    return dict(zip(plain, views, strict=True))


def _curves(views: Sequence[View]) -> "Figure":
    if len(views) == 1:
        saved, history = views[0].saved, views[0].saved.history
        best = history.best_epoch if saved.config.data.validation else None
        return plots.curves(history, views[0].name, best, _loss(views))
    runs = {name: view.saved.history for name, view in _named(views).items()}
    return plots.side_by_side(runs, loss=_loss(views))


def _loss(views: Sequence[View]) -> str:
    """What the runs' loss is; empty if they have several."""
    losses = {view.saved.config.training.loss for view in views}
    name = losses.pop() if len(losses) == 1 else ""
    return NATS if name == "cross-entropy" else name


def _overlay(views: Sequence[View]) -> "Figure":
    options = views[0].options
    runs = {name: view.saved.history for name, view in _named(views).items()}
    return plots.overlay(runs, options.quantity, options.part, loss=_loss(views))


def _schedule(views: Sequence[View]) -> "Figure":
    rates = {name: _rates(view.saved) for name, view in _named(views).items()}
    return plots.schedule_curves(rates, "learning rate of each step", _STEPS)


def _rates(saved: Saved) -> list[float]:
    """The learning rates of a run's epochs, as finely as a picture can show."""
    schedule, options = recipe.make_schedule(saved.config), saved.config.optimizer
    assert options.lr is not None  # a run writes the one that it took
    epochs = saved.config.training.epochs
    rates = []
    for epoch in range(saved.history.epochs):
        then = schedule.after({name: column[:epoch] for name, column in saved.history.items()})
        rates += [then.step_rate(options.lr, epoch, epochs, step, _STEPS) for step in range(_STEPS)]
    return rates


# --- the register ---------------------------------------------------------------------------------


class Kind(NamedTuple):
    """A kind of picture.

    Attributes
    ----------
    about : str
        What it shows, in a line.
    needs : str
        What it is drawn from: "run" (a run's folder), "runs" (one or several), "model" (a run or a
        model's file), "images" (the same, and a dataset).
    draw : function
        Makes the figure of one view; of all views for "runs".
    """

    about: str
    needs: str
    draw: Callable[..., "Figure"]


KINDS: dict[str, Kind] = {
    "curves": Kind("loss and accuracy over the epochs; several runs side by side", "runs", _curves),
    "overlay": Kind("one --quantity of one --part, a line per run", "runs", _overlay),
    "schedule": Kind("learning rate over the epochs, a line per run", "runs", _schedule),
    "gradients": Kind("size of each layer's gradient over the epochs", "run", _gradients),
    "filters": Kind("filters of a convolution as tiles (--layer, --channel)", "model", _filters),
    "hidden": Kind("weights of a dense layer's units as tiles", "model", _hidden),
    "heatmap": Kind("weights of a dense layer, the last or --layer", "model", _heatmap),
    "biases": Kind("biases of all layers, or of --layer, as bars", "model", _biases),
    "gamma-beta": Kind("scale and shift of normalisation layers as bars", "model", _gamma_beta),
    "histograms": Kind("how each layer's weights are distributed", "model", _histograms),
    "norms": Kind("norms of each layer's filters and units", "model", _norms),
    "important": Kind("the features that weigh most for each class", "model", _important),
    "feature-maps": Kind("what the layers make of one --image", "images", _feature_maps),
    "probabilities": Kind("predicted probabilities of one --image", "images", _probabilities),
    "variance": Kind("variance of activations by initialisation", "images", _variance),
    "confusion": Kind("confusion matrix, and the most confused pairs", "images", _confusion),
    "misclassified": Kind("the mistakes it was most certain of", "images", _misclassified),
    "predictions": Kind("random test images with their predictions", "images", _predictions),
}  # fmt: skip


def draw(kind: str, sources: Sequence[Saved], options: Options | None = None) -> "Figure":
    """A picture of one saved model or run; of several runs for the kinds that compare.

    Raises
    ------
    ValueError
        If there is no such kind, or it cannot be drawn from these sources; says why.
    """
    if kind not in KINDS:
        raise ValueError(unknown("kind of picture", kind, tuple(KINDS)))
    options = options or Options()
    if options.most is not None and options.most < 1:
        raise ValueError(f"most must be at least 1, got {options.most}")
    views = [View(saved, options) for saved in sources]
    if KINDS[kind].needs == "runs":
        return KINDS[kind].draw(views)
    if len(views) != 1:
        raise ValueError(f"{kind} is drawn from one run or model, got {len(views)}")
    return KINDS[kind].draw(views[0])
