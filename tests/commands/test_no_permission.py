"""Where nothing may be written: every command says so in a sentence, and what was there stays."""

import importlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastcnn import (
    compare,
    convert,
    datasets,
    evaluate,
    explain,
    load_model,
    plot,
    predict,
    report,
    reproduce,
    search,
    train,
)

# What commands import late that user may not be allowed to read.
pytest.importorskip("optuna")
for late in ("sqlite3", "sqlalchemy.dialects.sqlite", "matplotlib.backends.backend_agg",
             "fastcnn.gallery.page", "fastcnn.searching.search", "fastcnn.plots"):  # fmt: skip
    importlib.import_module(late)

SMALL = ["--dataset", "digits", "--limit-train", "64", "--limit-test", "20", "--epochs", "1"]
NOBODY = 65534


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder with a run in it, `run`, and a picture; nobody may write there or below."""
    place = Path(tempfile.mkdtemp())
    try:
        assert train.main([*SMALL, "--quiet", "--out", str(place / "run")]) == 0
        (place / "a.toml").write_text('dataset = "digits"\nlimit_train = 64\nlimit_test = 20\n')
        shutil.copy(place / "run" / "predictions.png", place / "picture.png")
        for folder in (place, place / "run"):
            for file in folder.iterdir():
                file.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
        (place / "run").chmod(0o555)
        place.chmod(0o555)
        yield place
    finally:
        (place / "run").chmod(0o755)
        place.chmod(0o755)
        shutil.rmtree(place)


@pytest.fixture(autouse=True)
def somebody() -> Iterator[None]:
    """A user for whom permissions hold, and the folder to come back to."""
    here, is_root = Path.cwd(), not os.geteuid()
    try:
        if is_root:
            os.seteuid(NOBODY)
            (Path(datasets.__file__).parent / "digits.npz").open("rb").close()
        yield
    except PermissionError:
        pytest.skip("there is no other user to become, or none who may read this checkout")
    finally:
        if is_root:
            os.seteuid(0)
        os.chdir(here)


def contents(place: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in place.rglob("*") if file.is_file()}


COMMANDS: dict[str, tuple[Callable[..., int], list[str]]] = {
    "train": (train.main, [*SMALL, "--out", "@/new"]),
    "train without a folder": (train.main, SMALL),
    "train --resume": (train.main, ["--resume", "--epochs", "2", "--out", "@/run"]),
    "train --replace": (train.main, [*SMALL, "--replace", "--out", "@/run"]),
    "plot": (plot.main, ["curves", "@/run"]),
    "plot --out": (plot.main, ["curves", "@/run", "--out", "@/new/a.png"]),
    "plot all": (plot.main, ["all", "@/run"]),
    "report": (report.main, ["@/run"]),
    "evaluate": (evaluate.main, ["@/run", "--out", "@/new.txt"]),
    "explain": (explain.main, ["@/run", "--out", "@/new.txt"]),
    "convert": (convert.main, ["@/run", "@/new.npz"]),
    "predict": (predict.main, ["@/run", "@/picture.png", "--show", "@/new.png"]),
    "search": (
        search.main,
        [*SMALL, "--validation", "0.2", "--search", "lr=0.1,0.2", "--out", "@/new"],
    ),
    "compare": (compare.main, ["@/a.toml", "@/a.toml", "--out", "@/new"]),
    "reproduce": (reproduce.main, ["S2", "--quick", "--offline", "--out", "@/new"]),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_where(name, place, capfd):
    main, words = COMMANDS[name]
    os.chdir(place)
    before = contents(place)
    code = main([word.replace("@", str(place)) for word in words])
    told = capfd.readouterr()
    assert code in (1, 2), told
    assert told.err.count("\n") == 1 and told.err.startswith("error: "), told.err
    assert told.err.endswith(": Permission denied\n"), told.err
    inside = str(place) if any("@" in word for word in words) else "runs"
    assert inside in told.err.partition(" cannot be ")[0]
    assert contents(place) == before


def test_a_model_says_which_file(place):
    model = load_model(place / "run" / "best.npz")
    for path in (place / "run" / "best.npz", place / "new.npz"):
        with pytest.raises(OSError, match=f"{path} cannot be written: Permission denied"):
            model.save(path)
    digits = datasets.load("digits")
    with pytest.raises(OSError, match=r"last\.npz cannot be written: Permission denied; no epoch"):
        model.train(digits.x_train[:32], digits.y_train[:32], checkpoint_path=place / "last.npz")
