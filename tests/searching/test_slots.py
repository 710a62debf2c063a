"""Each trial exactly once, whoever is killed or joins when: without training anything."""

import os
import subprocess
import sys
import types

import pytest

optuna = pytest.importorskip("optuna", reason="a search needs Optuna: pip install '.[search]'")

import sqlalchemy.exc  # noqa: E402
from optuna.exceptions import StorageInternalError  # noqa: E402
from optuna.trial import TrialState  # noqa: E402

from fastcnn.config import ConfigError  # noqa: E402
from fastcnn.searching import database, owner  # noqa: E402
from fastcnn.searching import plan as plans  # noqa: E402
from fastcnn.searching.samplers import suggest  # noqa: E402
from fastcnn.searching.slots import Slots, attempts, has_verdict  # noqa: E402
from fastcnn.searching.space import from_text  # noqa: E402

ELSEWHERE = {"host": "another machine", "pid": 1, "started": "1"}


def plan(*texts, **options):
    return plans.make({}, [from_text(text) for text in texts], **options)


@pytest.fixture
def study():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(direction="maximize")


def ended_process():
    """An owner that was on this machine and is no more."""
    code = "from fastcnn.searching.owner import this_process as t; print(t())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return eval(out.stdout)


def test_every_slot_once(study):
    slots = Slots(study, 5)
    slots.fill()
    slots.fill()
    seen = []
    while (trial := slots.claim()) is not None:
        seen.append(trial.user_attrs["slot"])
        assert not slots.are_done()
        study.tell(trial, 1.0)
    assert sorted(seen) == [0, 1, 2, 3, 4]
    assert slots.are_done()


def test_more_trials_can_be_added(study):
    for count in (2, 4, 3):
        slots = Slots(study, count)
        slots.fill()
        while (trial := slots.claim()) is not None:
            study.tell(trial, 1.0)
        assert slots.are_done()
    assert len(attempts(study.get_trials())) == 4


def test_a_second_attempt_of_the_same_kind_is_never_run(study):
    for _ in range(3):  # as if three processes had filled the study at the same moment
        for slot in range(2):
            study.enqueue_trial({}, user_attrs={"slot": slot, "attempt": 0})
    slots = Slots(study, 2)
    claimed = [slots.claim(), slots.claim()]
    assert [trial.number for trial in claimed] == [0, 1]
    assert slots.claim() is None
    for trial in claimed:
        study.tell(trial, 1.0)
    assert slots.are_done() and slots.claim() is None


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc to see processes")
def test_a_killed_process_loses_its_trial_at_once(study):
    slots = Slots(study, 1)
    slots.fill()
    first = slots.claim()
    lr = first.suggest_float("lr", 0, 1)
    assert slots.claim() is None  # this process is alive
    first.set_user_attr("owner", ended_process())
    second = slots.claim()
    assert second.user_attrs["slot"] == 0 and second.user_attrs["attempt"] == 1
    assert second.suggest_float("lr", 0, 1) == lr
    assert study.trials[first.number].state == TrialState.FAIL
    with pytest.raises(ValueError, match="Cannot tell"):
        study.tell(first, 1.0)  # too late


def test_a_process_elsewhere_is_dead_after_a_long_silence(study):
    watch = owner.Watch(silence=-1.0)  # every silence is too long
    beating = {"owner": ELSEWHERE, "beat": 1}
    assert not watch.is_dead(0, {"owner": ELSEWHERE})  # seen for the first time
    assert watch.is_dead(0, {"owner": ELSEWHERE})
    assert not watch.is_dead(0, beating)
    assert watch.is_dead(0, beating)
    assert not watch.is_dead(0, {**beating, "beat": 2})
    patient = owner.Watch()
    assert not patient.is_dead(0, beating) and not patient.is_dead(0, beating)
    assert not watch.is_dead(1, {}) and watch.is_dead(1, {})  # killed before it left its name


def test_heartbeat_counts_until_the_trial_is_taken(study):
    trial = study.ask()
    with owner.Heartbeat(trial, interval=0.01) as heart:
        while study.trials[0].user_attrs.get("beat", 0) < 3:
            pass
        assert not heart.is_lost
        study.tell(0, state=TrialState.FAIL)
        heart._thread.join()
        assert heart.is_lost


def test_refused_settings_are_not_tried_again(study):
    slots = Slots(study, 1)
    slots.fill()
    trial = slots.claim()
    trial.set_user_attr("refused", "they do not go together")
    slots.give_back(trial.number)
    assert slots.claim() is None
    assert slots.are_done()
    assert has_verdict(study.trials[0])


CLAIMER = """
import sys
from pathlib import Path
from fastcnn.searching import database, plan, space
from fastcnn.searching.slots import Slots
search = plan.make({}, [space.from_text("lr=0.1..1")], method="random", trials=24)
study = database.join(database.connect(sys.argv[1]), "race", search)
slots = Slots(study, search.trials)
slots.fill()
while (trial := slots.claim()) is not None:
    print(trial.user_attrs["slot"], flush=True)
    study.tell(trial, 0.5)
"""


def test_processes_that_race_for_trials_never_get_the_same(tmp_path):
    url = database.default_url(tmp_path)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMER, url],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    printed = [racer.communicate() for racer in racers]
    assert [errors for _, errors in printed] == [""] * 4
    claimed = [int(line) for lines, _ in printed for line in lines.split()]
    assert sorted(claimed) == list(range(24))


def test_proposals_are_the_plans(tmp_path):
    search = plan("lr=0.001..0.1:log", "filters=8+8,16+16", "hidden=8..64", "flip=true,false",
                  method="random", trials=4)  # fmt: skip
    study = database.join(database.connect(database.default_url(tmp_path)), "it", search)
    slots = Slots(study, 4)
    slots.fill()
    for number in range(4):
        trial = slots.claim()
        assert suggest(trial, search) == search.settings(number)
        study.tell(trial, 0.5)


def test_tpe_learns_and_repeats_itself(tmp_path):
    search = plan("momentum=0..0.9", "hidden=8..64", trials=30)
    found = []
    for name in ("one", "two"):
        study = database.join(database.connect(database.default_url(tmp_path)), name, search)
        slots = Slots(study, search.trials)
        slots.fill()
        tried = []
        while (trial := slots.claim()) is not None:
            tried.append(suggest(trial, search))
            study.tell(trial, 1 - abs(tried[-1]["momentum"] - 0.3))
        found.append(tried)
    assert found[0] == found[1]
    assert found[0][:5] == [search.settings(number) for number in range(5)]
    blind = [search.settings(number) for number in range(30)]
    learned, random = (
        sum(abs(settings["momentum"] - 0.3) for settings in tried[15:])
        for tried in (found[0], blind)
    )
    assert learned < 0.8 * random


def test_another_plan_under_the_same_name_is_refused(tmp_path):
    storage = database.connect(database.default_url(tmp_path))
    database.join(storage, "it", plan("lr=0.1,1"))
    database.join(storage, "it", plan("lr=0.1,1"))
    with pytest.raises(ConfigError, match=r"over lr was \[0.1, 1.0\] and is \[0.1, 2.0\]"):
        database.join(storage, "it", plan("lr=0.1,2"))
    with pytest.raises(ConfigError, match='objective was "val_accuracy" and is "val_loss"'):
        database.join(storage, "it", plan("lr=0.1,1", objective="val_loss"))
    database.join(storage, "grid", plan("lr=0.1,1", "momentum=0,0.9"))
    order = r'order was \["lr", "momentum"\] and is \["momentum", "lr"\]'
    with pytest.raises(ConfigError, match=order):  # its trials would be other cells
        database.join(storage, "grid", plan("momentum=0,0.9", "lr=0.1,1"))
    optuna.create_study(storage=storage, study_name="not ours").ask()
    with pytest.raises(ConfigError, match="is none of fastcnn's"):
        database.join(storage, "not ours", plan("lr=0.1,1"))


def test_a_search_that_another_process_is_beginning_is_waited_for(tmp_path, monkeypatch):
    """Its study is there, its plan comes, then its trials: at any moment it is known as ours."""
    storage = database.connect(database.default_url(tmp_path))
    own = plan("lr=0.1,1")
    database.join(storage, "model", own)
    identity = optuna.load_study(study_name="model", storage=storage).user_attrs
    optuna.create_study(storage=storage, study_name="it")
    looked = []

    def begin(self, deepcopy=True, states=None):
        looked.append(get_trials(self, deepcopy=False))
        if len(looked) == 2:  # between the two things that are read
            for key, value in identity.items():
                self.set_user_attr(key, value)
            self.enqueue_trial({"lr": 0.1})
        return looked[-1]

    get_trials = optuna.Study.get_trials
    monkeypatch.setattr(optuna.Study, "get_trials", begin)
    database.join(storage, "it", own)
    assert len(looked) == 2
    monkeypatch.setattr(optuna.Study, "get_trials", get_trials)
    with pytest.raises(ConfigError, match="other settings"):
        database.join(storage, "it", plan("lr=0.1,2"))


def test_who_was_held_meanwhile_looks_once_more_for_the_plan(tmp_path, monkeypatch):
    storage = database.connect(database.default_url(tmp_path))
    study, now = optuna.create_study(storage=storage, study_name="it"), [0.0]

    def held(self, deepcopy=True, states=None):
        now[0] += 3600
        if now[0] > 3600:  # while this process was held, the other has written its plan
            study.set_user_attr(database._PLAN, {"trials": 2})
        return []

    monkeypatch.setattr(optuna.Study, "get_trials", held)
    clock = types.SimpleNamespace(monotonic=lambda: now[0], sleep=lambda _: None)
    monkeypatch.setattr(database, "time", clock)
    assert database._plan_of(study) == {"trials": 2}


def test_a_study_whose_maker_stopped_before_its_plan_is_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "_BEGINNING", 0.1)
    url = database.default_url(tmp_path)
    storage = database.connect(url)
    optuna.create_study(storage=storage, study_name="it")
    assert database.begun(url, "it") is None
    database.join(storage, "it", plan("lr=0.1,1"))
    assert database.begun(url, "it") is not None
    with pytest.raises(ConfigError, match="other settings"):
        database.join(storage, "it", plan("lr=0.1,2"))


@pytest.mark.parametrize(
    "error",
    [StorageInternalError("gone"), sqlalchemy.exc.OperationalError("", {}, OSError("gone"))],
    ids=["optuna", "sqlalchemy"],
)
def test_a_database_that_fails_later_is_told_in_words(error):
    sentence = r"the database sqlite:///x\.db cannot be used: gone"
    with pytest.raises(OSError, match=sentence), database.in_words("sqlite:///x.db"):
        raise error


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("nonsense", "must be given as a URL"),
        ("sqlite:////no/such/folder/x.db", "cannot be used: unable to open"),
        ("postgresql+nosuch://someone:secret@host/x", r"someone:\*\*\*@host/x cannot be used"),
    ],
)
def test_refused_databases(url, sentence):
    with pytest.raises(ConfigError, match=sentence) as refused:
        database.connect(url)
    assert "secret" not in str(refused.value)
