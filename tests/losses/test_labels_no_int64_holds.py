"""Labels that would be other numbers as int64 are quoted as they were given."""

import numpy as np
import pytest

from fastcnn import Sequential, datasets
from fastcnn.layers import Dense
from fastcnn.losses import CrossEntropyLoss

LABELS = [
    (np.array([2**63 + 5, 0], np.uint64), "9223372036854775813"),
    (np.array([2**64 - 1, 0], np.uint64), "18446744073709551615"),
    (np.array([1e300, 0]), "1e+300"),
    (np.array([-1e300, 0]), "-1e+300"),
]


@pytest.mark.parametrize(("labels", "shown"), LABELS)
@pytest.mark.parametrize("how", ["train", "evaluate", "measure"])
def test_a_network_quotes_the_label(labels, shown, how):
    model, x = Sequential(Dense(3, 2)), np.zeros((2, 3), np.float32)
    more = {"progress": False} if how == "train" else {}
    with pytest.raises(ValueError, match="labels") as told:
        getattr(model, how)(x, labels, **more)
    assert str(told.value).endswith(f"got {shown}")


@pytest.mark.parametrize(("labels", "shown"), LABELS[:2])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_quotes_the_label(labels, shown, smoothing):
    loss = CrossEntropyLoss(label_smoothing=smoothing)
    with pytest.raises(ValueError, match="between 0 and 1") as told:
        loss.forward(np.zeros((2, 2), np.float32), labels)
    assert str(told.value).endswith(f"got {shown}")


@pytest.mark.parametrize(("labels", "shown"), LABELS)
def test_a_file_is_refused_with_the_label(tmp_path, labels, shown):
    path = tmp_path / "set.npz"
    np.savez(path, x=np.full((2, 5, 5), 9, np.uint8), y=labels)
    with pytest.raises(datasets.DataError) as told:
        datasets.load(path)
    assert f"there is a label {shown}" in str(told.value) and len(str(told.value)) < 300
