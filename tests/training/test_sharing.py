"""Data that the processes of a host have once in memory."""

import os
from pathlib import Path

import numpy as np
import pytest

from fastcnn import datasets
from fastcnn.training.sharing import once_per_host

from .processes import together


def read_by(count, load):
    """What each of so many processes has, and how often it was read."""
    calls = []

    def read():
        calls.append(1)
        return load()

    return together(count, lambda comm: once_per_host(comm, read)), len(calls)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="memory files are Linux's")
def test_one_reads_and_all_have_it():
    digits = datasets.load("digits").limit(40, 7)
    found, reads = read_by(3, lambda: (digits, 2.5))
    assert reads == 1
    for data, seconds in found:
        assert seconds == 2.5
        assert data.class_names == digits.class_names
        for part in ("x_train", "y_train", "x_test", "y_test"):
            np.testing.assert_array_equal(getattr(data, part), getattr(digits, part))
            assert getattr(data, part).dtype == getattr(digits, part).dtype
    lines = Path("/proc/self/maps").read_text().splitlines()
    maps = [line for line in lines if "/memfd:data" in line]
    assert len(maps) == 3
    assert len({line.split()[4] for line in maps}) == 1  # one file


@pytest.mark.parametrize(
    "array",
    [np.zeros((0, 3)), np.arange(24.0).reshape(4, 6).T, np.arange(24).reshape(4, 6)[:, ::2]],
    ids=["nothing", "columns", "apart"],
)
def test_arrays_of_any_kind(array):
    for each in read_by(2, lambda: {"x": array, "none": None})[0]:
        np.testing.assert_array_equal(each["x"], array)


def test_who_writes_has_a_copy():
    (mine, theirs), _ = read_by(2, lambda: np.zeros(3))
    mine[0] = 1
    assert theirs[0] == 0


def test_without_memory_files_each_reads(monkeypatch):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    found, reads = read_by(2, lambda: np.ones(3))
    assert reads == 2
    assert all(each.sum() == 3 for each in found)


def test_where_one_cannot_see_it_each_reads(monkeypatch):
    from fastcnn.training import sharing

    monkeypatch.setattr(sharing, "_opened", lambda name: None)
    assert read_by(2, lambda: np.ones(3))[1] == 2
