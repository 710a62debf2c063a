"""mnist-baseline trained with PyTorch: the twin of mnist_fastcnn.py.

python mnist_pytorch.py DATA.npz EPOCHS
"""

# pyright: reportMissingImports=false

import json
import resource
import sys
import time

import numpy as np
import torch
from torch.nn import Conv2d, CrossEntropyLoss, Flatten, Linear, MaxPool2d, ReLU, Sequential

data = np.load(sys.argv[1])
x_train, y_train, x_test, y_test = (
    torch.from_numpy(data[k]) for k in ("x_train", "y_train", "x_test", "y_test")
)
model = Sequential(
    Conv2d(1, 8, 3, padding=1), ReLU(), MaxPool2d(2),
    Conv2d(8, 16, 3, padding=1), ReLU(), MaxPool2d(2),
    Flatten(), Linear(784, 128), ReLU(), Linear(128, 10),
)  # fmt: skip
loss, optimizer, seconds = CrossEntropyLoss(), torch.optim.SGD(model.parameters(), 0.01), []
torch.manual_seed(42)
for _ in range(int(sys.argv[2])):
    started, order = time.perf_counter(), torch.randperm(len(x_train))
    for i in range(0, len(order), 32):
        batch = order[i : i + 32]
        optimizer.zero_grad()
        loss(model(x_train[batch]), y_train[batch]).backward()
        optimizer.step()
    seconds.append(time.perf_counter() - started)
with torch.no_grad():
    accuracy = float((model(x_test).argmax(1) == y_test).float().mean())
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": seconds, "accuracy": accuracy, "kilobytes": memory}))
