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


def compressed(image: np.ndarray, quality: int) -> np.ndarray:
    """A (3, 32, 32) image after JPEG."""
    widened = np.pad(image, ((0, 0), (4, 4), (4, 4)), mode="edge").transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(widened).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(file))[4:-4, 4:-4].transpose(2, 0, 1)


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
for record, image in zip(records, images, strict=True):
    record[1:] = compressed(image, arguments.quality).ravel()
names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
for name, batch in zip(names, np.split(records, 6), strict=True):
    (folder / f"{name}.bin").write_bytes(batch.tobytes())
(folder / "batches.meta.txt").write_text("\n".join(data.class_names) + "\n")
change = np.abs(records[:, 1:].reshape(images.shape).astype(np.float32) - images).mean()
print(f"{data.source} {len(images):,} images; values changed by {change:.1f} of 255 on average.")
