"""Each picture shows the arrays that it was given; what is read off models is right."""

import ast

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import fastcnn
from fastcnn import Sequential, models, plots
from fastcnn.gallery import analysis
from fastcnn.layers import BatchNorm, Conv2D, Dense, Flatten, MaxPool2D, ReLU, Residual
from fastcnn.plots.confusion import confused_pairs, confusion_matrix
from fastcnn.plots.feature_maps import maps_of
from fastcnn.plots.style import mosaic
from tests.test_house import ROOT, statements

from .pictures import faults

RANDOM = np.random.default_rng(0)
NAMES = [f"class {k}" for k in range(4)]


def network() -> Sequential:
    block = Residual([Conv2D(4, 4, 3, padding=1), BatchNorm(4)], activation=ReLU())
    return Sequential(
        Conv2D(3, 4, 3), ReLU(), MaxPool2D(2), block, Flatten(), Dense(36, 4), input_shape=(3, 8, 8)
    )


# --- what is read off a model ---------------------------------------------------------------------


def test_places_go_into_blocks():
    model = network()
    assert [(place.label, place.path) for place in analysis.places(model)] == [
        ("Conv 1", "0"), ("ReLU 1", "1"), ("MaxPool 1", "2"), ("Residual 1", "3"),
        ("Conv 2", "3.main.0"), ("BatchNorm 1", "3.main.1"), ("ReLU 2", "3.activation"),
        ("Flatten 1", "4"), ("Dense 1", "5"),
    ]  # fmt: skip
    assert [place.path for place in analysis.with_weights(model, 4)] == ["0", "3.main.0"]
    assert [place.path for place in analysis.with_parameter(model, "gamma")] == ["3.main.1"]


def test_layer_outputs_end_in_the_logits_and_leave_no_trace():
    model = network()
    x = RANDOM.random((2, 3, 8, 8), np.float32)
    outputs = dict(analysis.layer_outputs(model, x))
    assert [place.label for place in outputs][-1] == "Dense 1"
    np.testing.assert_array_equal(list(outputs.values())[-1], model.forward(x))
    by_label = {place.label: y for place, y in outputs.items()}
    assert len(by_label) == 9
    np.testing.assert_array_equal(by_label["ReLU 1"], np.maximum(by_label["Conv 1"], 0))
    np.testing.assert_array_equal(by_label["Residual 1"], by_label["ReLU 2"])
    assert all("forward" not in vars(place.layer) for place in analysis.places(model))


def test_image_shape_is_known_behind_flatten_only():
    model = models.build("mnist-baseline")
    first, second = analysis.with_weights(model, 2)
    assert analysis.image_shape(model, first) == (16, 7, 7)
    assert analysis.image_shape(model, second) is None
    mlp = models.build("cifar-mlp", hidden=8)
    assert analysis.image_shape(mlp, analysis.with_weights(mlp)[0]) == (3, 32, 32)
    resnet = models.build("resnet20")
    assert analysis.image_shape(resnet, analysis.with_weights(resnet, 2)[0]) is None


def test_activation_variances_are_those_of_theory():
    """ReLU halves the mean square, which He's weights double and Xavier's keep."""
    layers = (Dense(500, 500), ReLU(), Dense(500, 500), ReLU(), Dense(500, 500))
    model = Sequential(*layers, seed=1)
    before = model.copy_arrays()
    x = RANDOM.standard_normal((100, 500)).astype(np.float32)
    for name, expected in (
        ("he", [2, 2, 2]),
        ("xavier", [1, 0.5, 0.25]),
        ("small", [0.05, 0.05 * 0.025, 0.05 * 0.025**2]),
    ):
        variances = analysis.activation_variances(model, x, name)
        assert list(variances) == ["Dense 1", "Dense 2", "Dense 3"]
        assert list(variances.values()) == pytest.approx(expected, rel=0.25)
        assert analysis.activation_variances(model, x, name) == variances
    for name, array in model.named_arrays():
        np.testing.assert_array_equal(array, before[name])
    with pytest.raises(ValueError, match="initialization 'hee'"):
        analysis.activation_variances(model, x, "hee")


def test_confusion_matrix_and_pairs():
    labels = np.array([0, 0, 0, 1, 2, 2, 2])
    predicted = np.array([0, 1, 1, 1, 0, 0, 1])
    matrix = confusion_matrix(labels, predicted, 3)
    assert matrix.tolist() == [[1, 2, 0], [0, 1, 0], [2, 1, 0]]
    assert confused_pairs(matrix, 2) == [(0, 1, 2), (2, 0, 2)]
    assert confused_pairs(np.eye(3, dtype=np.int64)) == []


def test_confusion_of_labels_is_that_of_their_matrix():
    labels, predicted = RANDOM.integers(0, 4, 50), RANDOM.integers(0, 4, 50)
    matrix = confusion_matrix(labels, predicted, 4)
    names = ["a", "b", "c", "d"]
    expected = plots.confusion(matrix, names, "title")
    for figure in (
        plots.confusion(labels, predicted, names, "title"),
        plots.confusion(list(labels), np.eye(4)[predicted], names, title="title"),
        plots.confusion(matrix, class_names=names, title="title"),
    ):
        drawn, wanted = (f.axes[0].images[0].get_array() for f in (figure, expected))
        np.testing.assert_array_equal(drawn, wanted)
        assert figure.get_suptitle() == "title"
        assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == names
    plain = plots.confusion(labels, predicted)
    assert [t.get_text() for t in plain.axes[0].get_xticklabels()] == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (([0, 1],), "needs labels y and what is predicted"),
        (([0, 1], [1]), r"labels of shape \(2,\) and predictions of shape \(1,\)"),
        (([], []), "needs one class for each image"),
        (([0, 1], [0.0, 1.0]), "predictions must be whole numbers, got float64"),
        ((["a"], ["b"]), "labels must be whole numbers, got <U1"),
        (([0, 1], [0, 2], ["a", "b"]), "classes must lie between 0 and 1"),
        (([0, -1], [0, 1]), "classes must lie between 0 and 1"),
        ((np.eye(3, dtype=int), ["a"]), "got 1 class_names for 3 classes"),
    ],
)
def test_confusion_refuses(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        plots.confusion(*arguments)


def test_feature_maps_of_a_model_are_those_of_its_layers():
    model = network()
    image = RANDOM.integers(0, 256, (3, 8, 8), np.uint8)
    outputs = analysis.layer_outputs(model, image[None])
    own = {str(place): y[0] for place, y in outputs if "." not in place.path and y.ndim == 4}
    maps, shown = maps_of(model, image)
    assert list(maps) == list(own)
    for name, array in own.items():
        np.testing.assert_array_equal(maps[name], array)
    np.testing.assert_array_equal(shown, image)
    figure = plots.feature_maps(model, image)
    assert [axes.get_title() for axes in figure.axes[1:4]] == [
        axes.get_title() for axes in plots.feature_maps(own, image).axes[1:4]
    ]
    assert faults(figure) == []


def test_feature_maps_take_an_image_as_predict_does():
    model = network()
    image = RANDOM.random((3, 8, 8), np.float32)
    shown = maps_of(model, image)[1]
    assert (shown.dtype, shown.shape, shown.min(), shown.max()) == (np.uint8, (3, 8, 8), 0, 255)
    np.testing.assert_array_equal(maps_of(model, image[None])[1], shown)
    last = Sequential(*model.layers, data_format="channels_last")
    np.testing.assert_array_equal(maps_of(last, image.transpose(1, 2, 0))[1], shown)
    with pytest.raises(ValueError, match="those of one image"):
        plots.feature_maps(model, np.zeros((2, 3, 8, 8), np.uint8))
    with pytest.raises(ValueError, match="at least one layer that gives images"):
        plots.feature_maps(Sequential(Flatten(), Dense(192, 2)), np.zeros((3, 8, 8), np.uint8))


def test_a_figure_shows_itself_in_a_notebook():
    figure = fastcnn.plots.confusion([0, 1], [0, 1])
    assert figure._repr_png_().startswith(b"\x89PNG")
    pytest.importorskip("IPython")
    from IPython.core.formatters import DisplayFormatter

    data, _ = DisplayFormatter().format(figure)
    assert "image/png" in data


def test_every_figure_is_one_that_shows_itself():
    files = [
        file for room in ("plots", "gallery") for file in (ROOT / "fastcnn" / room).glob("*.py")
    ]
    assert len(files) > 25
    for file in files:
        for node in statements(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "matplotlib.figure":
                pytest.fail(f"{file}:{node.lineno} takes matplotlib's own Figure")


# --- pictures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 8, 100, 300])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_tiles(count, channels):
    weight = RANDOM.standard_normal((count, channels, 3, 3))
    figure = plots.weight_tiles(weight, "a network with a long name: filters of the first layer")
    assert faults(figure) == []
    drawn = np.asarray(figure.axes[0].images[0].get_array())
    if channels == 3:
        expected = 0.5 + 0.5 * weight[0] / np.abs(weight[0]).max()
        np.testing.assert_allclose(drawn[:3, :3], expected.transpose(1, 2, 0))
    else:
        np.testing.assert_array_equal(drawn[:3, :3], weight[0, 0])
    assert ("the first 128 of 300" in figure.get_suptitle()) == (count == 300)


def test_mosaic_places_every_tile():
    tiles = RANDOM.random((5, 2, 3))
    image = mosaic(tiles, 2)
    assert image.shape == (3 * 3 - 1, 2 * 4 - 1)
    np.testing.assert_array_equal(image[6:8, :3], tiles[4])
    np.testing.assert_array_equal(image[3:5, 4:7], tiles[3])
    assert np.isnan(image[2]).all() and np.isnan(image[6:, 4:]).all()


def test_unit_images_are_columns_of_the_weights():
    """A unit's image times a picture is what the unit makes of it."""
    model = models.build("cifar-mlp", hidden=4)
    dense = model.layers[1]
    x = RANDOM.random((1, 3, 32, 32), np.float32)
    y = dense.forward(model.layers[0].forward(x))
    images = plots.unit_images(dense.params["weight"], (3, 32, 32))
    np.testing.assert_allclose((images * x).sum(axis=(1, 2, 3)), y[0], rtol=1e-3, atol=1e-4)


def test_bars_show_the_numbers():
    arrays = {"gamma": np.array([1.5, 0.5]), "beta": np.array([-1.0, 2.0])}
    figure = plots.parameter_bars(arrays, "title", baselines={"gamma": 1.0})
    for axes, (name, array) in zip(figure.axes, arrays.items(), strict=True):
        assert axes.get_title() == name
        tops = [bar.get_y() + bar.get_height() for bar in axes.patches]
        assert tops == list(array)
    assert [bar.get_y() for bar in figure.axes[0].patches] == [1.0, 1.0]
    wide = RANDOM.random(1024)
    stairs = plots.parameter_bars({"bias": wide}).axes[0].patches[0]
    np.testing.assert_array_equal(stairs.get_data().values, wide)


def test_heatmap_shows_the_weights():
    weight = RANDOM.standard_normal((20, 4))
    figure = plots.weight_heatmap(weight, "title", NAMES)
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), weight.T)
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == NAMES


def test_histograms_and_norms():
    weights = {"Conv 1": RANDOM.standard_normal((8, 3, 3, 3)), "Dense 1": np.ones((4, 2))}
    panels = plots.weight_histograms(weights).axes
    for axes, weight in zip(panels, weights.values(), strict=True):
        assert sum(bar.get_height() for bar in axes.patches) == weight.size
    many = plots.weight_histograms({"Dense 1": RANDOM.standard_normal((500, 500))}).axes[0]
    assert "12,000" in [tick.get_text() for tick in many.get_yticklabels()]
    norms = {
        name: np.linalg.norm(analysis.neurons(weight), axis=1) for name, weight in weights.items()
    }
    assert norms["Dense 1"].tolist() == [2, 2]
    for axes, values in zip(plots.neuron_norms(norms).axes, norms.values(), strict=True):
        np.testing.assert_array_equal(axes.patches[0].get_data().values, np.sort(values)[::-1])


def test_important_features_are_the_largest():
    weight = np.array([[0.1, -3.0], [2.0, 0.0], [-1.0, 1.0]])
    figure = plots.important_features(weight, NAMES[:2], most=2)
    for axes, features, values in zip(
        figure.axes, (["#1", "#2"], ["#0", "#2"]), ([2, -1], [-3, 1]), strict=True
    ):
        assert [tick.get_text() for tick in axes.get_xticklabels()] == features
        assert [bar.get_height() for bar in axes.patches] == values
    assert figure.axes[0].patches[0].get_hatch() is None  # for and against differ in grey
    assert figure.axes[0].patches[1].get_hatch()
    tiles = RANDOM.standard_normal((3, 1, 5, 5))
    shown = plots.important_features(weight, NAMES[:2], tiles, most=2).axes
    assert [axes.get_title() for axes in shown[:2]] == ["#1: +2.00", "#2: -1.00"]
    np.testing.assert_array_equal(shown[1].images[0].get_array(), tiles[2, 0])


def test_probabilities():
    image = RANDOM.integers(0, 256, (3, 8, 8), np.uint8)
    probabilities = np.array([0.1, 0.6, 0.2, 0.1])
    figure = plots.class_probabilities(image, probabilities, NAMES, label=2)
    bars = figure.axes[1].patches
    assert [bar.get_width() for bar in bars] == pytest.approx([10, 60, 20, 10])
    assert [bool(bar.get_hatch()) for bar in bars] == [False, False, True, False]
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), image.transpose(1, 2, 0))
    assert figure.axes[0].get_xlabel() == "true: class 2\npredicted: class 1"
    assert figure.axes[1].get_xlim() == (0, 100)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    left, low, right, high = map(int, bars[2].get_window_extent().padded(-2).extents)
    pixels = np.asarray(canvas.buffer_rgba())[::-1][low:high, left:right, :3]
    assert pixels.max(axis=2).min() < 100  # the hatching is black
    assert faults(plots.class_probabilities(image, np.eye(4)[0], NAMES)) == []


def test_variance_and_gradients_draw_every_layer():
    variances = {"he": {"Conv 1": 1.0, "Dense 1": 0.5}, "small": {"Conv 1": 1e-3, "Dense 1": 1e-6}}
    axes = plots.activation_variance(variances).axes[0]
    assert [list(line.get_ydata()) for line in axes.lines] == [[1, 0.5], [1e-3, 1e-6]]
    assert axes.get_yscale() == "log"
    norms = {f"Conv {i}": [0.5 / i, 0.1] for i in range(1, 4)}
    axes = plots.gradient_flow(norms, [1, 2]).axes[0]
    assert [list(line.get_ydata()) for line in axes.lines] == list(norms.values())
    many = {f"Conv {i}": [0.5 / i, 0.0] for i in range(1, 13)}
    axes, bar = plots.gradient_flow(many, [3, 4]).axes
    assert bar.get_ylabel().endswith("(white: none)")
    image = axes.images[0]
    np.testing.assert_array_equal(image.get_array()[:, 0], [0.5 / i for i in range(1, 13)])
    assert image.get_extent()[:2] == [2.5, 4.5]


def test_confusion_names_the_pairs():
    matrix = np.array([[50, 0, 0, 0], [7, 40, 0, 3], [0, 0, 50, 0], [0, 0, 9, 41]])
    figure = plots.confusion(matrix, NAMES, "title")
    left, right = figure.axes[:2]
    np.testing.assert_allclose(left.images[0].get_array(), 2.0 * matrix)
    pairs = [tick.get_text() for tick in right.get_yticklabels()]
    assert pairs == ["class 3 as class 2", "class 1 as class 0", "class 1 as class 3"]
    assert [bar.get_width() for bar in right.patches] == [9, 7, 3]
    assert "9 (18.0%)" in right.texts[0].get_text()
    assert faults(figure) == []
    assert faults(plots.confusion(np.eye(30, dtype=np.int64), [f"{k:05}" for k in range(30)])) == []


def test_misclassified_shows_the_most_certain_mistakes():
    images = RANDOM.integers(0, 256, (4, 1, 8, 8), np.uint8)
    labels = np.array([0, 1, 2, 3])
    rows = np.array([[0.6, 0.4, 0, 0], [0.5, 0.3, 0.2, 0], [0.1, 0.9, 0, 0], [0, 0, 0.1, 0.9]])
    figure = plots.misclassified(images, labels, rows, NAMES, "net")
    assert figure.get_suptitle() == "net: 2 of 4 images wrong"
    first, second = (axes.get_title() for axes in figure.axes[:2])
    assert first.startswith("true: class 2\npredicted: class 1") and "90.0% sure" in first
    assert second.startswith("true: class 1\npredicted: class 0")
    assert faults(figure) == []
    assert "1 of which" in plots.misclassified(images, labels, rows, NAMES, most=1).get_suptitle()
    none = plots.misclassified(images, rows.argmax(axis=1), rows, NAMES, "net")
    assert none.get_suptitle() == "net: 0 of 4 images wrong"


def test_schedules_hold_each_rate_for_an_epoch():
    figure = plots.schedule_curves({"step": [0.1, 0.1, 0.05], "cosine": [0.1, 0.07, 0.02]})
    step, cosine = figure.axes[0].lines
    assert list(step.get_xdata()) == [0, 1, 2, 3]
    assert list(step.get_ydata()) == [0.1, 0.1, 0.05, 0.05]
    assert step.get_linestyle() != cosine.get_linestyle()
    by_step = plots.schedule_curves({"warm-up": [0.1, 0.2, 0.3, 0.4]}, steps_per_epoch=2)
    assert list(by_step.axes[0].lines[0].get_xdata()) == [0, 0.5, 1, 1.5, 2]
    assert by_step.axes[0].lines[0].get_marker() == "" != step.get_marker()
    with pytest.raises(ValueError, match="at least one rate"):
        plots.schedule_curves({"none": []})


# --- the checker itself ---------------------------------------------------------------------------


def test_the_checker_finds_faults():
    figure = Figure(figsize=(4, 3))
    left, right = figure.subplots(1, 2)
    left.text(0.5, 0.5, "one", transform=left.transAxes)
    left.text(0.5, 0.52, "two", transform=left.transAxes)
    right.text(0.9, 0.2, "far too long for this", transform=right.transAxes)
    left.text(0.8, 0.9, "over the neighbour", transform=left.transAxes)
    found = faults(figure)
    assert "'one' overlaps 'two'" in found
    assert "'far too long for this' is cut off" in found
    assert "'over the neighbour' lies over another panel" in found
