"""The bare training loop: a small network learns MNIST (or the built-in digits) in plain sight.

python examples/mnist.py --epochs 3
"""

import argparse

import numpy as np

from fastcnn import Sequential, datasets
from fastcnn.layers import Conv2D, Dense, Flatten, MaxPool2D, ReLU
from fastcnn.losses import CrossEntropyLoss
from fastcnn.optim import Adam

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--epochs", type=int, default=3)
epochs = parser.parse_args().epochs

data = datasets.load("auto")
print(data.source)
x_train, x_test = (np.asarray(x, np.float32) / 255 for x in (data.x_train, data.x_test))

model = Sequential(
    Conv2D(1, 8, kernel_size=3, padding=1),
    ReLU(),
    MaxPool2D(2),
    Conv2D(8, 16, kernel_size=3, padding=1),
    ReLU(),
    MaxPool2D(2),
    Flatten(),
    Dense(16 * 7 * 7, 10),
    seed=42,
)
loss, optimizer = CrossEntropyLoss(), Adam(lr=1e-3)
rng = np.random.default_rng(42)

for epoch in range(1, epochs + 1):
    order, total = rng.permutation(len(x_train)), 0.0
    for start in range(0, len(order), 32):
        batch = order[start : start + 32]
        logits = model.forward(x_train[batch], training=True)
        total += loss.forward(logits, data.y_train[batch]) * len(batch)
        model.backward(loss.backward(), input_gradient=False)
        optimizer.step(model)
    _, accuracy = model.evaluate(x_test, data.y_test)
    print(f"epoch {epoch}: loss {total / len(order):.4f}, test accuracy {accuracy:.2%}")
