"""python -m fastcnn.search: two workers, kill -9, joining, refusing, what it writes."""

import csv
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from fastcnn.config import Config, read_toml, replace, to_dict
from fastcnn.search import main

pytest.importorskip("optuna", reason="a search needs Optuna: pip install '.[search]'")

COMMAND = [sys.executable, "-m", "fastcnn.search"]
DATA = [
    "--dataset", "digits", "--limit-train", "200", "--limit-test", "50", "--validation", "0.2",
]  # fmt: skip
QUICK = [*DATA, "--model", "mnist-baseline", "--epochs", "1", "--no-pictures"]
GRID = [*DATA, "--model", "mnist-baseline", "--search", "lr=0.03,0.1", "--search"]
CELLS = {(lr, size) for lr in ("0.03", "0.1") for size in ("16", "64")}


def start(*arguments, **variables: str) -> subprocess.Popen:
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)], env={**os.environ, **variables},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


# In every Python of a search: its trials wait after an epoch until the file is there, or until they
# are told to stop. Else they may be over, a third of a second later, before anything is done to
# them.
WAITS = """
import importlib.util, os, sys, time

class Finder:
    def find_spec(self, name, *_):
        if name != "fastcnn.searching.worker":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (load(module), change(module))
        return spec

def change(worker):
    asked = []
    run, on_epoch_end = worker._Attempt.run, worker._Reporter.on_epoch_end

    def begun(self, should_stop):
        asked[:] = [should_stop]
        run(self, should_stop)

    def told(self, row):
        on_epoch_end(self, row)
        while not (os.path.exists(os.environ["MAY_GO"]) or asked[0]()):
            time.sleep(0.01)

    worker._Attempt.run, worker._Reporter.on_epoch_end = begun, told

sys.meta_path.insert(0, Finder())
"""


@pytest.fixture
def waiting(tmp_path_factory):
    """The variables of a search whose trials wait after their first epoch, and what ends that."""
    folder = tmp_path_factory.mktemp("waits")
    (folder / "sitecustomize.py").write_text(WAITS)
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PYTHONPATH": path, "MAY_GO": str(folder / "go")}, (folder / "go").touch


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "trials.csv", newline="") as file:
        return list(csv.DictReader(file))


def study_in(folder: Path, name: str = ""):
    import optuna

    from fastcnn.searching import database

    storage = database.connect(database.default_url(folder))
    return optuna.load_study(study_name=name or folder.name, storage=storage)


def running(folder: Path, process: subprocess.Popen) -> dict[int, int]:
    """Trial -> process, of this search's trials that wait after their first epoch."""
    from fastcnn.searching.slots import attempts

    while process.poll() is None:
        if (folder / "search.toml").is_file():
            found = attempts(study_in(folder).get_trials())
            owners = {
                slot: tries[-1].user_attrs["owner"]["pid"]
                for slot, tries in found.items()
                if tries[-1].state.name == "RUNNING" and tries[-1].intermediate_values
            }
            ours = {slot: pid for slot, pid in owners.items() if os.getpgid(pid) == process.pid}
            if ours:
                return ours
        time.sleep(0.05)
    raise AssertionError(f"no trial ran: {process.communicate()}")


def check_grid(folder: Path) -> None:
    """Every cell of the grid has exactly one verdict, and all found a result."""
    found = rows(folder)
    assert sorted((row["lr"], row["batch_size"]) for row in found) == sorted(CELLS)
    assert {row["state"] for row in found} == {"done"}
    states = [trial.state.name for trial in study_in(folder).get_trials()]
    assert states.count("COMPLETE") == len(CELLS)


LONG = [*GRID, "batch_size=16,64", "--epochs", "15"]
UNDRAWN = [*LONG, "--no-pictures"]
MEASURED = ("val_accuracy", "val_loss", "test_accuracy", "test_loss", "best_epoch", "epochs_run")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The results of a search with one worker that nobody disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    process = start(*LONG, "--out", folder, "--threads", "1")
    printed, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    check_grid(folder)
    return folder, printed


# --- kill -9 ------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see processes")
def test_a_killed_worker_is_replaced_by_the_other(tmp_path, undisturbed, waiting):
    variables, go = waiting
    process = start(*UNDRAWN, "--out", tmp_path, "--workers", "2", "--threads", "1", **variables)
    slot, victim = next(iter(running(tmp_path, process).items()))
    os.kill(victim, signal.SIGKILL)
    go()
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert f"process {victim}) was ended by SIGKILL" in errors
    check_grid(tmp_path)
    assert int(rows(tmp_path)[slot]["attempts"]) == 2
    for ours, theirs in zip(rows(tmp_path), rows(undisturbed[0]), strict=True):
        assert [ours[name] for name in MEASURED] == [theirs[name] for name in MEASURED]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see processes")
def test_a_killed_search_goes_on(tmp_path, undisturbed, waiting):
    variables, _ = waiting
    process = start(*UNDRAWN, "--out", tmp_path, "--workers", "2", "--threads", "1", **variables)
    workers = running(tmp_path, process)
    process.kill()
    process.communicate()  # whose pipes the workers have too
    done = [trial for trial in study_in(tmp_path).get_trials() if trial.state.name == "COMPLETE"]
    again = start("--out", tmp_path, "--workers", "1", "--no-pictures")  # search.toml has the rest
    _, errors = again.communicate()
    assert (again.returncode, errors) == (0, "")
    check_grid(tmp_path)
    for worker in workers.values():
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)  # they ended with their parent
    finished = {trial.number: trial.datetime_complete for trial in study_in(tmp_path).get_trials()}
    assert all(finished[trial.number] == trial.datetime_complete for trial in done)
    for ours, theirs in zip(rows(tmp_path), rows(undisturbed[0]), strict=True):
        assert [ours[name] for name in MEASURED] == [theirs[name] for name in MEASURED]


def test_two_searches_at_once_share_the_trials_and_ctrl_c_is_answered(tmp_path, waiting):
    variables, go = waiting
    first = start(*UNDRAWN, "--out", tmp_path, **variables)
    second = start(*UNDRAWN, "--out", tmp_path, **variables)
    ours, theirs = running(tmp_path, first), running(tmp_path, second)
    assert ours and theirs and not {*ours} & {*theirs}
    os.killpg(first.pid, signal.SIGINT)
    _, errors = first.communicate()
    assert first.returncode == 130
    again = "interrupted; to continue: python -m fastcnn.search --out"
    assert again in errors and errors.endswith(" --no-pictures\n")
    assert "Traceback" not in errors
    go()
    _, errors = second.communicate()
    assert (second.returncode, errors) == (0, "")
    check_grid(tmp_path)


# --- what it writes -----------------------------------------------------------------------------


def test_files(undisturbed):
    folder, _ = undisturbed
    assert sorted(path.name for path in folder.iterdir()) == [
        "bars.png", "best.toml", "grid.png", "history.png", "parallel.png", "search.db",
        "search.toml", "trials", "trials.csv",
    ]  # fmt: skip
    assert sorted(path.name for path in (folder / "trials").iterdir()) == [
        f"{number:04}" for number in range(len(CELLS))
    ]
    for trial in (folder / "trials").iterdir():
        assert sorted(path.name for path in trial.iterdir()) == [
            "best.npz", "config.toml", "history.csv", "result.json",
        ]  # fmt: skip
    for picture in folder.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_table_is_sorted_and_agrees_with_csv(undisturbed):
    folder, printed = undisturbed
    lines = printed.splitlines()
    head = next(index for index, line in enumerate(lines) if line.split()[0] == "trial" and "lr" in
                line.split()[:2])  # fmt: skip
    table = [line.split() for line in lines[head + 1 : head + 1 + len(CELLS)]]
    found = sorted(rows(folder), key=lambda row: (-float(row["val_accuracy"]), int(row["trial"])))
    assert [line[0] for line in table] == [row["trial"] for row in found]
    assert [line[3] for line in table] == [f"{float(row['val_accuracy']):.2%}" for row in found]
    assert sum(line.startswith("trial ") and "with lr" in line for line in lines) == len(CELLS)


def test_values_are_those_of_the_runs(undisturbed):
    folder, _ = undisturbed
    for row in rows(folder):
        with open(folder / "trials" / f"{int(row['trial']):04}" / "history.csv") as file:
            epochs = list(csv.DictReader(file))
        best = max(epochs, key=lambda epoch: float(epoch["val_accuracy"]))
        for name in ("val_accuracy", "val_loss", "test_accuracy", "test_loss"):
            assert row[name] == best[name]
        assert row["best_epoch"] == best["epoch"]


def test_best_toml_is_the_best_trial(undisturbed):
    folder, _ = undisturbed
    best = max(rows(folder), key=lambda row: float(row["val_accuracy"]))
    config = to_dict(replace(Config(), read_toml(folder / "best.toml")))
    assert str(config["lr"]) == best["lr"]
    assert str(config["batch_size"]) == best["batch_size"]
    assert (config["dataset"], config["monitor"]) == ("digits", "val_accuracy")


def test_show_draws_again_and_runs_nothing(undisturbed, capsys):
    folder, printed = undisturbed
    before = (folder / "trials.csv").read_text()
    for name in ("trials.csv", "best.toml", "bars.png", "grid.png"):
        (folder / name).unlink()
    assert main(["--show", str(folder)]) == 0
    assert (folder / "trials.csv").read_text() == before
    assert (folder / "best.toml").is_file() and (folder / "grid.png").is_file()
    table = capsys.readouterr().out
    assert table == printed[printed.index(table[:30]) :]


def test_a_finished_search_can_be_longer_but_not_another(tmp_path, capsys):
    ranges = [*QUICK, "--search", "lr=0.01..0.1:log", "--method", "random", "--out"]
    assert main([*ranges, str(tmp_path / "before"), "--trials", "2", "--quiet"]) == 0
    out = (tmp_path / "before").rename(tmp_path / "out")
    first = rows(out)
    assert list(out.glob("*.png")) == []
    assert main(["--out", str(out), "--trials", "3", "--quiet"]) == 0
    assert rows(out)[:2] == first
    assert len(rows(out)) == 3 and len(list(out.glob("*.png"))) == 2
    assert capsys.readouterr().out == ""
    assert main([*ranges, str(out), "--trials", "3", "--epochs", "2"]) == 2
    assert "begun with other settings, epochs was 1 and is 2" in capsys.readouterr().err
    plan = tomllib.loads((out / "search.toml").read_text())
    assert plan["search"]["trials"] == 3 and plan["data"]["dataset"] == "digits"


def test_a_trial_that_diverges_does_not_end_the_search(tmp_path, capsys):
    wild = [*QUICK, "--epochs", "2", "--search", "lr=0.05,1e30", "--out", str(tmp_path)]
    assert main(wild) == 0
    good, bad = rows(tmp_path)
    assert (good["state"], bad["state"]) == ("done", "diverged")
    assert bad["val_accuracy"] == "" and "the learning rate" in bad["reason"]
    assert "trial 1: diverged with lr 1e+30" in capsys.readouterr().out


def test_hopeless_trials_end_early(tmp_path):
    search = [
        *QUICK, "--epochs", "6", "--method", "random", "--trials", "10", "--prune", "median",
        "--search", "lr=1e-6..0.2:log", "--out", str(tmp_path), "--quiet",
    ]  # fmt: skip
    assert main(search) == 0
    pruned = [row for row in rows(tmp_path) if row["state"] == "pruned"]
    assert pruned
    for row in pruned:
        assert 1 < int(row["epochs_run"]) < 6
        assert row["reason"].startswith("hopeless")
    assert all(int(row["epochs_run"]) == 6 for row in rows(tmp_path) if row["state"] == "done")


# --- how it refuses -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (QUICK, "there is nothing to search"),
        ([*QUICK, "--search", "speed=1,2"], "there is no setting 'speed'"),
        ([*QUICK, "--search", "lr=0.1,-1"], "lr must be above 0 and finite, got -1"),
        ([*QUICK, "--search", "growth=8,16"], "mnist-baseline has no choice of 'growth'"),
        ([*QUICK, "--search", "lr=0.1,1", "--search", "lr=2,3"], "lr is searched twice"),
        ([*QUICK, "--lr", "0.1", "--search", "lr=0.1,1"], "lr is both given and searched"),
        ([*QUICK, "--search", "lr=0.1,1", "--validation", "0"], "validates on no images"),
        ([*QUICK, "--search", "lr=0.1,1", "--workers", "0"], "workers must be at least 1, got 0"),
        ([*QUICK, "--search", "lr=0.1,1", "--storage", "x"], "must be given as a URL"),
        ([*QUICK, "--search", "lr=0.1,1", "--method", "gird"], "did you mean 'grid'"),
        (["--storage", "sqlite:///search.db", "--name", "it"], "has no search 'it': give --name, "),
        (["--storage", "nonsense", "--name", "it"], "must be given as a URL"),
        (
            [*QUICK, "--search", "lr=0.1,1", "--serve", "--storage", "sqlite:///search.db"],
            "--serve starts a database and --storage names another: leave one out",
        ),
        (["--config", "nowhere.toml"], "there is no configuration file nowhere.toml"),
        (["--show", "nowhere"], "there is no configuration file nowhere/search.toml"),
    ],
)
def test_refused(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("error: ") and sentence in errors
    assert errors.count("\n") == 1
    assert not list(tmp_path.rglob("search.db"))


def test_a_search_in_another_database_is_not_begun_anew(tmp_path, capsys):
    (tmp_path / "search.toml").write_text("[search.space]\nlr = [0.1, 1.0]\n")
    assert main(["--out", str(tmp_path)]) == 2
    assert "give --storage if it was begun with it, else restore" in capsys.readouterr().err
    assert not (tmp_path / "search.db").exists()


def begin(folder: Path, name: str) -> None:
    """Begin a search in its own database, train nothing."""
    from fastcnn.searching import database, plan, slots, space

    folder.mkdir(exist_ok=True)
    search = plan.make({"dataset": "digits", "validation": 0.2}, [space.from_text("lr=0.1,1")])
    study = database.join(database.connect(database.default_url(folder)), name, search)
    slots.Slots(study, search.trials).fill()
    (folder / "search.toml").write_text(search.to_toml())


def test_a_folder_can_be_renamed(tmp_path):
    begin(tmp_path / "before", "before")
    (tmp_path / "before").rename(tmp_path / "after")
    assert main(["--show", str(tmp_path / "after"), "--quiet"]) == 0
    assert [row["state"] for row in rows(tmp_path / "after")] == ["waiting", "waiting"]


@pytest.mark.parametrize("option", ["--show", "--out"])
def test_of_several_searches_in_a_folder_one_must_be_named(option, tmp_path, capsys):
    begin(tmp_path, "one")
    begin(tmp_path, "two")
    assert main([option, str(tmp_path)]) == 2
    assert "holds several searches: give --name, one of one, two\n" in capsys.readouterr().err
    assert main(["--show", str(tmp_path), "--name", "two", "--quiet"]) == 0


@pytest.mark.parametrize("elsewhere", [False, True], ids=["the same database", "another"])
def test_a_second_search_does_not_mix_its_trials_with_the_first(elsewhere, tmp_path, capsys):
    folder = tmp_path / "search"
    begin(folder, "one")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    storage = ["--storage", f"sqlite:///{tmp_path / 'shared.db'}"] if elsewhere else []
    assert main(["--out", str(folder), "--name", "two", *QUICK, *storage]) == 2
    told = capsys.readouterr().err
    assert "holds another search, whose trials would be mixed with those of 'two'" in told
    assert "give another --out, or the --name of that search" in told
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_who_joins_need_not_say_what_is_searched(tmp_path, capsys):
    from fastcnn.commands.search import parse

    begin(tmp_path, "one")
    storage = ["--storage", f"sqlite:///{tmp_path / 'search.db'}", "--name"]
    _, plan = parse([*storage, "one", "--out", str(tmp_path / "there")])
    assert (plan.settings(0), plan.settings(1)) == ({"lr": 0.1}, {"lr": 1.0})
    assert (plan.trials, plan.fixed["dataset"], plan.fixed["validation"]) == (2, "digits", 0.2)
    assert main([*storage, "two", "--out", str(tmp_path / "there")]) == 2
    assert "no search 'two': give --name, one of one\n" in capsys.readouterr().err
    assert main([*storage, "one", "--out", str(tmp_path / "there"), "--epochs", "7"]) == 2
    assert "begun with other settings, epochs was " in capsys.readouterr().err


def test_the_searches_in_a_database_are_named(tmp_path, capsys):
    begin(tmp_path, "one")
    storage = ["--storage", f"sqlite:///{tmp_path / 'search.db'}"]
    assert main(["--show", str(tmp_path), *storage]) == 2
    assert f"no search {tmp_path.name!r}: give --name, one of one\n" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--show", "--out"])
@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda file: file.unlink(), "has no trials in its search.db"),
        (lambda file: file.write_bytes(b""), "has no trials in its search.db"),
        (lambda file: file.write_bytes(file.read_bytes()[:9000]), "search.db cannot be used"),
        (lambda file: file.write_bytes(b"nonsense" * 999), "search.db cannot be used"),
    ],
    ids=["missing", "empty", "cut off", "nonsense"],
)
def test_a_database_that_is_lost(option, damage, sentence, tmp_path, capsys):
    begin(tmp_path, tmp_path.name)
    damage(tmp_path / "search.db")
    assert main([option, str(tmp_path)]) == 2
    errors = capsys.readouterr().err
    assert sentence in errors and errors.count("\n") == 1
    assert "restore the file, or begin anew with another --out" in errors
    assert "still in the folder trials" in errors


@pytest.mark.parametrize("name", ["config.toml", "history.csv", "best.npz"])
def test_the_folder_of_a_training_run_is_left_alone(name, tmp_path, capsys):
    (tmp_path / name).touch()
    assert main([*QUICK, "--search", "lr=0.1,1", "--out", str(tmp_path)]) == 2
    sentence = f"{tmp_path} holds a training run: give a folder of its own as --out"
    assert sentence in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_without_optuna_a_sentence(tmp_path):
    code = (
        "import sys; sys.modules['optuna'] = None; from fastcnn.search import main; "
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, *QUICK, "--search", "lr=0.1,1", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    sentence = "a search needs Optuna: pip install '.[search]' in the folder of the clone"
    assert done.stderr == f"error: {sentence}\n"


def test_optuna_is_imported_late():
    code = "import fastcnn, fastcnn.plots, fastcnn.runs.run, fastcnn.searching.plan, sys; " \
        "sys.exit('optuna' in sys.modules)"  # fmt: skip
    subprocess.run([sys.executable, "-c", code], check=True)


EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "search").glob("*.toml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_can_be_searched(path):
    from fastcnn.commands.search import parse

    _, plan = parse(["--config", str(path)])
    plan.check((3, 32, 32), tuple("0123456789"))
    assert plan.trials == {"s3-grid": 27, "s3-dropout": 4, "s3-beyond": 12, "s5-grid": 8}[path.stem]
