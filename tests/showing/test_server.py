"""The page's questions and answers, and who may ask."""

import base64
import json
import random
import re
import socket
from pathlib import Path

import numpy as np
import pytest

from fastcnn import Graph, Input, Sequential, datasets
from fastcnn.demo import main
from fastcnn.explaining import explain
from fastcnn.gallery.analysis import layer_outputs
from fastcnn.layers import Conv2D, Dense, Flatten, MaxPool2D, ReLU
from fastcnn.losses import CrossEntropyLoss
from fastcnn.runs.saved import Saved

pytest.importorskip("starlette", reason="the page needs Starlette: pip install '.[demo]'")
pytest.importorskip("uvicorn")
from starlette.testclient import TestClient

from fastcnn.showing import guard, server
from fastcnn.showing.shown import Shown

PORT = 8123
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("demo") / "model.npz"
    model = Sequential(
        Conv2D(1, 4, 3, padding=1), ReLU(), MaxPool2D(2), Flatten(), Dense(784, 10),
        input_shape=(1, 28, 28), seed=1,
    )  # fmt: skip
    model.loss = CrossEntropyLoss()
    model.save(path)
    return Saved(path)


@pytest.fixture(scope="module")
def data():
    return datasets.load("digits").limit(300, 40)


@pytest.fixture(scope="module")
def application(saved, data):
    return server.application(Shown(saved.model, data, saved.name), PORT)


@pytest.fixture
def client(application, monkeypatch):
    monkeypatch.setattr(application, "_left", 1e9)
    monkeypatch.setattr(guard, "_AT_ONCE", 1e9)
    return TestClient(application, base_url=f"http://127.0.0.1:{PORT}")


def drawn(pixels: np.ndarray, **more) -> dict:
    text = base64.b64encode(pixels.astype(np.uint8).tobytes()).decode()
    return {"drawing": text, "side": len(pixels), **more}


def is_chinese(sentence: str) -> bool:
    return bool(re.search("[\u4e00-\u9fff]", sentence))


def decoded(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.uint8)


# --- what is answered ---------------------------------------------------------------------------


def test_an_answer_is_what_the_layers_compute(client, saved, data):
    told = client.post("/answer", json={"image": 7}).json()
    x = data.x_test[7:8]
    assert told["probabilities"] == [float(each) for each in saved.model.predict_proba(x)[0]]
    assert told["label"] == data.y_test[7]
    np.testing.assert_array_equal(decoded(told["seen"]), x.ravel())
    outputs = layer_outputs(saved.model, x)
    assert list(told["layers"]) == [place.path for place, _ in outputs]
    for place, y in outputs:
        found = told["layers"][place.path]
        low, high = found["low"], found["high"]
        assert (low, high) == (float(y[0].min()), float(y[0].max()))
        values = low + decoded(found["values"]) * (high - low) / 255
        wanted = y[0].ravel()[: values.size]
        np.testing.assert_allclose(values, wanted, atol=(high - low) / 509)


def test_a_number_is_the_layers_to_the_bit(client, saved, data):
    question = {"image": 3, "layer": "0", "at": [2, 5, 9], "label": 4}
    told = client.post("/number", json=question).json()
    wanted = explain(saved.model, data.x_test[3:4], "0", (2, 5, 9), 4)
    assert (told["value"], told["gradient"]) == (wanted.value, wanted.gradient)
    assert told["value"] == layer_outputs(saved.model, data.x_test[3:4])[0][1][0, 2, 5, 9]
    assert (told["total"], told["constant"]) == (wanted.total, wanted.constant)
    assert len(told["terms"]) == told["count"] == len(wanted.terms)
    products = [term["product"] for term in told["terms"]]
    assert sorted(products) == sorted(term.product for term in wanted.terms)
    assert [abs(each) for each in products] == sorted(map(abs, products), reverse=True)
    assert told["sources"][0].startswith("kernels/loop.py:")


def test_the_nearest_is_the_image_itself(saved, data):
    shown = Shown(saved.model, data, saved.name)
    shown._features(None)[5] = shown._before_the_last(data.x_test[:1])[0]
    first = shown.answer({"image": 0})["nearest"][0]
    assert (first["distance"], first["label"]) == (0.0, int(data.y_train[5]))


def test_drawings_are_scaled_and_centred(client):
    pad = np.zeros((140, 140))
    pad[20:80, 10:20] = pad[20:30, 10:50] = 255
    here = client.post("/answer", json=drawn(pad, centred=True)).json()
    moved = client.post("/answer", json=drawn(np.roll(pad, (40, 70), (0, 1)), centred=True)).json()
    plain = client.post("/answer", json=drawn(pad)).json()
    assert here["seen"] == moved["seen"] != plain["seen"]
    assert "label" not in here
    rows = np.flatnonzero(decoded(here["seen"]).reshape(28, 28).any(axis=1))
    assert rows[-1] + 1 - rows[0] == 20
    np.testing.assert_array_equal(
        decoded(plain["seen"]).reshape(28, 28), pad.reshape(28, 5, 28, 5).mean(axis=(1, 3))
    )


def test_the_page_is_all_here(client):
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    texts = {
        name: client.get(name).text for name in re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
    }
    assert set(texts) == {
        "/page.css", "/page.js", "/live.js", "/moments.js", "/number.js", "/save.js",
        "/words.js",
    }  # fmt: skip
    assert not re.search(r"https?://|//\w+\.\w", "".join([page.text, *texts.values()]))
    words = texts["/words.js"]
    english, chinese = (
        set(re.findall(r"(?:^    |, )(\w+): \"", words[slice(*part)], re.MULTILINE))
        for part in ((0, words.index("zh: {")), (words.index("zh: {"), words.index("kinds")))
    )
    assert english == chinese
    used = set(re.findall(r'data-(?:word|label)="(\w+)"', page.text))
    scripts = "".join(text for name, text in texts.items() if name.endswith(".js"))
    used |= set(re.findall(r'(?:word|told)\("(\w+)"', scripts))
    assert used <= english
    assert {"sum", "curve", "padHow"} <= used


def test_a_graph_is_shown_but_its_numbers_are_not_explained(data):
    x = Input((1, 28, 28))
    flat = Flatten()(x)
    model = Graph(x, Dense(784, 10)(flat) + Dense(784, 10)(flat), seed=2)
    shown = Shown(model, data, "branches")
    assert shown.about()["explains"] is False
    told = shown.answer({"image": 0})
    assert told["probabilities"] == [float(p) for p in model.predict_proba(data.x_test[:1])[0]]
    away = model.predict_logits(data.x_train) - model.predict_logits(data.x_test[:1])
    nearest = np.sqrt((away**2).sum(axis=1)).min()
    assert told["nearest"][0]["distance"] == pytest.approx(nearest, rel=1e-5)
    with pytest.raises(ValueError, match="where layers stand in a row"):
        shown.number({"image": 0, "layer": "0", "at": [0]})


def test_the_usual_port_is_not_named():
    asked = guard.Guard(None, 80)._refusal({"host": b"127.0.0.1"}, "GET", "/")  # type: ignore[arg-type]
    assert asked is None


# --- what is refused ----------------------------------------------------------------------------

WRONG = [
    ("/answer", {}, "side must be 8 to 280, got None"),
    ("/answer", {"image": 40}, "image must be 0 to 39, got 40"),
    ("/answer", {"image": True}, "image must be 0 to 39, got True"),
    ("/answer", {"image": "../../etc/passwd"}, "image must be 0 to 39"),
    ("/answer", {"side": 9, "drawing": "AAAA"}, "a drawing of side 9 has 81 pixels, got 3"),
    ("/answer", {"side": 9, "drawing": "no!"}, "drawing must be the pixels in base64"),
    ("/answer", {"side": 9, "drawing": None}, "drawing must be the pixels in base64"),
    ("/answer", drawn(np.zeros((9, 9)), centred=True), "nothing is drawn"),
    ("/answer", [], "a request is a JSON object"),
    ("/answer", {"image": 0, "moment": 3}, "moment must be one that is kept, got 3"),
    ("/filters", {"moment": "0"}, "moment must be one that is kept, got '0'"),
    ("/number", {"image": 0}, "layer must be a layer's name, got None"),
    ("/number", {"image": 0, "layer": "9", "at": [0]}, "no layer '9'"),
    ("/number", {"image": 0, "layer": "0", "at": [0, 0]}, "gives numbers 0,0,0 to 3,27,27"),
    ("/number", {"image": 0, "layer": "0", "at": [0, 0, 1.5]}, "a list of whole numbers"),
    ("/number", {"image": 0, "layer": "0", "at": [0, 0, 0], "label": -1}, "label must be 0 to 9"),
]


@pytest.mark.parametrize(("path", "question", "sentence"), WRONG)
def test_a_wrong_question_is_answered_in_a_sentence(client, path, question, sentence):
    response = client.post(path, json=question)
    assert response.status_code == 400
    assert sentence in response.json()["error"]
    assert is_chinese(response.json()["zh"])


def test_other_places_are_refused(client):
    for headers, status in [
        ({"host": "evil.example"}, 403),
        ({"host": f"evil.example:{PORT}"}, 403),
        ({"host": "127.0.0.1:1"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": f"https://127.0.0.1:{PORT}"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": f"http://127.0.0.1:{PORT}", "sec-fetch-site": "same-origin"}, 200),
        ({"host": f"localhost:{PORT}"}, 200),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-length": "9" * 30}, 413),
    ]:
        response = client.post("/answer", content=b'{"image": 0}', headers={**JSON, **headers})
        assert response.status_code == status, headers
        assert response.headers["x-content-type-options"] == "nosniff"
        assert status == 200 or is_chinese(response.json()["zh"])
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get("/", headers=link).status_code == 200
    assert client.get("/about", headers=link).status_code == 403
    parts = (b" " * 10_000 for _ in range(20))  # of a length that is not told
    assert client.post("/answer", content=parts, headers=JSON).status_code == 413


PATHS = [
    "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/page/../shown.py", "/answer/",
    "/about%00", "/" + "a" * 5000, "/server.py", "/.git/config",
]  # fmt: skip
TEXTS = [b"[" * 50_000, b'{"a":' * 9000, b"1" * 9000, b"NaN", b"", b"\xff\xfe"]
ODD = [
    None, -1, 10**30, 1e308, True, "0", [], {}, "x" * 9000, [[]], [-1, 0, 0], [10**30] * 3,
]  # fmt: skip
GOOD = json.dumps({"image": 1, "layer": "0", "at": [0, 1, 2], "label": 3}).encode()


def hostile(dice: random.Random) -> tuple[str, str, dict]:
    """Method, path and what goes with them."""
    kind = dice.randrange(6)
    if kind == 0:
        method = dice.choice(["GET", "PUT", "POST", "OPTIONS"])
        return method, dice.choice(PATHS), {"headers": JSON, "content": b"{}"}
    if kind == 1:
        return dice.choice(["PUT", "DELETE", "PATCH", "TRACE", "HEAD", "GET"]), "/answer", {}
    if kind == 2:
        cut = bytearray(GOOD[: dice.randrange(len(GOOD))])
        for _ in range(dice.randrange(1, 9)):
            cut.insert(dice.randrange(len(cut) + 1), dice.randrange(256))
        return "POST", "/answer", {"headers": JSON, "content": bytes(cut)}
    if kind == 3:
        return "POST", "/number", {"headers": JSON, "content": dice.choice(TEXTS)}
    if kind == 4:
        names = ("image", "layer", "at", "label", "side")
        return "POST", "/number", {"json": {name: dice.choice(ODD) for name in names}}
    host = "".join(dice.choice("abc.:@/127") for _ in range(12))
    return "GET", "/about", {"headers": {"host": host}}


def test_hostile_requests_do_nothing(client):
    """A thousand, of every kind: each refused with a sentence, and the next answer is the same."""
    dice = random.Random(0)
    before = client.post("/answer", json={"image": 1}).content
    seen = set()
    for _ in range(1000):
        method, path, more = hostile(dice)
        response = client.request(method, path, follow_redirects=False, **more)
        seen.add(response.status_code)
        assert 400 <= response.status_code < 500, (method, path, more)
        assert len(response.content) < 400
        if method != "HEAD":
            assert response.json()["error"], (method, path, more)
            assert is_chinese(response.json()["zh"]), response.json()
    assert {400, 403, 404, 405} <= seen
    assert client.post("/answer", json={"image": 1}).content == before


def test_too_many_requests_wait(saved, data):
    now, evil = [0.0], {"origin": "http://evil.example"}
    limited = guard.Guard(
        server.application(Shown(saved.model, data, saved.name), PORT)._app, PORT, lambda: now[0]
    )
    client = TestClient(limited, base_url=f"http://localhost:{PORT}")
    assert {client.get("/words.js", headers=evil).status_code for _ in range(5)} == {403}
    answers = [client.get("/words.js").status_code for _ in range(205)]
    assert answers == [200] * 200 + [429] * 5
    now[0] += 0.03  # three more may be asked
    assert [client.get("/words.js").status_code for _ in range(4)] == [200, 200, 200, 429]


# --- the command --------------------------------------------------------------------------------


def test_the_command_refuses_in_a_sentence(saved, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with socket.socket() as taken:
        taken.bind((server.HOST, 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for words, sentence in [
            ([], "there is no run in runs/: train one"),
            ([str(saved.path)], "does not say on which images: give --dataset"),
            ([str(saved.path), "--port", port], f"port {port} cannot be had: Address already"),
            ([str(saved.path), "--port", "70000"], "port 70000 cannot be had: a port is 1 to"),
        ]:
            assert main(words) == 2
            said = capsys.readouterr().err
            assert said.startswith("error: ") and sentence in said and said.count("\n") == 1
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main([str(saved.path)]) == 2
    assert "needs starlette and uvicorn: pip install '.[demo]'" in capsys.readouterr().err


def test_the_newest_run_is_shown(monkeypatch, tmp_path):
    import os

    from fastcnn.commands import demo

    monkeypatch.chdir(tmp_path)
    for age, name in enumerate(("new", "old")):
        (Path("runs") / name).mkdir(parents=True)
        (Path("runs") / name / "best.npz").touch()
        os.utime(Path("runs") / name / "best.npz", (100 - age, 100 - age))
    assert demo._newest() == Path("runs/new")
