"""Tables of `Pad` and `Upsample`: made once for a size, whatever becomes of the layer."""

from unittest import mock

import numpy as np
import pytest

from fastcnn.layers import Pad, Upsample, resample


@pytest.mark.parametrize("layer", [Pad(2, "reflect"), Upsample(2), Upsample(3, mode="bilinear")])
def test_tables_are_made_once_for_a_size(layer) -> None:
    resample._padded.cache_clear()
    resample._scaled.cache_clear()
    tables = []
    call = resample.kernels.resample

    def noted(x, rows, columns, *rest) -> None:
        tables.append((rows, columns))
        call(x, rows, columns, *rest)

    with mock.patch.object(resample.kernels, "resample", noted):
        for size in (5, 6, 5, 6):
            layer.forward(np.zeros((1, 2, size, size), np.float32), training=True)
    assert tables[0] is not tables[1]
    for first, again in zip(tables[:2], tables[2:], strict=True):
        assert all(a is b for a, b in zip(first, again, strict=True))
    found = resample._padded if isinstance(layer, Pad) else resample._scaled
    assert found.cache_info().misses == 2  # rows and columns of a square are alike


def test_a_layer_whose_settings_change_has_other_tables() -> None:
    x = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    layer = Upsample(2)
    layer.forward(x)
    layer.mode = "bilinear"
    assert (layer.forward(x) == Upsample(2, mode="bilinear").forward(x)).all()
    layer.align_corners = True
    wanted = Upsample(2, mode="bilinear", align_corners=True).forward(x)
    assert (layer.forward(x) == wanted).all()
    pad = Pad(1)
    pad.forward(x)
    pad.mode = "replicate"
    assert (pad.forward(x) == Pad(1, "replicate").forward(x)).all()
    pad.padding = ((0, 2), (2, 0))
    assert (pad.forward(x) == Pad(((0, 2), (2, 0)), "replicate").forward(x)).all()


def test_no_more_than_so_many_are_kept() -> None:
    layer = Upsample(2)
    for size in range(1, 300):
        layer.forward(np.zeros((1, 1, 1, size), np.float32))
    assert resample._scaled.cache_info().currsize == resample._MOST_TABLES
