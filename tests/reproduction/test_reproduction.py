"""`python -m fastcnn.reproduce`: runs that are kept and continued, the report, refusals.

Experiments here are of the built-in digits, so that no other data is needed.
"""

import contextlib
import dataclasses
import html.parser
import json
import math
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fastcnn.commands.reproduce import TABLES, chosen
from fastcnn.comparing.children import Children, RunError
from fastcnn.config import Config, ConfigError, replace
from fastcnn.datasets import Dataset
from fastcnn.plots import curves
from fastcnn.reproduce import main
from fastcnn.reproduction import s2, s4, twins
from fastcnn.reproduction.laboratory import (
    FULL,
    QUICK,
    Experiment,
    Laboratory,
)
from fastcnn.reproduction.report import Report, save_pictures
from fastcnn.reproduction.sections import (
    Line,
    Picture,
    Section,
    Table,
    accuracy,
    best_validation,
    convergence_epoch,
    counted,
    duration,
    histories,
    instability,
    length,
    of_result,
    pictures,
    reached,
    seconds,
)
from fastcnn.reproduction.verdicts import HOLDS, OPEN, Sample, exceeds, stated
from fastcnn.runs.saved import Saved

SMALL = Experiment(
    "mnist-baseline",
    {"dataset": "digits", "limit_train": 200, "limit_test": 100, "epochs": 2},
    seeds=(1, 2),
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(Laboratory, the runs of SMALL, what was said)."""
    said = []
    lab = Laboratory(tmp_path_factory.mktemp("lab"), workers=2, say=said.append)
    return lab, lab.train([SMALL])[0], said


# --- experiments and the laboratory ---------------------------------------------------------------


def test_every_experiment_has_settings_that_exist() -> None:
    experiments = {e.name: e for table in TABLES.values() for e in table.experiments}
    assert len(experiments) > 50
    for experiment in experiments.values():
        replace(Config(), experiment.settings())


def test_names_tell_experiments_apart() -> None:
    wide = SMALL.but(filters=(32, 64))
    assert wide.name.endswith("filters=32-64,limit_test=100,limit_train=200")
    assert len({SMALL.name, wide.name, SMALL.but(lr=0.5).name}) == 3


def test_each_seed_is_a_run_of_its_own(finished) -> None:
    _, runs, said = finished
    assert [run.config.training.seed for run in runs] == [1, 2]
    assert [run.result["epochs_run"] for run in runs] == [2, 2]
    assert runs[0].history["loss"] != runs[1].history["loss"]
    assert sorted(line.split(":")[0] for line in said) == ["  run 1 of 2", "  run 2 of 2"]


def test_finished_runs_are_kept(finished) -> None:
    lab, runs, said = finished
    before = len(said)
    assert lab.kept([SMALL, SMALL.once(), SMALL.but(lr=0.5)]) == (2, 4)
    again = lab.train([SMALL, SMALL.once()])
    assert [run.history for run in again[0]] == [run.history for run in runs]
    assert [run.history for run in again[1]] == [runs[0].history]
    assert len(said) == before


def test_another_setting_under_the_same_name_is_run_anew(finished, tmp_path) -> None:
    """As after an update that changes a preset."""
    lab, _, _ = finished
    folder = lab.folder / SMALL.name / "seed-1"
    config = (folder / "config.toml").read_text()
    try:
        (folder / "config.toml").write_text(config.replace("epochs = 2", "epochs = 3"))
        assert lab.train([SMALL.once()])[0][0].config.training.epochs == 2
    finally:
        assert (folder / "config.toml").read_text() == config


def test_train_accuracy_is_that_of_the_finished_network(finished) -> None:
    lab, runs, _ = finished
    data = runs[0].dataset()
    loss, share = runs[0].model.evaluate(data.x_train, data.y_train)
    assert lab.train_accuracy(runs[0]) == share
    assert lab.train_loss(runs[0]) == loss
    assert (runs[0].path / "train_evaluation.json").is_file()


def test_timing_runs_alone_on_all_cores(finished) -> None:
    lab, _, said = finished
    before = len(said)
    assert 0 < lab.seconds_per_epoch(SMALL) < 60
    assert lab.seconds_per_epoch(SMALL) == lab.seconds_per_epoch(SMALL)
    (result,) = (lab.folder / "timing").glob("*/result.json")
    assert json.loads(result.read_text())["threads"] == lab.cores
    assert len(said) == before


def test_quick_scale_has_fewer_epochs_images_and_seeds(tmp_path) -> None:
    lab = Laboratory(tmp_path, QUICK, say=lambda line: None)
    run = lab.train([Experiment("mnist-baseline", {"dataset": "digits", "epochs": 10})])[0]
    assert len(run) == 1
    config = run[0].config
    assert (config.training.epochs, config.data.limit_train) == (2, 2000)


def test_offline_reaches_the_runs(tmp_path) -> None:
    lab = Laboratory(tmp_path, data_dir=str(tmp_path / "empty"), offline=True)
    with pytest.raises(RunError, match="offline"):
        lab.train([Experiment("mnist-baseline", {"epochs": 1})])


def test_experiment_that_cannot_run_is_named(tmp_path) -> None:
    lab = Laboratory(tmp_path, say=lambda line: None)
    with pytest.raises(RunError, match=r"^mnist-baseline,.*growth=5.*: .*no choice of"):
        lab.train([SMALL.but(growth=5)])


def test_diverged_run_counts_as_guessing(tmp_path) -> None:
    lab = Laboratory(tmp_path, say=lambda line: None)
    wild = lab.train([SMALL.but(lr=1e6).once()])[0]
    assert wild[0].result["epochs_run"] == 0
    section = Section()
    reached(section, "wild", wild, 5.0)
    assert section.lines[0].ours == "10.00 %"
    assert best_validation(wild).values == [0.1]
    assert math.isnan(convergence_epoch(wild).mean) and math.isnan(instability(wild).mean)
    assert math.isnan(of_result(wild, "test_loss").mean)
    assert pictures("wild", wild[0], {"curves": ""}) == [] and histories({"wild": wild}) == {}
    assert exceeds("", of_result(wild, "test_loss"), of_result(wild, "test_loss")).word == OPEN
    assert lab.train([SMALL.but(lr=1e6).once()])[0][0].result == wild[0].result


LONG = """
import sys
from pathlib import Path
from fastcnn.reproduction.laboratory import Experiment, Laboratory
settings = {"dataset": "digits", "limit_train": 1000, "limit_test": 100, "epochs": 60}
lab = Laboratory(Path(sys.argv[1]), workers=1)
print(lab.train([Experiment("mnist-baseline", settings, seeds=(1,))])[0][0].history["loss"])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_interrupted_run_goes_on_to_the_same_bits(tmp_path, number) -> None:
    """Ended in the middle; then the same again, which must not start over."""
    straight = subprocess.run(
        [sys.executable, "-c", LONG, str(tmp_path / "straight")], capture_output=True, text=True
    )
    assert straight.returncode == 0, straight.stderr
    code = "import signal\nsignal.signal(signal.SIGTERM, lambda *_: exit(1))\n" + LONG
    broken = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "broken")], stdout=subprocess.DEVNULL
    )
    folder = wait_for(lambda: list((tmp_path / "broken").glob("*/seed-1/last.npz")))[0].parent
    time.sleep(0.3)
    broken.send_signal(number)
    broken.wait(60)
    wait_for(lambda: (folder / "result.json").is_file())  # the run itself ends after its batch
    stopped = Saved(folder)
    assert stopped.result["stopped_because"] == "interrupted"
    assert 0 < stopped.history.epochs < 60
    again = subprocess.run(
        [sys.executable, "-c", LONG, str(tmp_path / "broken")], capture_output=True, text=True
    )
    assert again.stdout.splitlines()[-1] == straight.stdout.splitlines()[-1]
    whole = Saved(folder).history
    assert whole["seconds"][: stopped.history.epochs] == stopped.history["seconds"]


def wait_for(condition):
    """What the condition gives once it gives anything true."""
    deadline = time.monotonic() + 120
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def test_train_accuracy_is_never_that_of_an_earlier_run(tmp_path) -> None:
    """As after an update that changes a preset: the same folder, other settings."""
    lab = Laboratory(tmp_path, say=lambda line: None)
    run = lab.train([SMALL.once()])[0][0]
    lab.train_accuracy(run)
    config = run.path / "config.toml"
    config.write_text(config.read_text().replace("lr = 0.01", "lr = 0.02"))
    run = lab.train([SMALL.once()])[0][0]
    data = run.dataset()
    assert lab.train_accuracy(run) == run.model.evaluate(data.x_train, data.y_train)[1]


def test_scripts_of_both_scales_are_kept_apart(tmp_path, monkeypatch) -> None:
    asked = []

    class Process(contextlib.AbstractContextManager):
        returncode = 0

        def __init__(self, _lab, command, **_options):
            asked.append(len(np.load(command[2])["x_train"]))

        def communicate(self):
            return json.dumps({"seconds": [9.0, 1.0, 1.0], "accuracy": 0.5, "kilobytes": 1}), ""

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(Children, "process", lambda _, command, **__: Process(_, command))
    monkeypatch.setattr(twins.datasets, "load", lambda *_: mnist_of_noise())
    script = Path(twins.__file__).with_name("scripts") / "mnist_fastcnn.py"
    for scale, seconds_per_epoch in ((QUICK, 30.0), (FULL, 1.0), (QUICK, 30.0)):
        lab = Laboratory(tmp_path, scale)
        assert twins._run(lab, script)["epoch"] == pytest.approx(seconds_per_epoch)
    assert asked == [2000, 60_000]


def mnist_of_noise() -> Dataset:
    x, y = np.zeros((60_000, 1, 2, 2), np.uint8), np.zeros(60_000, int)
    return Dataset("mnist", x, y, x[:10], y[:10], tuple("0123456789"), "noise")


# --- numbers of runs ------------------------------------------------------------------------------


class FakeRun:
    """A run of which only the history counts."""

    def __init__(self, **history: list[float]) -> None:
        self.history = history
        self.result = {"epochs_run": 2}


def test_convergence_epoch() -> None:
    runs = [FakeRun(test_accuracy=[0.90, 0.96, 0.9551, 0.9599]), FakeRun(test_accuracy=[0.9, 0.8])]
    assert convergence_epoch(runs).values == [2, 1]  # type: ignore[arg-type]


def test_instability() -> None:
    # Changes -1, -1, -1 and -1, 1: deviations 0 and sqrt(2).
    runs = [FakeRun(loss=[4.0, 3.0, 2.0, 1.0]), FakeRun(loss=[2.0, 1.0, 2.0])]
    assert instability(runs).values == pytest.approx([0, 2**0.5])  # type: ignore[arg-type]


def test_what_is_told_comes_from_the_settings(finished, monkeypatch) -> None:
    """Not from the author's, which a quick run changes."""
    lab, runs, _ = finished
    assert length(runs) == "2 epochs" and counted(1, "table") == "1 table"
    monkeypatch.setattr(s2, "LAB", SMALL)
    section = s2._table(lab)
    assert section.lines[0].quantity == "lab-cnn, 200 images, 2 epochs: test accuracy"
    monkeypatch.setattr(lab, "scale", dataclasses.replace(QUICK, epochs=0.5))
    section = s2._table(lab)
    assert section.lines[0].quantity == "lab-cnn, 200 images, 1 epoch: test accuracy"
    assert "after 1 epoch " in section.verdicts[0].evidence
    monkeypatch.setattr(s4, "EPOCHS", {2: 50.0, 4: 50.0})
    monkeypatch.setattr(s4, "_epochs", lambda count: SMALL.but(epochs=count))
    section = s4._lengths(lab)
    assert [line.quantity.split(":")[0] for line in section.lines] == [
        "1 epoch, batch 64", "2 epochs, batch 64",
    ]  # fmt: skip


def test_damaged_file_of_a_run_is_named(tmp_path) -> None:
    lab = Laboratory(tmp_path, say=lambda line: None)
    run = lab.train([SMALL.once()])[0][0]
    (run.path / "train_evaluation.json").write_text("{")
    with pytest.raises(ValueError, match=r"train_evaluation\.json is damaged: .*remove it"):
        lab.train_loss(run)


def test_lines() -> None:
    line = accuracy("test accuracy", Sample([0.98, 0.99]), 97.5)
    assert (line.theirs, line.ours, line.spread) == ("97.5 %", "98.50 %", "± 0.71 (2 seeds)")
    line = seconds("time per epoch", 45, 1.5)
    assert (line.theirs, line.ours, line.speedup) == ("45.0 s", "1.50 s", "30 ×")
    assert (duration(0.5), duration(12.34), duration(780)) == ("0.50 s", "12.3 s", "13.0 min")


# --- the report -----------------------------------------------------------------------------------


def example() -> dict[Table, Section]:
    section = Section(
        lines=[Line("test accuracy", "89.7 %", "98.6 %", verdict=stated("it does", True, "so"))],
        verdicts=[stated("Adam < SGD", None, "who knows")],
        notes=["A note."],
        pictures=[
            Picture("one", curves({"epoch": [1], "loss": [1], "accuracy": [0.5]}), "Curves.")
        ],
    )
    return {Table("S1.1", "Baseline against optimized", lambda lab: section): section}


class Links(html.parser.HTMLParser):
    """All addresses that a page needs."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        self.found += [value for name, value in attrs if name in ("src", "href")]


def test_report_files(tmp_path) -> None:
    sections = example()
    for section in sections.values():
        save_pictures(section, tmp_path)
    Report("python -m fastcnn.reproduce S1", FULL, sections, ["JPEG pixels."]).write(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "| test accuracy | 89.7 % | 98.6 % | – | – | **holds** |" in text
    assert "| Adam < SGD | **cannot be told** | who knows |" in text
    assert "| S1.1: Baseline against optimized | 1 | 0 | 1 |" in text
    assert "Note: JPEG pixels." in text and "python -m fastcnn.reproduce S1\n" in text
    (picture,) = re.findall(r"\]\((.*?)\)", text)
    assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "report.html").read_text()
    links = Links()
    links.feed(page)
    assert len(links.found) == 1 and links.found[0].startswith("data:image/png;base64,")
    assert "Adam &lt; SGD" in page and "<td>89.7 %</td>" in page


def test_quick_report_decides_nothing(tmp_path) -> None:
    ((table, section),) = example().items()
    assert [verdict.word for verdict in section.all_verdicts()] == [HOLDS, OPEN]
    quick = section.undecided()
    assert [verdict.word for verdict in quick.all_verdicts()] == [OPEN, OPEN]
    text = Report("command", QUICK, {table: quick}).markdown()
    assert "This is a quick run" in text and "**holds**" not in text.split("## Summary")[1]


# --- the command line -----------------------------------------------------------------------------


def test_tables_can_be_chosen() -> None:
    assert [table.name for table in chosen(["S4", "S1.2"])] == ["S1.2", "S4.1", "S4.2", "S4.3"]
    assert len(chosen([])) == len(TABLES)
    with pytest.raises(ConfigError, match=r"there is no table 'S1\.99'") as refusal:
        chosen(["S1.99"])
    assert str(refusal.value).count("targets") == 1


def test_list(capsys) -> None:
    assert main(["S5", "--list"]) == 0
    assert capsys.readouterr().out.startswith("S5.1     Grid over hidden units")


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["S9"], "error: there is no table 'S9'"),
        (["--workers", "0"], "error: workers must be at least 1, got 0"),
        (
            ["--worker", "1"],
            "error: there is no option --worker; did you mean --workers?",
        ),
        (["S2", "--offline", "--data-dir", "nowhere"], "error: "),
    ],
)
def test_refusals(argv, sentence, capsys, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert said.startswith(sentence) and said.count("\n") == 1


def test_unwritable_folder(tmp_path, capsys) -> None:
    (tmp_path / "file").write_text("")
    for folder, said in (("file", "it is"), ("file/out", f"{tmp_path / 'file'} is")):
        assert main(["S2", "--offline", "--out", str(tmp_path / folder)]) == 2
        error = capsys.readouterr().err
        assert f"{folder} cannot be written to: {said} a file, not a folder\n" in error
