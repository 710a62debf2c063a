"""How soon an accuracy is reached: both sides' runs are read, and train by the same recipe."""

import sys
import types

import numpy as np
import pytest

from bench import record
from fastcnn import datasets, models
from fastcnn.schedules import CosineAnnealing, OneCycle
from fastcnn.train import main

FEW = ("--dataset", "digits", "--limit-train", "300", "--limit-test", "50")


def a_second_each(text):
    """Lines as if each had come a second after the one before."""
    return ((float(index), line) for index, line in enumerate(text.splitlines(True), 1))


def in_order(run):
    """Whether a run's epochs can be those of two epochs that one process trained."""
    one, two = run
    assert 0 <= one.accuracy <= 1 and 0 <= two.accuracy <= 1
    assert 0 < one.training < two.training and one.passed < two.passed
    return True


def test_what_fastcnn_prints_and_writes_is_read(monkeypatch, capsys):
    def lines(command):
        assert command[1:3] == ["-m", "fastcnn.train"]
        assert main(command[3:]) in (0, None)
        return a_second_each(capsys.readouterr().out)

    monkeypatch.setattr(record, "lines", lines)
    assert in_order(record.fastcnn_run("mnist-fast", 2, 1, 7, *FEW))


def test_what_pytorch_prints_is_read(monkeypatch, capsys):
    pytest.importorskip("torch")
    from bench import torch_training

    data = datasets.load("digits")
    few = types.SimpleNamespace(
        x_train=data.x_train[:300], y_train=data.y_train[:300], x_test=data.x_test[:50],
        y_test=data.y_test[:50],
    )  # fmt: skip
    monkeypatch.setattr(torch_training.datasets, "load", lambda name: few)

    def lines(command):
        assert command[-1] == "contiguous_format"
        torch_training.train("mnist-fast", 2, 7, command[-1])
        return a_second_each(capsys.readouterr().out)

    monkeypatch.setattr(record, "lines", lines)
    assert in_order(record.torch_run("mnist-fast", 2, 1, 7, "contiguous_format"))


@pytest.mark.parametrize("name", ["resnet20", "mnist-fast", "cifar-fast"])
def test_pytorch_has_the_rates_of_the_recipe(name):
    torch = pytest.importorskip("torch")
    from bench.torch_training import scheduled

    recipe, epochs, steps = models.preset(name), 3, 7
    ours = {
        "cosine": CosineAnnealing(),
        "onecycle": OneCycle(recipe.get("lr_rise", 0.3), recipe.get("lr_div", 25.0)),
    }[recipe["schedule"]]
    optimizer = torch.optim.SGD([torch.zeros(1)], recipe["lr"], 0.9)
    schedule = scheduled(optimizer, recipe, epochs, steps)
    for epoch, step in np.ndindex(epochs, steps):
        rate = ours.step_rate(recipe["lr"], epoch, epochs, step, steps)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(rate, rel=1e-6)
        optimizer.step()
        schedule.step()


def test_images_are_mirrored_only_where_the_recipe_says_so():
    torch = pytest.importorskip("torch")
    from bench.torch_training import changed

    images = torch.arange(50 * 3 * 5 * 7).reshape(50, 3, 5, 7)
    assert torch.equal(changed(images, 0, flip=False), images)
    assert not torch.equal(changed(images, 0), images)


def test_the_run_that_is_there_first_counts(capsys):
    short = record.run_of([0.97, 0.991], [2.0, 3.0], [1.0, 0.5])
    long = record.run_of([0.96, 0.98, 0.995], [2.0, 2.9, 4.0], [1.0, 0.9, 0.8])
    assert [epoch.training for epoch in short] == [1.0, 1.5]
    assert record.first([short, long], 0.98) == (long[1], "2 of 3")
    assert record.first([short, long], 0.99) == (short[1], "2 of 2")
    assert record.first([short, long], 0.996) is None
    slow = record.run_of([0.97, 0.985, 0.9912], [4.0, 8.0, 12.0], [3.0, 3.0, 3.0])
    record.tell("mnist-fast", {"fastcnn": [short, long], "torch": [slow]})
    assert capsys.readouterr().out.splitlines() == [
        "| mnist-fast | 98.0% | 2.9 (1.9) | 2 of 3 | 8.0 (6.0) | 2 of 3 | 2.76 (3.16) |",
        "| mnist-fast | 99.0% | 3.0 (1.5) | 2 of 2 | 12.0 (9.0) | 3 of 3 | 4.00 (6.00) |",
        "| mnist-fast | 99.4% | 4.0 (2.7) | 3 of 3 | not reached (99.12%) |  |  |",
    ]
    record.tell("mnist-fast", {"fastcnn": [short]})
    assert capsys.readouterr().out.splitlines()[1] == "| mnist-fast | 99.0% | 3.0 (1.5) | 2 of 2 |"


def test_a_command_that_fails_ends_the_measurement(capfd):
    with pytest.raises(SystemExit, match="-m no_such_module failed; see above"):
        list(record.lines([sys.executable, "-m", "no_such_module"]))
    assert "No module named" in capfd.readouterr().err
