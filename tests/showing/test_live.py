"""A network in training, watched and broken on purpose."""

import base64
import threading
import time

import numpy as np
import pytest

from fastcnn import datasets
from fastcnn.config import presets

pytest.importorskip("starlette", reason="the page needs Starlette: pip install '.[demo]'")
pytest.importorskip("uvicorn")
from starlette.testclient import TestClient

from fastcnn.commands.demo import main
from fastcnn.showing import server
from fastcnn.showing.live import STARTS, Live

PORT = 8124


@pytest.fixture
def live():
    data = datasets.load("digits").limit(320, 40)
    settings = {"model": "mnist-baseline", "dataset": "digits", "batch_size": 32, "lr": 0.05}
    shown = Live(presets.configure(settings), data)
    try:
        yield shown
    finally:
        shown.end()
        assert not shown._thread.is_alive()


@pytest.fixture
def client(live):
    return TestClient(server.application(live, PORT), base_url=f"http://127.0.0.1:{PORT}")


def after(live: Live, step: int) -> dict:
    """The state once so many steps are made, or more: it does not wait for who watches."""
    while (state := live.state())["step"] < step and state["failed"] is None:
        assert live._thread.is_alive()
        time.sleep(0.005)
    return state


def steps(live: Live, count: int) -> dict:
    """The state after so many steps and no more."""
    for _ in range(count):
        live.control({"step": True})
    while live._steps_wanted:  # it takes one with its turn, and `state` waits for that
        assert live._thread.is_alive() and live.state()["failed"] is None
        time.sleep(0.005)
    return live.state()


def test_it_waits_steps_goes_and_waits(live, client, monkeypatch):
    monkeypatch.setattr("fastcnn.showing.live._POINTS", 10**9)  # it may make any number of steps
    assert client.get("/live").json()["step"] == 0
    assert client.get("/about").json()["starts"] == list(STARTS)
    client.post("/control", json={"step": True})
    state = after(live, 1)
    time.sleep(0.05)
    assert live.state()["step"] == 1 and not state["going"]
    assert client.post("/control", json={"going": True}).json()["going"]
    after(live, 40)
    client.post("/control", json={"going": False})
    state = client.get("/live").json()
    time.sleep(0.05)
    assert live.state()["step"] == state["step"] >= 40
    assert state["epoch"] == state["step"] / 10
    assert [step for step, _ in state["losses"]] == list(range(1, state["step"] + 1))
    assert state["losses"][-1][1] < state["losses"][0][1]
    assert state["accuracies"][-1][1] > state["accuracies"][0][1]
    assert [name for name, _ in state["gradients"]] == ["Conv 1", "Conv 2", "Dense 1", "Dense 2"]
    assert client.post("/filters", json={}).json()["filters"]["shape"] == [8, 3, 3]


def test_no_step_is_made_after_it_was_told_to_pause(live, monkeypatch):
    """Not even one for which it was waiting for its turn."""
    waiting, may_go, over = threading.Event(), threading.Event(), threading.Event()

    class Turn:
        """Has the training wait before it takes its turn."""

        def __enter__(self):
            if threading.current_thread() is live._thread:
                waiting.set()
                may_go.wait()
            turn.acquire()

        def __exit__(self, *_):
            turn.release()
            if threading.current_thread() is live._thread:
                over.set()

    turn = live.turn
    monkeypatch.setattr(live, "turn", Turn())
    live.control({"going": True})
    waiting.wait()
    live.control({"going": False})
    may_go.set()
    over.wait()
    assert live.state()["step"] == 0


def test_its_steps_are_those_of_training(live):
    """The same batches, through the same layers and optimizer, by hand."""
    from fastcnn.config.recipe import make_method

    twin, method, data = live._new(live.data), make_method(live._config), live.data
    assert steps(live, 12)["step"] == 12
    for step in range(12):
        rows = live._rows(step // 10)[step % 10 * 32 : (step % 10 + 1) * 32]
        twin.set_clock(step // 10, step % 10)
        method.loss.forward(twin.forward(data.x_train[rows], training=True), data.y_train[rows])
        twin.backward(method.loss.backward(), input_gradient=False)
        method.clipping.shorten(twin)
        method.optimizer.step(twin)
    for (name, ours), (_, theirs) in zip(
        live.model.named_arrays(), twin.named_arrays(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs, name)


def test_it_can_be_looked_at_as_it_was(live, client):
    first = client.post("/answer", json={"image": 1}).json()
    steps(live, 30)
    now = client.post("/answer", json={"image": 1}).json()
    assert now["probabilities"] != first["probabilities"]
    moments = live.state()["moments"]
    assert moments[:3] == [0, 1, 2]
    assert client.post("/answer", json={"image": 1, "moment": 0}).json() == first
    question = {"image": 1, "layer": "0", "at": [0, 9, 9], "moment": 0, "label": 3}
    then = client.post("/number", json=question).json()
    question.pop("moment")
    assert then["value"] != client.post("/number", json=question).json()["value"]
    assert client.post("/answer", json={"image": 1}).json() == now  # it is as it was
    wrong = client.post("/answer", json={"image": 1, "moment": [7]})
    assert (wrong.status_code, wrong.json()["error"][:6]) == (400, "moment")


def test_few_moments_are_kept_of_a_long_training(live, monkeypatch):
    monkeypatch.setattr("fastcnn.showing.live._MOMENTS", 6)
    live.control({"going": True})
    after(live, 40)
    live.control({"going": False})
    moments = live.state()["moments"]
    assert len(moments) <= 6 and moments[0] == 0 and moments == sorted(moments)


def test_it_can_be_broken(live, client):
    live.control({"start": "own"})
    base = live.filters({})["filters"]
    live.control({"start": "small"})
    small = live.filters({})["filters"]
    assert small["high"] == pytest.approx(base["high"] / 100)
    with live.turn:  # no step is made meanwhile
        dead = live.control({"start": "dead", "step": True})
    assert dead["step"] == 0
    state = after(live, 1)
    assert [length for _, length in state["gradients"]] == [0.0] * 4
    assert state["losses"][0][1] == pytest.approx(np.log(10), abs=0.01)
    live.control({"shuffles": False, "start": "own"})
    labels = live.data.y_train[live._rows(0)]
    np.testing.assert_array_equal(labels, np.sort(labels))
    live.control({"rate": 1e6, "going": True})
    state = after(live, 500)
    assert state["failed"]["loss"] in ("nan", "inf") and not state["going"]
    response = client.post("/answer", json={"image": 1})
    assert (response.status_code, response.json()["error"]) == (
        200, "the network's numbers are no longer finite",
    )  # fmt: skip
    live.control({"rate": 0.05})
    again = client.post("/control", json={"start": "own", "going": True}).json()
    assert again["failed"] is None
    assert len(base64.b64decode(live.filters({})["filters"]["values"])) == 72


def test_the_rate_is_the_one_that_is_set(live):
    question = {"image": 1, "layer": "0", "at": [0, 9, 9]}
    assert live.number(question)["rate"] == live.state()["rate"] == 0.05
    live.control({"rate": 0.003})
    live.control({"start": "small"})
    assert live.number(question)["rate"] == live.about()["rate"] == live.state()["rate"] == 0.003


def test_a_step_that_fails_is_told_and_does_not_end_it(live, monkeypatch):
    def fails(*_, **__):
        raise MemoryError("no room for 3 bytes")

    with monkeypatch.context() as broken:
        broken.setattr(live._method.optimizer, "step", fails)
        live.control({"going": True})
        state = after(live, 10)
    assert (state["failed"], state["going"]) == (
        {
            "error": "the training has failed: no room for 3 bytes",
            "zh": "训练中断：no room for 3 bytes",
        },
        False,
    )
    live.control({"start": "own", "going": True})
    assert after(live, 3)["failed"] is None


def test_curves_end_with_the_last_step(live, monkeypatch):
    monkeypatch.setattr("fastcnn.showing.live._POINTS", 7)
    live._losses = [float(k) for k in range(17)]
    live._accuracies = [(k, k / 17) for k in range(17)]
    state = live.state()
    assert state["losses"] == [[1, 1.0], [4, 4.0], [7, 7.0], [10, 10.0], [13, 13.0], [16, 15.5]]
    assert state["loss"] == 16.0
    assert [step for step, _ in state["accuracies"]] == [0, 3, 6, 9, 12, 15, 16]


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({}, "what can be done is going, rate"),
        ({"rates": 1}, "what can be done is going, rate"),
        ({"rate": -1}, "rate must be 0 to 1e+06, got -1"),
        ({"rate": "1"}, "rate must be 0 to 1e+06, got '1'"),
        ({"rate": float("inf")}, "rate must be 0 to 1e+06, got inf"),
        ({"going": 1}, "going must be true or false, got 1"),
        ({"start": "he"}, "start must be one of own, small, dead, got 'he'"),
        ({"start": ["own"]}, "start must be one of own, small, dead, got"),
    ],
)
def test_what_cannot_be_done_is_refused(live, wanted, sentence):
    with pytest.raises(ValueError, match=sentence.replace("+", r"\+")):
        live.control(wanted)
    assert live.state()["step"] == 0


def test_options_of_live_alone(capsys):
    assert main(["runs/none", "--model", "lenet5"]) == 2
    assert "--model is for a network in training: give --live too" in capsys.readouterr().err
    assert main(["--live", "--model", "lennet"]) == 2
    assert "did you mean" in capsys.readouterr().err
