"""Pictures of a search: what is drawn, read back from the figures, and that nothing is cut off."""

import numpy as np
import pytest

from fastcnn import plots
from fastcnn.plots import search_bars, search_grid, search_history, search_parallel
from fastcnn.searching.plan import make
from fastcnn.searching.results import Trial, draw, table
from fastcnn.searching.space import from_text

RATES, PENALTIES, FILTERS = (0.01, 0.05, 0.1), (0.001, 0.005, 0.01), ((16, 32), (32, 32), (32, 64))
GRID = [
    ({"lr": lr, "weight_decay": decay, "filters": filters}, 0.5 + lr + 10 * decay - 0.001 * first)
    for lr in RATES
    for decay in PENALTIES
    for first, filters in enumerate(FILTERS)
]
SPREAD = [
    ({"lr": 10 ** (-4 + 0.2 * k), "dropout": (k * 7 % 20) / 20}, 2.0 - 0.05 * k) for k in range(20)
]


def border(figure):
    """The outermost pixels of a figure, where anything that is cut off leaves ink."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[:, :, :3]
    sides = pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:]
    return np.concatenate([side.reshape(-1, 3) for side in sides])


def in_panel(axes, name):
    return [line for line in axes.lines if line.get_marker() == name]


@pytest.mark.parametrize(
    "figure",
    [
        search_bars(GRID, title="a title"),
        search_bars(SPREAD, "val_loss", scales={"lr": "log"}, title="a title"),
        search_history(GRID, title="a title"),
        search_parallel(GRID, title="a title"),
        search_parallel(SPREAD, "val_loss", scales={"lr": "log"}, title="a title"),
        search_grid(GRID, title="a title"),
        search_grid([(s, v) for s, v in GRID if s["filters"] == (16, 32)], title="a title"),
    ],
)
def test_nothing_is_cut_off(figure):
    assert (border(figure) == 255).all()


def test_grid_has_a_panel_per_third_value_and_a_point_per_cell():
    figure = search_grid(GRID)
    assert [axes.get_title() for axes in figure.axes] == [
        "filters 16, 32", "filters 32, 32", "filters 32, 64",
    ]  # fmt: skip
    for axes, filters in zip(figure.axes, FILTERS, strict=True):
        points = in_panel(axes, "o")
        drawn = {tuple(float(data[0]) for data in point.get_data_3d()) for point in points}
        assert drawn == {
            (RATES.index(s["lr"]), PENALTIES.index(s["weight_decay"]), 100 * value)
            for s, value in GRID
            if s["filters"] == filters
        }
        assert axes.get_xlabel() == "learning rate" and axes.get_ylabel() == "L2 penalty"
        assert [label.get_text() for label in axes.get_xticklabels()] == ["0.01", "0.05", "0.1"]
        assert axes.get_zlabel() == "validation accuracy (%)"
        assert axes.get_zlim() == figure.axes[0].get_zlim()
    large = [point for axes in figure.axes for point in in_panel(axes, "o")
             if point.get_markersize() > 6]  # fmt: skip
    assert [float(point.get_data_3d()[2][0]) for point in large] == [pytest.approx(70.0)]


def test_grid_marks_what_has_no_result_and_takes_the_best_over_further_settings():
    trials = [({**settings, "flip": flip}, value - 0.1 * flip) for settings, value in GRID
              for flip in (True, False)]  # fmt: skip
    trials[0] = trials[0][0], None
    trials[1] = trials[1][0], None
    figure = search_grid(trials, title="a title")
    crosses = [cross for axes in figure.axes for cross in in_panel(axes, "x")]
    assert [tuple(map(float, map(min, cross.get_data_3d())))[:2] for cross in crosses] == [(0, 0)]
    assert sum(len(in_panel(axes, "o")) for axes in figure.axes) == 26
    assert "best over flip" in figure.get_suptitle()
    assert max(float(p.get_data_3d()[2][0]) for axes in figure.axes
               for p in in_panel(axes, "o")) == pytest.approx(70.0)  # fmt: skip


def test_a_grid_needs_two_settings():
    with pytest.raises(ValueError, match="needs two settings that differ, got lr"):
        search_grid([({"lr": lr, "hidden": 8}, 0.5) for lr in RATES])


def test_bars_reach_to_the_best_and_dots_show_all():
    figure = search_bars(GRID)
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "learning rate", "L2 penalty", "filters",
    ]  # fmt: skip
    first = figure.axes[0]
    tops = [bar.get_height() for bar in first.patches]
    assert tops == pytest.approx([61.0, 65.0, 70.0])
    assert len(in_panel(first, "o")[0].get_xdata()) == 27
    dark = [bar.get_facecolor() == first.patches[2].get_facecolor() for bar in first.patches]
    assert dark == [False, False, True]
    assert first.get_ylabel() == "validation accuracy (%)"


def test_bars_over_numbers_are_to_scale():
    figure = search_bars(SPREAD, "val_loss", scales={"lr": "log"})
    rate, dropout = figure.axes
    assert (rate.get_xscale(), dropout.get_xscale()) == ("log", "linear")
    assert len(rate.patches) == len(dropout.patches) == 10
    assert min(bar.get_height() for bar in rate.patches) == pytest.approx(1.05)
    assert "nats" in rate.get_ylabel() and "log scale" in rate.get_xlabel()


def test_one_setting_with_few_values_has_a_bar_each():
    figure = search_bars([({"dropout": rate}, 0.5 - rate / 9) for rate in (0.7, 0.123456, 0.4)])
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.123", "0.4", "0.7"]


FEW = [
    ({"lr": lr, "dropout": dropout, "optimizer": kind}, value)
    for lr, dropout, kind, value in (
        (0.001, 0.1, "sgd", 0.5), (0.01, 0.2, "adam", 0.7), (1.0, 0.9, "sgd", 0.3),
    )
]  # fmt: skip
RANGES = {"lr": "log", "dropout": "linear"}


def test_ranges_are_to_scale_with_few_trials_too():
    figure = search_bars(FEW, scales=RANGES)
    rate, dropout, kind = figure.axes
    assert (rate.get_xscale(), dropout.get_xscale()) == ("log", "linear")
    assert list(in_panel(rate, "o")[0].get_xdata()) == [0.001, 0.01, 1.0]
    assert list(in_panel(dropout, "o")[0].get_xdata()) == [0.1, 0.2, 0.9]
    assert [label.get_text() for label in kind.get_xticklabels()] == ["sgd", "adam"]
    (axes,) = search_parallel(FEW, scales=RANGES).axes
    best = next(line for line in axes.lines if line.get_linewidth() > 2)
    assert list(best.get_ydata()) == pytest.approx([1 / 3, 1 / 8, 1.0, 1.0])


def test_a_search_has_its_ranges_drawn_to_scale(tmp_path, monkeypatch):
    figures = {}
    monkeypatch.setattr(plots, "save", lambda figure, path: figures.update({path.name: figure}))
    texts = "lr=0.001..1:log", "dropout=0..0.9", "optimizer=sgd,adam"
    plan = make({"model": "cifar-cnn"}, list(map(from_text, texts)), trials=3)
    trials = [Trial(slot, settings, "done", value) for slot, (settings, value) in enumerate(FEW)]
    draw(tmp_path, trials, plan)
    by_label = {axes.get_xlabel(): axes for axes in figures["bars.png"].axes}
    assert by_label["learning rate (log scale)"].get_xscale() == "log"
    assert list(in_panel(by_label["dropout"], "o")[0].get_xdata()) == [0.1, 0.2, 0.9]
    assert "learning rate\n(log scale)" in [
        label.get_text() for label in figures["parallel.png"].axes[0].get_xticklabels()
    ]


def test_a_range_with_one_trial_can_be_drawn():
    for picture in (search_bars, search_parallel):
        assert (border(picture(FEW[:1], scales=RANGES)) == 255).all()


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["optimizer"], "best trial with this value (the"),
        (["lr"], "best trial in this tenth of the range (the"),
        (["lr", "optimizer"], "best trial with this value or in this tenth of the range (the"),
    ],
)
def test_bars_say_what_they_stand_for(names, sentence):
    trials = [({name: settings[name] for name in names}, value) for settings, value in FEW]
    assert sentence in search_bars(trials, scales=RANGES).get_supxlabel()


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([8, 11, 55], ["10", "20", "50"]),
        ([8, 11, 48], ["10", "20", "30", "40"]),
        ([0.0005, 0.02, 0.7], ["0.001", "0.01", "0.1"]),
        ([64, 500, 4096], ["100", "200", "500", "1000", "2000"]),
        ([1, 2], ["1", "2"]),
    ],
)
def test_a_logarithmic_axis_has_plain_numbers(values, ticks):
    trials = [({"batch_size": value}, 0.5) for value in values]
    (axes,) = search_bars(trials, scales={"batch_size": "log"}).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ticks
    assert not any(label.get_text() for label in axes.get_xticklabels(minor=True))


@pytest.mark.parametrize(
    ("objective", "values", "best"),
    [
        ("val_accuracy", [0.5, None, 0.4, 0.7], [50, 50, 70, 70]),
        ("val_loss", [0.5, None, 0.4, 0.7], [0.5, 0.4, 0.4, 0.4]),
    ],
)
def test_history_shows_the_best_so_far(objective, values, best):
    figure = search_history([({"lr": 0.1}, value) for value in values], objective)
    line, dots, without = figure.axes[0].lines
    assert list(line.get_ydata()) == pytest.approx(best)
    assert list(dots.get_xdata()) == [0, 2, 3]
    assert list(without.get_xdata()) == [1]


def test_parallel_lines_go_through_the_settings():
    figure = search_parallel(SPREAD, "val_loss", scales={"lr": "log"})
    (axes,) = figure.axes
    lines = [line for line in axes.lines if len(line.get_xdata()) == 3]
    assert len(lines) == 20
    best = next(line for line in lines if line.get_linewidth() > 2)
    # The last trial is the best: largest rate, dropout 13 / 20 of 0 to 19 / 20, smallest loss.
    assert list(best.get_ydata()) == pytest.approx([1.0, 13 / 19, 0.0])
    middle = next(line for line in lines if line.get_ydata()[2] == pytest.approx(9 / 19))
    assert middle.get_ydata()[0] == pytest.approx(10 / 19)  # even in the logarithm


def test_parallel_labels_the_best_and_the_worst_value_and_lines_do_not_shine_through():
    (axes,) = search_parallel(FEW, scales=RANGES).axes
    values = [text for text in axes.texts if text.xy[0] == 3]
    assert [text.get_text() for text in values] == ["30.0", "40.0", "50.0", "60.0", "70.0"]
    assert [values[0].xy[1], values[-1].xy[1]] == [0.0, 1.0]
    assert {text.get_bbox_patch().get_alpha() for text in axes.texts} == {None}


def test_what_is_measured_must_be_known():
    with pytest.raises(ValueError, match="quantity must be one of val_accuracy"):
        search_bars(GRID, "speed")


@pytest.mark.parametrize("axes", [1, 3, 5])
def test_the_table_fits_into_a_terminal(axes):
    texts = ["label_smoothing=0.1,0.2", "weight_decay=0.0001,0.001", "batch_size=16,32",
             "stop_gain_epochs=2,3", "lr=0.00123,0.01"][:axes]  # fmt: skip
    plan = make({"model": "cifar-cnn", "validation": 0.1}, [from_text(text) for text in texts])
    found = {
        "val_accuracy": 0.5, "val_loss": 1.25, "test_accuracy": 0.5, "best_epoch": 10,
        "epochs_run": 20, "seconds": 1234.5,
    }  # fmt: skip
    trials = [Trial(k, plan.settings(k), "done", 0.5, found) for k in range(2)]
    trials.append(Trial(2, {}, "diverged"))
    lines = table(trials, plan).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("50.00%" in line for line in lines) == 2
    assert lines[-1].startswith("trials.csv has ") == (axes > 1)
