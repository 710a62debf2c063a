"""What is recorded of a run, and what is shown of it."""

import pytest

from fastcnn.training.history import Best, History, Pace
from fastcnn.training.progress import ConsoleProgress
from fastcnn.training.table import columns_of


def test_best():
    best = Best("val_loss", min_gain=0.1)
    assert best.update(1, {"val_loss": 1.0})
    assert not best.update(2, {"val_loss": 0.95})
    assert best.update(3, {"val_loss": 0.8})
    assert (best.epoch, best.value) == (3, 0.8)
    rising = Best("val_accuracy")
    assert rising.update(1, {"val_accuracy": 0.5})
    assert not rising.update(2, {"val_accuracy": 0.5})
    assert rising.update(3, {"val_accuracy": 0.6})


def test_pace():
    # Gains of 0.25, 0.125 and 0.0625 an epoch; exact in binary.
    history = History({"accuracy": [0.25, 0.5, 0.625, 0.6875]})
    assert not Pace("accuracy", 0.0625, 1).is_slow(history)
    assert Pace("accuracy", 0.07, 1).is_slow(history)
    assert not Pace("accuracy", 0.09, 2).is_slow(history)  # the mean is 0.09375
    assert Pace("accuracy", 0.1, 2).is_slow(history)
    assert not Pace("accuracy", 0.14, 3).is_slow(history)
    assert not Pace("accuracy", 9.0, 4).is_slow(history)  # four gains need five epochs
    history["val_loss"] = [1.0, 0.5, 0.25, 0.5]
    assert Pace("val_loss", 0.0, 1).is_slow(history)
    assert not Pace("val_loss", 0.0, 2).is_slow(history)
    assert not Pace("val_loss", 0.0, 1).is_slow(History())


def test_table(capsys):
    progress = ConsoleProgress()
    progress.on_epoch_start(1, 2, 10)
    progress.on_step(0.5)
    progress.on_epoch_end({"epoch": 1, "lr": 0.01, "loss": 0.5, "accuracy": 0.75, "seconds": 2.0})
    progress.on_epoch_end({"epoch": 2, "lr": 1, "loss": 6e25, "accuracy": 0, "seconds": 123456.0})
    progress.on_note("it is slow")
    progress.close()
    captured = capsys.readouterr()
    parts, head, row, long, note = captured.out.splitlines()
    assert parts.strip() == "---- train -----"
    assert parts.index("-") == head.index("   loss") and len(parts) == head.index("acc") + 3
    assert head.split() == ["epoch", "lr", "loss", "acc", "seconds"]
    assert row.split() == ["1", "0.01", "0.5000", "75.00%", "2.00"]
    assert long.split() == ["2", "1", "6.0e+25", "0.00%", "1.2e+05"]
    assert len(head) == len(row) == len(long)
    assert note == "note: it is slow"
    assert captured.err == ""


def test_a_number_that_is_too_long_has_fewer_digits():
    for name in ("loss", "r2"):
        (column,) = columns_of({name})
        cells = [column.cell(value) for value in (-13.8421, 12345.678, -8.7581, 123456.7, 1e9)]
        assert cells == ["-13.842", "12345.7", "-8.7581", "1.2e+05", "1.0e+09"]
    (column,) = columns_of({"accuracy"})
    assert column.cell(1.0) == "100.00%"


def test_table_of_everything_fits_into_a_terminal(capsys):
    progress = ConsoleProgress()
    names = [f"{part}{name}" for part in ("", "val_", "test_") for name in ("loss", "accuracy")]
    for value in (1.0, 1e-30, 123456789.0):
        progress.on_epoch_end({"epoch": 10_000, "lr": value / 3, "seconds": value}
                              | dict.fromkeys(names, value))  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and {len(line) for line in lines[1:]} == {78}


def test_csv():
    history = History()
    history.add({"loss": 0.1, "epoch": 1})
    history.add({"loss": 1 / 3, "epoch": 2})
    assert history.to_csv() == f"epoch,loss\n1,0.1\n2,{1 / 3!r}\n"
    assert History(dict(history)).row(1) == {"epoch": 2, "loss": 1 / 3}


def test_csv_round_trip_is_exact() -> None:
    history = History()
    history.add({"epoch": 1, "loss": 0.1 + 0.2, "accuracy": 1 / 3, "seconds": 1e-9})
    history.add({"epoch": 2, "loss": 5e-324, "accuracy": 1.0, "seconds": 7.25})
    assert History.from_csv(history.to_csv()) == history
    assert History.from_csv(History().to_csv()).epochs == 0


@pytest.mark.parametrize("text", ["", "loss\n1\n", "epoch,loss\n1\n", "epoch,loss\n1,red\n"])
def test_csv_of_something_else(text: str) -> None:
    with pytest.raises(ValueError):
        History.from_csv(text)
