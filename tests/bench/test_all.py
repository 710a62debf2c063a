"""The page of all benchmarks: what stands on it, whatever a part says or fails of."""

import subprocess
import sys

import pytest

from bench import all as everything

TABLE = "| model | ratio |\n| --- | --- |\n| lenet5 | 2.1 |\n"


def test_the_page_has_tables_pictures_and_what_could_not_be_measured(tmp_path, monkeypatch, capsys):
    ran = []

    def run(words, env=None, **_):
        ran.append((words, env))
        place = words[words.index("--out") + 1] if "--out" in words else None
        if "bench.memory" in words:
            return subprocess.CompletedProcess(words, 2, "", "Traceback\nerror: needs PyTorch\n")
        files = f"\nwritten: {place}/threads.json, {place}/threads.png\n" if place else ""
        return subprocess.CompletedProcess(words, 0, TABLE + files, "")

    monkeypatch.setattr(subprocess, "run", run)
    parts = ["one-thread", "memory", "geometry"]
    words = ["--out", str(tmp_path / "mine"), "--vectors", "avx2", "--brief", "--only", *parts]
    assert everything.main(words) == 0
    text = (tmp_path / "mine" / "README.md").read_text()
    assert text.startswith("# Speed on mine\n") and "both libraries held to AVX2" in text
    assert text.count(TABLE.strip()) == 2
    assert "![training steps on one thread](one-thread/threads.png)" in text
    assert "written:" not in text
    assert "Not measured: error: needs PyTorch" in text
    assert "memory: Not measured: error: needs PyTorch" in capsys.readouterr().out
    assert [each[0][:3] for each in ran] == [
        [sys.executable, "-m", f"bench.{name}"] for name in ("side_by_side", "memory", "geometry")
    ]
    assert "--threads 1 --rounds 3" in " ".join(ran[0][0])
    assert all(env["NUMBA_CPU_NAME"] == "haswell" for _, env in ran)


@pytest.mark.parametrize("name", everything.PARTS)
def test_every_part_takes_what_it_is_asked(name):
    """Each command's options are read before anything is measured."""
    import importlib

    import tyro

    part = everything.PARTS[name]
    module, *words = (part.command + " " + part.brief).split()
    words += ["--out", "x"] if part.folder is not None else []
    tyro.cli(importlib.import_module(f"bench.{module}").Options, args=words)


def test_a_part_that_there_is_not_is_named(tmp_path, capsys):
    assert everything.main(["--out", str(tmp_path / "x"), "--only", "speed"]) == 2
    assert "no part 'speed'; there are steps, one-thread" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
