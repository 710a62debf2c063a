"""Settings in and out of TOML, and the sentences that refuse wrong ones."""

import pytest

from fastcnn.config import Config, ConfigError, check, names, read_toml, replace, to_dict, to_toml


def test_names_are_unique_and_complete():
    assert len(names()) == len(set(names()))
    assert set(to_dict(Config())) == set(names())


def test_replace():
    config = replace(Config(), {"lr": 1, "filters": [8, 16], "patience": None, "flip": True})
    assert config.optimizer.lr == 1.0
    assert isinstance(config.optimizer.lr, float)
    assert config.model.filters == (8, 16)
    assert config.augment.flip
    assert Config().optimizer.lr is None


def test_round_trip(tmp_path):
    config = replace(
        Config(),
        {"lr": 0.1, "filters": (3, 4), "patience": 2, "validation": 0.1, "flip": True, "seed": 7},
    )
    path = tmp_path / "config.toml"
    path.write_text(to_toml(config))
    assert set(read_toml(path)) == set(names())
    assert replace(Config(), read_toml(path)) == config


def test_settings_without_table(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('epochs = 3\n[optimizer]\nlr = 1\n[data]\ndata_dir = "none"\n')
    assert read_toml(path) == {"epochs": 3, "lr": 1.0, "data_dir": None}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("epoch = 3", "no setting 'epoch'; did you mean 'epochs'"),
        ("batch-size = 3", "did you mean 'batch_size'"),
        ("lrate = 0.1", "did you mean 'lr'"),
        ("normalize = 1", "did you mean 'normalization'"),
        ("smoothing = 0.1", "did you mean 'label_smoothing'"),
        ("[optimiser]\nlr = 1", "no table 'optimiser'; did you mean 'optimizer'"),
        ("[setting]\nlr = 1", "no table 'setting'"),
        ("[data]\nlr = 1", r"lr belongs into the table \[optimizer\], not \[data\]"),
        ("lr = 1\n[optimizer]\nlr = 2", "lr is given twice"),
        ('epochs = "ten"', "epochs must be a whole number, got 'ten'"),
        ("epochs = true", "epochs must be a whole number, got True"),
        ("epochs = 1.5", "epochs must be a whole number"),
        ("flip = 1", "flip must be true or false"),
        ("filters = [1.5]", "filters must be a list of whole numbers"),
        ('optimizer = "adamm"', "optimizer must be one of sgd, adam"),
        ("shift = -1", "shift must be"),
        ("epochs =", "not valid TOML"),
        ("seed = " + "9" * 30, "seed"),
    ],
)
def test_refused_files(tmp_path, text, sentence):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        check(replace(Config(), read_toml(path)))


def test_missing_file(tmp_path):
    with pytest.raises(ConfigError, match="there is no configuration file"):
        read_toml(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_toml(tmp_path)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"lr": 0.0}, "lr must be above 0"),
        ({"lr": float("nan")}, "lr must be above 0"),
        ({"lr": float("inf")}, "lr must be above 0 and finite, got inf"),
        ({"min_gain": float("inf")}, "min_gain must be at least 0 and finite, got inf"),
        ({"momentum": 1.0}, "momentum must be at least 0 and below 1"),
        ({"validation": 1.0}, "validation must be at least 0 and below 1"),
        ({"filters": ()}, "filters must be numbers of at least 1"),
        ({"filters": (8, 0)}, "filters must be numbers of at least 1"),
        ({"label_smoothing": 1.0}, "label_smoothing must be at least 0 and below 1, got 1.0"),
        ({"stop_gain": -0.1}, "stop_gain must be at least 0"),
        ({"stop_gain_epochs": 0}, "stop_gain_epochs must be at least 1"),
        ({"lookahead": 0}, "lookahead must be at least 1"),
        ({"lookahead_alpha": 1.1}, "lookahead_alpha must be between 0 and 1"),
        ({"warmup": -1.0}, "warmup must be at least 0"),
        ({"warmup_start": 2.0}, "warmup_start must be between 0 and 1"),
        ({"lr_rise": 1.0}, "lr_rise must be between 0 and 1"),
        ({"lr_div": 0.0}, "lr_div must be above 0"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0"),
        ({"freeze": -1}, "freeze must be at least 0, got -1"),
        ({"fresh_head": True}, "fresh_head needs a model to begin with: give init_from"),
        ({"depth": 0}, "depth must be at least 1"),
        ({"patience": 3}, "patience needs images to validate on"),
    ],
)
def test_refused_values(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        check(replace(Config(), settings))


def test_defaults_pass():
    check(Config())
    check(replace(Config(), {"patience": 3, "validation": 0.1}))


@pytest.mark.parametrize("norm", ["default", "none", "batch"])
def test_no_normalisation_and_the_networks_own_are_told_apart(norm, tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(to_toml(replace(Config(), {"norm": norm})))
    assert read_toml(path)["norm"] == norm


@pytest.mark.parametrize("text", ["[" * 9000, "x = " + "[" * 9000, "lr = " + "9" * 5000])
def test_a_file_that_nests_or_counts_too_far(tmp_path, text):
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"a\.toml"):
        read_toml(tmp_path / "a.toml")
