"""`python -m fastcnn.convert`: what it writes is what it read, and what it refuses it says."""

from pathlib import Path

import numpy as np
import pytest

from fastcnn import Sequential, exchange, load_model, models
from fastcnn.commands import convert
from fastcnn.layers import BatchNorm, Conv2D, Dense, Flatten, ReLU

pytest.importorskip("onnx")
pytest.importorskip("safetensors")

X = np.random.default_rng(0).normal(size=(3, 1, 6, 5)).astype(np.float32)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    row = Conv2D(1, 2, 3, padding=1), BatchNorm(2), ReLU(), Flatten(), Dense(60, 4)
    model = Sequential(*row, input_shape=(1, 6, 5), class_names="abcd")
    model.forward(X, training=True)
    model.save(tmp_path / "a.npz")
    return tmp_path / "a.npz"


def test_around_all_formats(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected, names = load_model(file).forward(X), [file]
    for name in ("b.onnx", "c.safetensors", "d.onnx", "e.npz"):
        names.append(file.with_name(name))
        assert convert.main([str(names[-2]), str(names[-1])]) == 0
    again = load_model(names[-1])
    np.testing.assert_array_equal(again.forward(X), expected)
    assert again.class_names == tuple("abcd") and again.input_shape == (1, 6, 5)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[0] == (
        f"written: {names[1]}, a Sequential for (1, 6, 5) of 5 layers with 272 numbers"
    )


def test_folded_and_with_pixels(file: Path) -> None:
    target = file.with_name("b.onnx")
    assert convert.main(["--fold", str(file), str(target), "--takes", "pixels"]) == 0
    model = exchange.load_onnx(target)
    assert not any(isinstance(layer, BatchNorm) for layer in model.layers)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 1, 6, 5)).astype(np.uint8)
    expected = load_model(file).forward(pixels)
    np.testing.assert_allclose(model.forward(pixels), expected, rtol=1e-4, atol=1e-5)


def test_arrays_for_a_network_that_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "a.safetensors", tmp_path / "b.npz"
    exchange.save_safetensors(models.build("lenet5", seed=7), source, layout="torch")
    assert convert.main([str(source), str(target), "--model", "lenet5"]) == 0
    assert capsys.readouterr().out.startswith("10 arrays by name:\n  0.weight")
    again = load_model(target)
    for name, array in models.build("lenet5", seed=7).named_arrays():
        np.testing.assert_array_equal(array, dict(again.named_arrays())[name])


def test_nothing_is_overwritten_unless_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = file.with_name("b.npz")
    target.write_text("mine")
    assert convert.main([str(file), str(target)]) == 2
    assert "b.npz is there already: give another name, or --replace" in capsys.readouterr().err
    assert target.read_text() == "mine"
    assert convert.main([str(file), str(target), "--replace"]) == 0
    assert convert.main([str(file), str(file), "--replace"]) == 2
    assert "is read by this command, and would be lost" in capsys.readouterr().err


def test_what_is_refused(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = file.parent
    (folder / "a.keras").write_text("")
    (folder / "a.pt").write_text("")
    exchange.save_safetensors(load_model(file), folder / "t.safetensors", layout="torch")
    mistakes = [
        ([str(file)], "from what to what? name both: python -m fastcnn.convert run net.onnx"),
        ([f"{folder}/none.npz", f"{folder}/b.onnx"], "there is no run folder or file"),
        ([f"{folder}/a.keras", f"{folder}/b.onnx"], "the endings that are read: .npz, .onnx, .s"),
        ([str(file), f"{folder}/b.pt"], "written: .npz, .onnx, .safetensors; for PyTorch write"),
        ([str(file), f"{folder}/b.npz", "--fold"], "--fold is for .onnx files, not for .npz"),
        ([str(file), f"{folder}/b.npz", "--input-shape", "1", "6", "5"], "and here is none"),
        ([str(file), f"{folder}/b.onnx", "--model", "lenet5"], "leave out --model"),
        ([f"{folder}/a.pt", f"{folder}/b.npz"], "not what network they belong to: give it as --m"),
        ([f"{folder}/t.safetensors", f"{folder}/b.npz"], "does not say which layers it belongs"),
        ([str(file), f"{folder}/b.onnx", "--input-shape", "2", "6", "5"], "as the model says, not"),
        ([f"{folder}/t.safetensors", f"{folder}/b.npz", "--model", "lenet"], "did you mean"),
    ]
    for words, message in mistakes:
        assert convert.main(words) == 2, words
        out, err = capsys.readouterr()
        assert message in err and not out and err.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == [
        "a.keras", "a.npz", "a.pt", "t.safetensors"
    ]  # fmt: skip


@pytest.mark.parametrize("ending", [".npz", ".safetensors", ".onnx"])
def test_a_folder_is_made_and_one_that_cannot_be_is_refused(
    file: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnx")
    target = file.with_name("new") / "deep" / f"b{ending}"
    assert convert.main([str(file), str(target)]) == 0
    assert target.is_file()
    capsys.readouterr()
    assert convert.main([str(file), str(target / f"b{ending}")]) == 2
    assert "it is a file, not a folder" in capsys.readouterr().err


def test_no_folder_is_left_where_nothing_was_written(file: Path) -> None:
    pytest.importorskip("onnx")
    target = file.with_name("new") / "b.onnx"
    assert convert.main([str(file), str(target), "--input-shape", "2", "6", "5"]) == 2
    assert not target.parent.exists()


def test_states_of_pytorch(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch")
    module = exchange.to_torch(load_model(file))
    state, target = file.with_name("state.pt"), file.with_name("b.npz")
    torch.save({"epoch": 3, "state_dict": module.state_dict()}, state)
    assert convert.main([str(state), str(target), "--model", str(file)]) == 0
    np.testing.assert_array_equal(load_model(target).forward(X), load_model(file).forward(X))
    capsys.readouterr()
    torch.save(module, state)  # a pickle of anything is not read
    for content in (state.read_bytes(), b"", b"PK\3\4", b"\x80\x02."):
        state.write_bytes(content)
        assert convert.main([str(state), str(target), "--model", str(file), "--replace"]) == 2
        error = capsys.readouterr().err
        assert "holds no state" in error and error.count("\n") == 1
