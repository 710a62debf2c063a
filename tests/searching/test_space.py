"""What a search tries: reading it, refusing it, drawing from it, the plan in TOML."""

import itertools
import math
import tomllib

import numpy as np
import pytest

from fastcnn.config import ConfigError
from fastcnn.searching import plan as plans
from fastcnn.searching.space import Choice, Range, from_text, from_toml, grid, show

CLASSES = tuple("0123456789")


def plan(*texts, fixed=None, **options):
    return plans.make(fixed or {}, [from_text(text) for text in texts], **options)


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("lr=0.01,0.1", Choice("lr", (0.01, 0.1))),
        ("lr=1,none", Choice("lr", (1.0, None))),
        ("batch-size=16, 32", Choice("batch_size", (16, 32))),
        ("filters=16+32,8", Choice("filters", ((16, 32), (8,)))),
        ("flip=true,false", Choice("flip", (True, False))),
        ("norm=batch,none", Choice("norm", ("batch", "none"))),
        ("optimizer=sgd,adam", Choice("optimizer", ("sgd", "adam"))),
        ("momentum=0..0.5", Range("momentum", 0.0, 0.5)),
        ("weight_decay=1e-4..1e-2:log", Range("weight_decay", 1e-4, 1e-2, log=True)),
        ("hidden=64..512:log", Range("hidden", 64, 512, log=True)),
        ("dropout=0..1", Range("dropout", 0.0, math.nextafter(1, 0))),
    ],
)
def test_axis_from_text_and_back_from_toml(text, axis):
    assert from_text(text) == axis
    assert from_toml(axis.name, axis.to_toml()) == axis


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("lr", "names no values: give values"),
        ("lr=", "names no values"),
        ("learning=0.1", "there is no setting 'learning'"),
        ("lr=fast,slow", "lr must be a number"),
        ("batch_size=1.5,2", "batch_size must be a whole number, got '1.5'"),
        ("optimizer=sgd,lion", "optimizer must be one of sgd, adam"),
        ("filters=8..16", "filters has no range"),
        ("flip=false..true", "flip has no range"),
        ("lr=0.1..0.01", "the range of lr must rise, got 0.1 to 0.01"),
        ("lr=0..0.1:log", "logarithmic and must begin above 0"),
        ("lr=0.1..inf", "finite ends"),
        ("lr=0.1..1:exp", "only 'log' is known"),
        ("lr=0.1,0.10", "the value 0.1 of lr is given twice"),
    ],
)
def test_refused_axes(text, sentence):
    with pytest.raises(ConfigError, match=sentence):
        from_text(text)


def test_grid_has_every_combination_once():
    cells = grid([Choice("lr", (0.1, 0.2)), Choice("filters", ((8, 8), (8, 16), (16, 16)))])
    assert [tuple(cell.values()) for cell in cells] == list(
        itertools.product((0.1, 0.2), ((8, 8), (8, 16), (16, 16)))
    )


@pytest.mark.parametrize(
    ("axis", "middle"),
    [
        (Range("lr", 1e-4, 1.0, log=True), 1e-2),
        (Range("momentum", 0.0, 0.8), 0.4),
        (Range("hidden", 1, 100, log=True), 10),
        (Range("hidden", 1, 3), 2),
        (Choice("hidden", (1, 2, 3)), 2),
    ],
)
def test_draws_fill_the_range_evenly(axis, middle):
    random = np.random.default_rng(0)
    drawn = [axis.draw(random) for _ in range(4000)]
    low, high = axis.probes()[0], axis.probes()[-1]
    assert all(low <= value <= high for value in drawn)
    below = sum(value < middle for value in drawn) + sum(value == middle for value in drawn) / 2
    assert below / 4000 == pytest.approx(0.5, abs=0.05)
    if isinstance(low, int):
        assert set(drawn) >= {low, low + 1, high} and all(isinstance(v, int) for v in drawn)


def test_random_settings_depend_on_seed_and_number_alone():
    first = plan("lr=0.001..0.1:log", "hidden=32,64", method="random")
    longer = plan("lr=0.001..0.1:log", "hidden=32,64", method="random", trials=99)
    other = plan("lr=0.001..0.1:log", "hidden=32,64", method="random", fixed={"seed": 1})
    drawn = [first.settings(number) for number in range(20)]
    assert drawn == [longer.settings(number) for number in range(20)]
    assert len({settings["lr"] for settings in drawn}) == 20
    assert all(other.settings(number) not in drawn for number in range(20))


def test_what_is_not_said():
    assert (plan("lr=0.1,0.2").method, plan("lr=0.1,0.2").trials) == ("grid", 2)
    assert plan("lr=0.1,0.2").prune == "none"
    ranged = plan("lr=0.1..0.2")
    assert (ranged.method, ranged.trials, ranged.prune) == ("tpe", 20, "median")


@pytest.mark.parametrize(
    ("texts", "options", "sentence"),
    [
        ([], {}, "there is nothing to search"),
        (["lr=0.1,1", "lr=2,3"], {}, "lr is searched twice"),
        (["lr=0.1,1"], {"fixed": {"lr": 0.1}}, "lr is both given and searched"),
        (["threads=1,2"], {}, "threads does not change what a trial finds"),
        (["lr=0.1..1"], {"method": "grid"}, "a grid needs values, and lr has a range"),
        (["lr=0.1,1"], {"trials": 3}, "this grid has 2 trials: leave --trials 3 out"),
        (["lr=0.1..1"], {"trials": 0}, "trials must be a whole number of at least 1, got 0"),
        (["lr=0.1,1"], {"method": "bayes"}, "there is no method 'bayes'"),
        (
            ["lr=0.1,1"],
            {"objective": "test_accuracy"},
            "there is no objective 'test_acc",
        ),
        (
            ["lr=0.1,1"],
            {"prune": "all"},
            "there is no way to prune 'all'; known are none",
        ),
        (["lr=0.1,1"], {"fixed": {"monitor": "val_loss"}}, "takes each trial's best epoch by"),
    ],
)
def test_refused_plans(texts, options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        plan(*texts, **options)


@pytest.mark.parametrize(
    ("texts", "fixed", "sentence"),
    [
        (["lr=0.1,-1"], {}, "lr must be above 0 and finite, got -1"),
        (["dropout=0..2"], {}, "dropout must be at least 0 and below 1, got 2.0"),
        (["batch_size=0..8"], {}, "batch_size must be at least 1, got 0"),
        (["filters=16+32,8+0"], {}, "filters must be numbers of at least 1"),
        (["hidden=8,16"], {}, "cifar-cnn has no choice of 'hidden'"),
        (["momentum=0,0.9"], {"optimizer": "adam"}, "momentum is an option of sgd"),
        (["optimizer=sgd,adam", "momentum=0,0.9"], {}, "momentum is an option of sgd"),
        (["lr=0.1,0.2"], {"validation": 0.0, "patience": None}, "validates on no images"),
        (["lr=0.1,0.2"], {"init_from": "no/such.npz"}, "no/such.npz"),
        (["lr=0.1,0.2"], {"freeze": 99}, "the model has 11 layers, 99 cannot be frozen"),
        (["freeze=0,99"], {}, "99 cannot be frozen"),
    ],
)
def test_settings_are_tried_before_the_search(texts, fixed, sentence):
    with pytest.raises(ValueError, match=sentence):
        plan(*texts, fixed={"model": "cifar-cnn", **fixed}).check((3, 32, 32), CLASSES)


def test_a_file_to_begin_from_is_the_same_from_any_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    fixed = {"model": "cifar-cnn", "init_from": "begin.npz"}
    search = plan("lr=0.1,0.2", fixed=fixed)
    assert search.fixed["init_from"] == str(tmp_path / "begin.npz")
    searched = plan("init_from=a.npz,b.npz", fixed={"model": "cifar-cnn"})
    config = searched.config({"init_from": "a.npz"})
    assert config.transfer.init_from == str(tmp_path / "a.npz")


def test_settings_are_shown_as_the_command_line_takes_them():
    assert show(None) == "none" and show((16, 32)) == "16+32"


def test_settings_that_fit_pass():
    fixed = {"model": "cifar-cnn"}
    plan("dropout=0..1", "filters=16+32,32+64", "lr=none,0.1", fixed=fixed).check(
        (3, 32, 32), CLASSES
    )


def test_an_optimizer_that_is_searched_brings_its_own_rate():
    search = plan("optimizer=sgd,adam", fixed={"model": "mnist-baseline"})
    sgd, adam = (search.config(search.settings(number)).optimizer for number in range(2))
    assert (sgd.lr, adam.lr) == (0.01, None)
    kept = plan("optimizer=sgd,adam", fixed={"model": "mnist-baseline", "lr": 0.01})
    assert kept.config(kept.settings(1)).optimizer.lr == 0.01


def test_best_epochs_are_chosen_by_the_objective():
    for objective in ("val_accuracy", "val_loss"):
        search = plan("lr=0.1,1", objective=objective)
        assert search.config({}).training.monitor == objective


@pytest.mark.parametrize(
    "search",
    [
        plan("lr=0.1,1", "filters=16+32,8+8", "norm=none,batch", fixed={"model": "cifar-cnn"}),
        plan("lr=0.1..1:log", "patience=none,5", objective="val_loss", trials=7, prune="halving"),
        plan("dropout=0..1", "flip=true,false", method="random", fixed={"epochs": 3, "seed": 5}),
    ],
)
def test_toml_round_trip(search, tmp_path):
    path = tmp_path / "search.toml"
    path.write_text(search.to_toml())
    assert plans.make(**plans.read(path)) == search


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("search = 3", "search must be a table"),
        ("[search]\nspace = 3", "space must be a table"),
        (
            "[search]\nmetod = 'grid'",
            "there is no setting in .search.: 'metod'",
        ),
        ("[search.space]\nlr = 0.1", "the values of lr must be a list or a table"),
        ("[search.space]\nlr = []", "lr has no values"),
        ("[search.space]\nlr = {low = 0.1}", "the values of lr must be a list or a table"),
        ("[search.space]\nlr = ['fast']", "lr must be a number"),
        ("[search.space]\nlr = {low = 1, high = 2, log = 1}", "must be a list or a table"),
        ("[optimiser]\nlr = 0.1", "did you mean 'optimizer'"),
        ("[serach]\nmethod = 'grid'", "no table 'serach'; did you mean 'search'"),
        ("[xyz]\nlr = 1", "known are data, .*, search"),
        ("[search", "is not valid TOML"),
    ],
)
def test_refused_files(text, sentence, tmp_path):
    path = tmp_path / "search.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=sentence) as refused:
        plans.read(path)
    assert str(path) in str(refused.value)


def test_machine_settings_do_not_make_another_search():
    one = plan("lr=0.1,1", fixed={"threads": 1, "data_dir": "here"})
    assert one.identity() == plan("lr=0.1,1").identity()
    assert one.identity() != plan("lr=0.1,2").identity()
    assert "threads" in tomllib.loads(one.to_toml())["machine"]
