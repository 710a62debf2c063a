"""mnist-baseline trained with fastcnn's layers: the twin of mnist_pytorch.py.

python mnist_fastcnn.py DATA.npz EPOCHS
"""

import json
import resource
import sys
import time

import numpy as np

from fastcnn import Sequential
from fastcnn.layers import Conv2D, Dense, Flatten, MaxPool2D, ReLU
from fastcnn.losses import CrossEntropyLoss
from fastcnn.optim import SGD

data = np.load(sys.argv[1])
x_train, y_train, x_test, y_test = (data[k] for k in ("x_train", "y_train", "x_test", "y_test"))
model = Sequential(
    Conv2D(1, 8, 3, padding=1), ReLU(), MaxPool2D(2),
    Conv2D(8, 16, 3, padding=1), ReLU(), MaxPool2D(2),
    Flatten(), Dense(784, 128), ReLU(), Dense(128, 10),
)  # fmt: skip
loss, optimizer, rng, seconds = CrossEntropyLoss(), SGD(0.01), np.random.default_rng(42), []
for _ in range(int(sys.argv[2])):
    started, order = time.perf_counter(), rng.permutation(len(x_train))
    for i in range(0, len(order), 32):
        batch = order[i : i + 32]
        loss.forward(model.forward(x_train[batch], training=True), y_train[batch])
        model.backward(loss.backward())
        optimizer.step(model)
    seconds.append(time.perf_counter() - started)
accuracy = float(np.mean(model.predict(x_test) == y_test))
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": seconds, "accuracy": accuracy, "kilobytes": memory}))
