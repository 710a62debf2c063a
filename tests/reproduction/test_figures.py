"""The report has every figure of the authors' documents, each in its table, in their order."""

from typing import Any

import numpy as np
import pytest

from fastcnn.commands.reproduce import TABLES
from fastcnn.reproduction import s3, twins
from fastcnn.reproduction.laboratory import FULL, Laboratory, Times
from fastcnn.reproduction.records import Record, Records
from fastcnn.reproduction.report import Report

# As the list of the documents' figures has them, row by row.
FIGURES = {
    "S1.1": "92.3 89.7 0.245 0.312 45 900 20 15 95.8 93.4 0.135 0.198 62 620 10 8",
    "S1.2": "89.7 0.312 91.2 0.276 92.5 0.241 93.1 0.215 93.3 0.205 93.4 0.198",
    "S1.3": "89.7 15 45 90.8 12 47 93.4 8 62",
    "S1.4": "96.5 90.2 6.3 95.2 91.8 3.4 94.8 92.3 2.5 95.8 93.4 2.4",
    "S1.5": "12 91.2 0.045 8 93.4 0.018",
    "S1.6": "92.8 680 93.1 650 93.4 620",
    "S1.7": "1000 62 2",
    "S1.8": "18 12 10",
    "S2.1": "2.2617 16.3 2.1494 24 2.1542 22.6 2.0632 33 72.89 145.78",
    "S2.2": "85",
    "S3.1": "69.43 69.43 69.43 69.43 72.84 3.41 16",
    "S3.2": (
        "68.54 70.48 32.96 70.02 69.59 30.47 69.18 70.58 55.34 65.69 62.04 45.78 70.25 65.09 "
        "67.54 69.43 52.92 68.56 60.53 52.41 69.30 53.23 10.51 59.93 51.56 23.24"
    ),
    "S3.3": "64.29 69.66 67.62 68.4",
    "S4.1": "95.58 95.83 96.15 96.93",
    "S4.2": "95.83 780 95.72 540 95.45 360 94.84 300",  # 13, 9, 6 and 5 minutes
    "S4.3": "95.72 98.17 96.15 98.13",
    "S5.1": "51.65 50.73 53.28 52.16 56.43 55.29 58.94 58.12 58.12 907",
}

# Words of each claim of each author; no other verdicts may stand in his tables.
CLAIMS = {
    "S1": (
        "36.5 %", "31 %", "47 %", "rises from epoch 12", "no overfitting",
        "+ Adam raises", "+ BatchNorm raises", "+ Dropout raises", "+ L2 raises", "+ schedule and",
        "Adam raises it most", "more than the sum",
        "Adam is more accurate than momentum", "momentum is more accurate than SGD",
        "Adam converges sooner than momentum", "momentum converges sooner than SGD",
        "L2 narrows", "Dropout narrows", "more than L2", "more than Dropout",
        "by a third", "steadier", "larger rates",
        "oscillates late", "than a constant rate", "than steps", "cosine is fastest",
        "50 to 100 times",
    ),
    "S2": ("85 % after 20 epochs", "5 to 8 points", "a rate of 0.1 oscillates"),
    "S3": (
        "validation loss is unsteady", "biases are near 0", "gammas are near 1",
        "He initialisation keeps", "rate 0.01 is best", "0.1 is markedly worse",
        "L2 0.005 is mostly best", "(32, 32) is generally better", "best of all",
        "dropout 0.3 is best", "dropout 0 is worst",
    ),
    "S4": (
        *3 * ("a larger rate converges faster",),
        *3 * ("makes the accuracy lower", "makes an epoch shorter"),
        "the gain per epoch shrinks", "would bring 99 %",
    ),
    "S5": (
        *3 * ("the last row is best",), "near a normal distribution", "edge and colour detectors",
        "hidden units of its own",
    ),
}  # fmt: skip


class Invented(Records):
    """Has a record of every run, with numbers of no meaning."""

    def __init__(self) -> None:
        pass

    def find(self, config: Any) -> Record:
        epochs = config.training.epochs
        rng = np.random.default_rng(config.training.seed)
        values = np.linspace(0.9, 0.95, epochs) + 0.001 * rng.random(epochs)
        columns = {
            f"{part}{name}": [float(v if name == "accuracy" else 1 - v) for v in values]
            for part in ("", "val_", "test_") for name in ("loss", "accuracy")
        }  # fmt: skip
        columns["lr"] = [0.1] * epochs
        result = {
            "epochs_run": epochs, "best_epoch": epochs, "stopped_because": "all epochs done",
            "test_loss": columns["test_loss"][-1], "test_accuracy": columns["test_accuracy"][-1],
        }  # fmt: skip
        arrays = {f"0.{name}": (0.01, 1.0, 0.1) for name in ("weight", "bias", "gamma")}
        settings = {
            "dataset": config.data.dataset, "epochs": epochs, "validation": 0.1,
            "seed": config.training.seed, "limit_test": config.data.limit_test or 10_000,
        }  # fmt: skip
        return Record("0", settings, "", result, columns, (0.1, 0.97), [(4, 9, 3)], arrays)


@pytest.fixture
def lab(tmp_path, monkeypatch) -> Laboratory:
    lab = Laboratory(tmp_path)
    lab.records = Invented()
    monkeypatch.setattr(lab, "epoch", lambda experiment: Times([1.0, 1.1, 1.2], [0.9, 1.0, 1.1]))
    monkeypatch.setattr(
        twins, "_run", lambda *_: {"epochs": [1.0], "kilobytes": 1e6, "accuracy": 0.9}
    )
    monkeypatch.setattr(s3, "_variance", lambda lab: s3.stated("He initialisation keeps", None, ""))
    return lab


def figures(cells: list[str]) -> list[str]:
    """The numbers in the column "theirs", as they are without zeros at the end."""
    words = [cell.removeprefix("about ").split()[0] for cell in cells if cell != "–"]
    return [f"{float(word):g}" for word in words]


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_stands_in_its_table(name: str, lab: Laboratory) -> None:
    section = TABLES[name].make(lab)
    theirs = figures([line.theirs for line in section.lines])
    wanted = [f"{float(word):g}" for word in FIGURES[name].split()]
    if name == "S1.7":  # without PyTorch, theirs for PyTorch stand nowhere
        assert set(wanted) <= set(theirs)
        assert twins.THEIRS["pytorch"] == ("150", 1.2, "500 MB")
    else:
        assert theirs == wanted
    text = Report("command", FULL, {TABLES[name]: section}).markdown()
    for line in section.lines:
        assert f"| {line.quantity} | {line.theirs} | {line.ours} |" in text


@pytest.mark.parametrize("system", CLAIMS)
def test_every_claim_has_its_verdict_and_no_other_has(system: str, lab: Laboratory) -> None:
    tables = [table for table in TABLES.values() if table.name.startswith(system)]
    claims = [verdict.claim for table in tables for verdict in table.make(lab).verdicts]
    assert len(claims) == len(CLAIMS[system])
    for words in CLAIMS[system]:
        found = [claim for claim in claims if words in claim]
        assert len(found) >= 1, words
    for claim in claims:
        assert any(words in claim for words in CLAIMS[system]), claim
