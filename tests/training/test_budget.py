"""A budget of time: by a clock of the test's own, and by the real one."""

import numpy as np
import pytest

from fastcnn import Sequential, schedules, train
from fastcnn.layers import Dense
from fastcnn.training import budget
from fastcnn.training.budget import Budget, ByTime

X = np.random.default_rng(0).normal(size=(600, 5)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(budget, "time", self)

    def monotonic(self):
        return self.now

    def thread_time(self):
        return 0.5 * self.now  # half of a processor


class Ticking(Clock):
    """Time that passes when somebody looks: real time jumps on a busy machine."""

    def monotonic(self):
        self.now += 0.0005
        return self.now


def simulated(clock, minutes, step, measuring, steps=100, spent=0.0, guess=None):
    """(end, rates) of a run whose steps take `step(time since the start)` seconds."""
    started = clock.now
    length = ByTime(Budget(minutes, started), spent, measuring if guess is None else guess, 0)
    schedule = schedules.Warmup(schedules.CosineAnnealing(), 0.01).by_step()
    finished, rates = 0, []
    while not length.is_over(finished):
        length.begin_epoch()
        done, whole = 0, steps
        while done < whole:
            epochs = length.epochs(finished + done / steps, steps)
            rates.append(schedule.step_rate(1.0, finished, epochs, done, steps))
            clock.now += step(clock.now - started)
            done += 1
            if length.ends_after_step():
                break
            if done == whole and length.extends(steps):
                whole += steps
        clock.now += measuring
        length.end_epoch()
        finished += 1
    return clock.now - started, rates


@pytest.mark.parametrize("measuring", [0.0, 0.3, 4.0])
@pytest.mark.parametrize("minutes", [1, 5])
@pytest.mark.parametrize(
    "step",
    [
        lambda now: 0.01,
        lambda now: 0.5,
        lambda now: 0.01 if now < 30 else 0.03,  # a neighbour begins to compute
        lambda now: 0.03 if now < 30 else 0.01,
        lambda now: 0.02 * (1 + (now * 7.3 % 1 > 0.5)),
        lambda now: 6.0 if now == 0 else 0.01,  # the first step compiles
    ],
)
def test_the_run_ends_in_time_and_the_schedule_with_it(monkeypatch, minutes, step, measuring):
    took, rates = simulated(Clock(monkeypatch), minutes, step, measuring)
    assert abs(took - 60 * minutes) < 0.03 * 60 * minutes
    assert rates[-1] < 0.03
    assert max(np.diff(rates[10:])) < 0.05  # it falls, whatever the speed
    assert rates[len(rates) // 10] > 0.8


def test_what_comes_after_training_takes_longer_beside_others(monkeypatch):
    clock = Clock(monkeypatch)
    length = ByTime(Budget(1, clock.now, reserve=2.0), 0.0, 0.0, 0)
    end = clock.now + 60
    while not length.ends_after_step():
        clock.now += 0.1
    assert 3.9 < end - clock.now < 4.2


def test_what_is_not_known_of_measuring_is_learned(monkeypatch):
    took, _ = simulated(Clock(monkeypatch), 1, lambda now: 0.02, 2.0, guess=0.0)
    assert abs(took - 60) < 1.8


def test_the_time_of_an_earlier_process_counts(monkeypatch):
    clock = Clock(monkeypatch)
    took, rates = simulated(clock, 1, lambda now: 0.1, 0.1, spent=40.0)
    assert 19 < took < 21 and rates[2] < 0.5
    assert simulated(clock, 1, lambda now: 0.1, 0.0, spent=70.0)[0] < 1


def model():
    return Sequential(Dense(5, 2), seed=1)


def test_minutes_instead_of_epochs(tmp_path, monkeypatch):
    clock, path = Ticking(monkeypatch), tmp_path / "last.npz"
    started = clock.now
    history = model().train(X, Y, minutes=0.01, schedule="cosine", checkpoint_path=path)
    assert abs(clock.now - started - 0.6) < 0.02
    assert history.stopped_because == "time is up" and history.epochs > 1
    assert min(history["steps"]) >= 1 and history["lr"][-1] < 0.05 * history["lr"][0]
    same = {"minutes": 0.01, "schedule": "cosine", "resume_from": path}
    again = model().train(X, Y, **same)
    assert sum(again["steps"]) < 2 * sum(history["steps"])  # what saving took is left
    assert again.stopped_because == "time is up"
    more = model().train(X, Y, **same | {"minutes": 0.02})
    assert more.epochs > history.epochs
    with pytest.raises(ValueError, match=r"had minutes 0\.01, now None"):
        model().train(X, Y, epochs=500, schedule="cosine", resume_from=path)


def test_other_ends_come_first():
    history = model().train(X, Y, minutes=5, patience=1, validation=0.2, optimizer="adam", seed=1,
                            should_stop=lambda: False, min_gain=10)  # fmt: skip
    assert history.stopped_because == "early stopping" and history.epochs == 2


@pytest.mark.parametrize("minutes", [0, -1, True, float("nan"), float("inf"), "5"])
def test_what_is_no_time_is_refused(minutes):
    with pytest.raises(ValueError, match="minutes must be a finite number above 0"):
        model().train(X, Y, minutes=minutes)


@pytest.mark.usefixtures("undrawn")
def test_the_command_takes_minutes(tmp_path, capsys):
    import json

    words = ["--dataset", "digits", "--limit-train", "300", "--limit-test", "50"]
    assert train.main([*words, "--minutes", "0"]) == 2
    assert "minutes must be above 0" in capsys.readouterr().err
    assert train.main([*words, "--minutes", "0.08", "--out", str(tmp_path / "run")]) == 0
    assert "s of 4.8 s since the start" in capsys.readouterr().out
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["stopped_because"] == "time is up" and result["steps"] >= 1
    assert (tmp_path / "run" / "history.csv").read_text().splitlines()[0].endswith(",steps,elapsed")
    assert train.main(["--resume", "--out", str(tmp_path / "run")]) == 0
