"""Several looks at every test image: the mean of a trained network's answers to them.

python -m fastcnn.train --model resnet20 --out resnet20
python examples/views.py resnet20

asks the network about the test images as they are, then about their mirror images too, then about
both moved by a pixel towards each corner: ten views, after Krizhevsky, Sutskever, Hinton, "ImageNet
Classification with Deep Convolutional Neural Networks" (2012), section 4.1. No training, ten times
the time of a test. Accuracies found so cannot be compared with those of one view.
"""

import argparse

import numpy as np

from fastcnn.runs.saved import Saved

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("run", help="folder of a training run; of one with --flip, as resnet20 has it")
options = parser.parse_args()
CENTRE, CORNERS = [(0, 0)], [(-1, -1), (-1, 1), (1, -1), (1, 1)]


def moved(images: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Images (N, C, H, W) moved down and to the right; what comes from outside is black."""
    height, width = images.shape[2:]
    widened = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    return widened[:, :, 1 - rows : 1 - rows + height, 1 - columns : 1 - columns + width]


def main() -> None:
    """Print the test accuracy by the number of views."""
    run = Saved(options.run)
    if not run.is_run:
        raise ValueError(f"{run.path} is not the folder of a training run")
    data, model = run.dataset(), run.model

    def answers(places: list[tuple[int, int]], mirrored: bool) -> np.ndarray:
        """Sum of the probabilities over the views, (N, classes)."""
        images = data.x_test[..., ::-1] if mirrored else data.x_test
        return np.sum([model.predict_proba(moved(images, *place)) for place in places], axis=0)

    one = answers(CENTRE, mirrored=False)
    two = one + answers(CENTRE, mirrored=True)
    ten = two + answers(CORNERS, mirrored=False) + answers(CORNERS, mirrored=True)
    print("| views | test accuracy |\n|---|---|")
    for views, probabilities in ((1, one), (2, two), (10, ten)):
        print(f"| {views} | {(probabilities.argmax(axis=1) == data.y_test).mean():.2%} |")


try:
    main()
except ValueError as error:
    reason = getattr(error, "reason", error)  # the advice of missing files is for fastcnn.train
    parser.exit(2, f"error: {reason}\n")
