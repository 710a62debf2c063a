"""What JPEG costs: a copy of CIFAR-10 whose images were compressed once more.

python examples/jpeg.py jpeg-data
python -m fastcnn.train --model cifar-cnn --preset tuned
python -m fastcnn.train --model cifar-cnn --preset tuned --data-dir jpeg-data --out jpeg

Where only JPEG versions of the images are at hand, what they have lost already cannot be measured,
but a second loss of the same kind can: quality 75 with colours at half the resolution, its 8 x 8
blocks moved by 4 pixels against those of the first time, which a second pass would else repeat.
"""

import argparse
import io
from pathlib import Path

import numpy as np
from PIL import Image  # comes with Matplotlib

from fastcnn import datasets


def compressed(images: np.ndarray, quality: int) -> np.ndarray:
    """(N, 3, 32, 32) images after JPEG, one below the other.

    Each is widened to 48 x 48, whole blocks of 16, so that it is compressed as if it were alone.
    """
    edges = ((0, 0), (0, 0), (4, 12), (4, 12))
    widened = np.pad(images, edges, mode="edge").transpose(0, 2, 3, 1).reshape(-1, 48, 3)
    file = io.BytesIO()
    Image.fromarray(widened).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    after = np.asarray(Image.open(file)).reshape(-1, 48, 48, 3)
    return after[:, 4:36, 4:36].transpose(0, 3, 1, 2)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("folder", type=Path, help="gets the copy; a data folder for --data-dir")
parser.add_argument("--quality", type=int, default=75)
arguments = parser.parse_args()

data = datasets.load("cifar10")
folder = arguments.folder / "cifar-10-batches-bin"
folder.mkdir(parents=True)
images = np.concatenate([data.x_train, data.x_test])
labels = np.concatenate([data.y_train, data.y_test])
records = np.empty((len(images), 1 + 3 * 32 * 32), np.uint8)
records[:, 0] = labels
for start in range(0, len(images), 1000):
    some = slice(start, start + 1000)
    records[some, 1:] = compressed(images[some], arguments.quality).reshape(-1, 3 * 32 * 32)
names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
for name, batch in zip(names, np.split(records, 6), strict=True):
    (folder / f"{name}.bin").write_bytes(batch.tobytes())
(folder / "batches.meta.txt").write_text("\n".join(data.class_names) + "\n")
change = np.abs(records[:, 1:].reshape(images.shape).astype(np.float32) - images).mean()
print(f"{data.source} {len(images):,} images; values changed by {change:.1f} of 255 on average.")
