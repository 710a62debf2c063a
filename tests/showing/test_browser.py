"""The page in a real Chromium: tested where FASTCNN_TEST_BROWSER is set, which needs its driver.

    python -m tests.showing.test_browser

prints how long the answers to a drawing took, in milliseconds.
"""

import http.client
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from fastcnn import load_model
from fastcnn.datasets import load
from fastcnn.gallery.analysis import layer_outputs

if __name__ != "__main__" and not os.environ.get("FASTCNN_TEST_BROWSER"):
    pytest.skip("FASTCNN_TEST_BROWSER is not set", allow_module_level=True)
webdriver = pytest.importorskip("selenium.webdriver")
axe = pytest.importorskip("axe_core_python")

SEVEN = ((0.3, 0.25), (0.7, 0.25), (0.6, 0.45), (0.5, 0.65), (0.45, 0.8))


def train(folder: Path) -> None:
    small = ["--dataset", "digits", "--epochs", "3", "--keep", "9", "--no-pictures", "--quiet"]
    command = [sys.executable, "-m", "fastcnn.train", *small, "--out", str(folder)]
    subprocess.run(command, check=True)


def start(*words):
    """The command, and the address that it prints."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "fastcnn.demo", *map(str, words)],
        stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "(Ctrl-C closes the page)" in line
    return process, line.split(": ", 1)[1].split()[0]


def end(process) -> None:
    process.terminate()
    process.communicate()
    assert process.returncode == 143


def browser(width: int = 1200, height: int = 1500):
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for word in ("headless=new", "no-sandbox", "disable-gpu", "no-first-run", "disable-quic",
                 "disable-background-networking", "disable-component-update", "disable-sync",
                 "lang=en", f"window-size={width},{height}"):  # fmt: skip
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    return webdriver.Chrome(options=options, service=service)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "run"
    train(folder)
    process, address = start(folder)
    driver = browser()
    try:
        driver.get(address)
        until(lambda: "That is right" in text(driver, "verdict"))
        yield driver, folder, address
    finally:
        driver.quit()
        end(process)


def until(condition):
    deadline = time.monotonic() + 200  # for a page in which something is missing
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def text(driver, name):
    return driver.find_element("id", name).text


def draw(driver):
    """A seven, with the mouse."""
    pad = driver.find_element("id", "pad")
    size = pad.rect["width"]
    steps = webdriver.ActionChains(driver, duration=60)
    steps.move_to_element_with_offset(
        pad, int((SEVEN[0][0] - 0.5) * size), int((SEVEN[0][1] - 0.5) * size)
    ).click_and_hold()
    for (x, y), (to_x, to_y) in itertools.pairwise(SEVEN):
        steps.move_by_offset(int((to_x - x) * size), int((to_y - y) * size))
    steps.release().perform()


def choose(driver, image):
    """A test image."""
    driver.find_element("id", "image").clear()
    driver.find_element("id", "image").send_keys(f"{image}\n")
    until(lambda: driver.execute_script(f"return state.answer && state.asked.image === {image}"))


def waited(driver) -> list[float]:
    """Milliseconds from each question to its answer, as the browser has them."""
    script = "return performance.getEntriesByName(location.origin + '/answer').map(e => e.duration)"
    return driver.execute_script(script)


def test_drawing_with_the_mouse_and_with_keys(page):
    driver, _, _ = page
    driver.find_element("id", "clear").click()
    until(lambda: text(driver, "verdict") == "Nothing is drawn yet.")
    draw(driver)
    until(lambda: text(driver, "verdict").startswith("It says"))
    assert len(driver.find_elements("css selector", "#nearest li")) == 5
    pad = driver.find_element("id", "pad")
    pad.send_keys(webdriver.Keys.DELETE)
    until(lambda: text(driver, "verdict") == "Nothing is drawn yet.")
    for _ in range(8):
        pad.send_keys(webdriver.Keys.ARROW_DOWN, " ")
    until(lambda: text(driver, "verdict").startswith("It says"))


def test_the_numbers_shown_are_those_of_the_layers(page):
    driver, folder, _ = page
    choose(driver, 7)
    image = load("digits").x_test[7:8]
    model = load_model(folder / "best.npz")
    shown = driver.find_elements("css selector", "#chances td.right")
    wanted = [f"{100 * each:.1f} %" for each in model.predict_proba(image)[0]]
    assert [each.text for each in shown] == wanted
    outputs = {place.path: y for place, y in layer_outputs(model, image)}
    canvas = driver.find_element("css selector", "#layers figure[data-path='0'] canvas")
    driver.execute_script("arguments[0].scrollIntoView()", canvas)
    webdriver.ActionChains(driver).move_to_element_with_offset(canvas, 20, 0).click().perform()
    until(lambda: text(driver, "explained") != "")
    number = driver.execute_script("return state.number")
    assert number["value"] == float(outputs["0"][(0, *number["at"])])
    assert f"{number['value']:.9g}" in text(driver, "explained")
    driver.set_window_size(600, 1500)
    at = webdriver.ActionChains(driver).move_to_element_with_offset(canvas, 20, 2)
    before = driver.execute_script(
        "let box = arguments[0].getBoundingClientRect(); "
        "return layouts.get('0').number(arguments[0].width * (0.5 + 20 / box.width), "
        "arguments[0].height * (0.5 + 2 / box.height))", canvas,
    )  # fmt: skip
    driver.execute_script("arguments[0].scrollIntoView(); state.number = null", canvas)
    at.click().perform()
    until(lambda: driver.execute_script("return state.number") is not None)
    assert driver.execute_script("return state.number.at") == before
    units = driver.find_element("css selector", "#layer option:last-child")
    units.click()
    driver.find_element("css selector", "#places input").send_keys(webdriver.Keys.ARROW_UP)
    driver.find_element("css selector", "#which button").click()
    until(lambda: driver.execute_script("return state.number.at.length") == 1)
    number = driver.execute_script("return state.number")
    assert number["value"] == float(list(outputs.values())[-1][0, number["at"][0]])


def test_the_slider_goes_back_through_the_training_and_keeps_the_drawing(page):
    driver, _, _ = page
    driver.find_element("id", "clear").click()
    draw(driver)
    until(lambda: text(driver, "verdict").startswith("It says"))
    inked = driver.execute_script("return ink.reduce((a, b) => a + b)")
    driver.execute_script("return explain('0', [1, 9, 9])")
    seen = "return [state.answer, state.filters, state.number].map(each => JSON.stringify(each))"
    now = driver.execute_script(seen)
    slider = driver.find_element("id", "moment")
    slider.send_keys(webdriver.Keys.HOME)
    until(lambda: text(driver, "moment-is") == "before the training")
    until(lambda: all(a != b for a, b in zip(driver.execute_script(seen), now, strict=True)))
    slider.send_keys(webdriver.Keys.ARROW_RIGHT)
    until(lambda: slider.get_attribute("aria-valuetext") == "after epoch 1")
    slider.send_keys(webdriver.Keys.END)
    until(lambda: text(driver, "moment-is") == "as it is used, of epoch 3")
    until(lambda: driver.execute_script(seen) == now)
    assert driver.execute_script("return ink.reduce((a, b) => a + b)") == inked > 0
    assert "python -m fastcnn.train --keep 20" in text(driver, "keep")


def test_what_one_sees_is_saved_by_the_browser(page, tmp_path):
    driver, folder, _ = page
    where = {"behavior": "allow", "downloadPath": str(tmp_path)}
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", where)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    choose(driver, 7)
    driver.execute_script("return explain('0', [1, 9, 9])")
    driver.find_element("id", "save-number").click()
    driver.find_element("id", "save-maps").click()
    names = {"conv1-1-9-9.txt", "maps.png"}
    until(lambda: names == {path.name for path in tmp_path.iterdir()})
    saved = (tmp_path / "conv1-1-9-9.txt").read_text("utf-8").splitlines()
    value = driver.execute_script("return digits(state.number.value)")
    assert "Test image 7" in saved and f"is {value}: the sum of" in "".join(saved)
    assert any(line.startswith("Channel\tRow\tColumn\tinput\tweight\tpro") for line in saved)
    with Image.open(tmp_path / "maps.png") as picture:
        assert picture.width > 400 and picture.height > 1000
        assert len(picture.convert("L").getcolors(256) or ()) > 50
    assert before == {path: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_nobody_is_left_out(page):
    driver, _, _ = page
    driver.execute_script(Path(axe.__file__).with_name("axe.min.js").read_text("utf-8"))
    found = "axe.run().then(result => arguments[0](result.violations.map(each => each.id)))"
    for width in (1200, 400):
        driver.set_window_size(width, 1500)
        for _ in range(2):  # in both languages
            driver.find_element("id", "language").click()
            assert driver.execute_async_script(found) == []
            wide = (
                "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert driver.execute_script(wide) == 0
    assert driver.execute_script("return document.documentElement.lang") == "en"


def test_nothing_leaves_the_machine_and_nothing_is_wrong(page):
    driver, _, address = page
    assert driver.get_log("browser") == []
    asked = set()
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked.add(message["params"]["request"]["url"])
    assert asked
    assert {url for url in asked if not url.startswith((address, "data:"))} == set()


def test_raw_paths_of_a_real_server(page):
    host = page[2].removeprefix("http://")
    for path in ("/../../etc/passwd", "//evil.example/", "/%2e%2e/%2e%2e/etc/passwd", "/.", "*"):
        connection = http.client.HTTPConnection(host)
        connection.putrequest("GET", path)
        connection.endheaders()
        response = connection.getresponse()
        assert response.status in (400, 404), path
        assert b"root:" not in response.read()
        connection.close()


def test_a_training_is_watched():
    process, address = start("--live", "--dataset", "digits", "--model", "mnist-baseline")
    driver = browser()
    try:
        driver.get(address)
        until(lambda: text(driver, "where").startswith("Step 0"))
        driver.find_element("id", "step").click()
        until(lambda: text(driver, "where").startswith("Step 1,"))
        driver.find_element("id", "going").click()
        until(lambda: driver.execute_script("return state.live.step > 60"))
        assert text(driver, "going") == "Pause"
        driver.find_element("id", "going").click()
        until(lambda: text(driver, "going") == "Go on")
        moment = driver.find_element("id", "moment")
        moment.send_keys(webdriver.Keys.HOME)
        until(lambda: text(driver, "moment-is") == "before the training")
        moment.send_keys(webdriver.Keys.END)
        until(lambda: text(driver, "moment-is") == "now")
        driver.execute_script("arguments[0].value = 0.123", driver.find_element("id", "rate"))
        polls = "return performance.getEntriesByName(location.origin + '/live').length"
        seen = driver.execute_script(polls)  # it is not written over, though it has lost the focus
        until(lambda: driver.execute_script(polls) > seen + 1)
        driver.find_element("css selector", "#control button[type=submit]").click()
        until(lambda: "rate 0.123" in text(driver, "where"))
        rate = driver.find_element("id", "rate")
        for value, ends in (
            ("1000000", lambda: "the steps were too large" in text(driver, "failed")),
            ("0.01", lambda: text(driver, "failed") == "" and driver.execute_script(
                "return state.live.step > 5")),
        ):  # fmt: skip
            rate.send_keys(webdriver.Keys.CONTROL, "a")
            rate.send_keys(f"{value}\n")
            until(lambda value=value: f"rate {value}" in text(driver, "where"))
            driver.find_element("id", "again").click()
            until(ends)
        driver.execute_script(Path(axe.__file__).with_name("axe.min.js").read_text("utf-8"))
        found = "axe.run().then(result => arguments[0](result.violations.map(each => each.id)))"
        assert driver.execute_async_script(found) == []
        assert driver.get_log("browser") == []
    finally:
        driver.quit()
        end(process)


def measure() -> None:
    """Print how long answers took."""
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        train(Path(place) / "run")
        process, address = start(Path(place) / "run")
        driver = browser()
        driver.get(address)
        time.sleep(1)
        for _ in range(10):
            draw(driver)
        times = waited(driver)
        print(
            f"{len(times)} answers: median {statistics.median(times):.1f} ms, "
            f"longest {max(times):.1f} ms"
        )
        driver.quit()
        end(process)


if __name__ == "__main__":
    measure()
