"""`python -m fastcnn.reproduce`: runs that are kept and continued, the report, refusals.

Experiments here are of the built-in digits, so that no other data is needed.
"""

import contextlib
import html.parser
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fastcnn import __version__
from fastcnn.commands.reproduce import TABLES, Arguments, _laboratory, chosen
from fastcnn.comparing.children import Children, RunError
from fastcnn.comparing.evidence import Evidence
from fastcnn.config import Config, ConfigError, replace
from fastcnn.datasets import Dataset
from fastcnn.plots import curves
from fastcnn.reproduce import main
from fastcnn.reproduction import records, twins
from fastcnn.reproduction.laboratory import (
    FULL,
    QUICK,
    Experiment,
    Laboratory,
    Question,
)
from fastcnn.reproduction.records import Records
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
    train_accuracy,
)
from fastcnn.reproduction.verdicts import HOLDS, OPEN, Sample, differs, stated
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


def test_train_accuracy_is_that_of_the_finished_network(finished) -> None:
    lab, runs, _ = finished
    saved = lab.saved(SMALL)
    data = saved.dataset()
    loss, share = saved.model.evaluate(data.x_train, data.y_train)
    assert runs[0].train == pytest.approx((loss, share), rel=1e-5)
    assert train_accuracy(runs).values[0] == runs[0].train[1]


def test_timing_takes_turns_on_all_cores(finished) -> None:
    lab, _, said = finished
    before = len(said)
    lab.time([SMALL, SMALL.but(lr=0.5), SMALL])
    times = lab.epoch(SMALL)
    assert len(times.whole) == len(times.training) == 3
    assert 0 < times.median < 60 and times.training[0] < times.whole[0]
    folders = list((lab.folder / "timing").glob("*/result.json"))
    assert {json.loads(path.read_text())["threads"] for path in folders} == {lab.cores}
    assert len(folders) == 2 and len(said) == before + 1
    for path in folders:
        path.unlink()
    assert lab.epoch(SMALL) == times  # kept


def test_records_outlive_the_runs(finished, tmp_path) -> None:
    """Another folder, the same file: nothing is trained, nothing is lost."""
    lab, runs, _ = finished
    copy = tmp_path / "runs.jsonl"
    copy.write_bytes(lab.records.path.read_bytes())
    other = Laboratory(tmp_path / "other", say=pytest.fail, records=copy)
    again = other.train([SMALL])[0]
    assert [run.history for run in again] == [run.history for run in runs]
    assert [run.result for run in again] == [run.result for run in runs]
    assert other.saved(SMALL) is None and pictures("x", other.saved(SMALL), {"curves": ""}) == []
    record = runs[0]
    assert record.version == __version__ and record.config.training.seed == 1
    assert sum(count for _, _, count in record.confused) == round(
        100 * (1 - record.result["test_accuracy"])
    )
    assert set(record.arrays) == {
        f"{i}.{name}" for i in (0, 3, 7, 9) for name in ("weight", "bias")
    }
    (tmp_path / "runs.jsonl").write_text(copy.read_text()[:-30])
    with pytest.raises(ValueError, match=r"runs\.jsonl is damaged: .*restore it"):
        Laboratory(tmp_path / "other", records=copy)


def test_two_processes_may_add_records(finished, tmp_path) -> None:
    _, runs, _ = finished
    one, other = Records(tmp_path / "runs.jsonl"), Records(tmp_path / "runs.jsonl")
    one.add(runs[0])
    other.add(runs[1])
    assert all(Records(tmp_path / "runs.jsonl").find(run.config) == run for run in runs)


def test_a_network_that_has_become_another_is_not_found(finished, monkeypatch) -> None:
    lab, runs, _ = finished
    assert lab.records.find(runs[0].config) == runs[0]
    monkeypatch.setattr(records, "fingerprint", lambda config: "another")
    assert lab.records.find(runs[0].config) is None


def test_seeds_are_added_until_a_difference_is_decided(tmp_path, monkeypatch) -> None:
    fast, slow = SMALL.but(lr=0.1), SMALL.but(lr=0.01)
    trained = []

    def train(self, experiments):
        """Not in earnest: the accuracy is the rate and what the seed brings."""
        trained.extend(len(one.seeds) for one in experiments)
        return [
            [
                one.changes["lr"] + 0.04 * math.sin(100 * one.changes["lr"] * seed)
                for seed in one.seeds
            ]
            for one in experiments
        ]

    monkeypatch.setattr(Laboratory, "train", train)
    plain = Question(fast, slow, Sample, seeds=8)
    equal = Question(fast, fast, Sample, seeds=5)
    lab = Laboratory(tmp_path, say=lambda line: None)
    decided, never = lab.decide([plain, equal])
    assert decided.is_decided and decided.mean > 0 and 4 < len(decided.differences) < 8
    assert not never.is_decided and len(never.differences) == 5
    assert max(trained) == len(decided.differences) and trained[:4] == [4] * 4
    assert not lab.decide([Question(fast, slow, Sample, seeds=4)])[0].is_decided
    quick = Laboratory(tmp_path, QUICK, say=lambda line: None)
    assert len(quick.decide([equal])[0].differences) == 1


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


def test_notes_of_the_runs_are_shown_once(tmp_path, capsys) -> None:
    records = str(tmp_path / "runs.jsonl")
    lab = _laboratory(Arguments(out=str(tmp_path / "out"), workers=1, records=records))
    lab.train([SMALL.but(lr=1e-9)])
    said = capsys.readouterr().err.splitlines()
    assert len(set(said)) == len(said) >= 1
    assert all(line.startswith("note: ") for line in said)
    assert any("that of guessing" in line for line in said)


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
    assert (
        pictures("wild", lab.saved(SMALL.but(lr=1e6).once()), {"curves": ""}) == []
        and histories({"wild": wild}) == {}
    )
    lost = Evidence(of_result(wild, "test_loss").values)
    assert differs("", lost).word == OPEN
    assert lab.train([SMALL.but(lr=1e6).once()])[0][0].result == wild[0].result


LONG = """
import sys
from pathlib import Path
from fastcnn.reproduction.laboratory import Experiment, Laboratory
settings = {"dataset": "digits", "limit_train": 1000, "limit_test": 100, "epochs": 60}
lab = Laboratory(Path(sys.argv[1]), workers=1)
print(lab.train([Experiment("mnist-baseline", settings, seeds=(1,))])[0][0].history["loss"])
"""


# In the Python of a run: its third checkpoint kills the process that has started it, and the run
# goes on as soon as it knows.
KILLS_ITS_PARENT = """
import os, signal, sys, time

left = [3]

def hook(event, arguments):
    if event == "os.rename" and os.path.basename(arguments[1]) == "last.npz":
        left[0] -= 1
        if left[0] == 0:
            handler = signal.getsignal(signal.SIGTERM)
            os.kill(os.getppid(), signal.SIGKILL)
            while signal.getsignal(signal.SIGTERM) is handler:  # it is another for a second signal
                time.sleep(0.01)

sys.addaudithook(hook)
"""


def test_interrupted_run_goes_on_to_the_same_bits(tmp_path) -> None:
    """Killed in the middle; then the same again, which must not start over."""
    (tmp_path / "sitecustomize.py").write_text(KILLS_ITS_PARENT)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-c", LONG]
    done = subprocess.run([*command, str(tmp_path / "straight")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    command.append(str(tmp_path / "broken"))
    broken = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONPATH": path})
    assert broken.returncode == -signal.SIGKILL
    (folder,) = (tmp_path / "broken").glob("*/seed-1")
    while not (folder / "result.json").is_file():  # the run itself ends after its batch
        time.sleep(0.05)
    stopped = Saved(folder)
    assert stopped.result["stopped_because"] == "interrupted"
    assert 2 <= stopped.history.epochs <= 4
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.stdout.splitlines()[-1] == done.stdout.splitlines()[-1]
    whole = Saved(folder).history
    assert whole["seconds"][: stopped.history.epochs] == stopped.history["seconds"]


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
        assert twins._run(lab, script)["epochs"] == pytest.approx(2 * [seconds_per_epoch])
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


def test_what_is_told_comes_from_the_settings(finished) -> None:
    """Not from the author's, which a quick run changes."""
    _, runs, _ = finished
    assert length(runs) == "2 epochs" and counted(1, "table") == "1 table"


def test_lines() -> None:
    line = accuracy("test accuracy", Sample([0.98, 0.99]), 97.5)
    assert (line.theirs, line.ours, line.spread) == ("97.5 %", "98.50 %", "± 0.71 (2 seeds)")
    line = seconds("total time", 45, [1.5, 1.4, 1.7], times=10)
    assert (line.theirs, line.ours, line.speedup) == ("45 s", "15.0 s (14.0 s to 17.0 s)", "3 ×")
    assert seconds("time per epoch", 1.2, [4.8]).speedup == "0.25 ×"
    assert (duration(0.5), duration(12.34), duration(780)) == ("0.50 s", "12.3 s", "13.0 min")


# --- the report -----------------------------------------------------------------------------------


def example() -> dict[Table, Section]:
    section = Section(
        lines=[Line("test accuracy", "89.7 %", "98.6 %", outcome="exceeded by 8.9 points")],
        verdicts=[stated("it does", True, "so"), stated("Adam < SGD", None, "who knows")],
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
    assert "| test accuracy | 89.7 % | 98.6 % | – | – | exceeded by 8.9 points |" in text
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
    assert [verdict.word for verdict in section.verdicts] == [HOLDS, OPEN]
    quick = section.undecided()
    assert [verdict.word for verdict in quick.verdicts] == [OPEN, OPEN]
    text = Report("command", QUICK, {table: quick}).markdown()
    assert "This is a quick run" in text and "**holds**" not in text.split("## Summary")[1]


# --- the command line -----------------------------------------------------------------------------


def test_tables_can_be_chosen() -> None:
    assert [table.name for table in chosen(["S4", "S1.2"])] == ["S1.2", "S4.1", "S4.2", "S4.3"]
    assert len(chosen([])) == len(TABLES)
    with pytest.raises(ConfigError, match=r"there is no table 'S1\.99'") as refusal:
        chosen(["S1.99"])
    assert "targets, S1.1" in str(refusal.value)


def test_list(capsys) -> None:
    assert main(["S5", "--list"]) == 0
    assert capsys.readouterr().out.startswith("S5.1     Hidden units, rate and L2")


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
