"""PyTorch's training loop for `bench.torch_accuracy`; only what is here needs PyTorch."""

import math
import time
from typing import Any

import torch  # type: ignore[import-not-found]
from torch import Tensor, nn  # type: ignore[import-not-found]
from torch.nn import functional  # type: ignore[import-not-found]

from bench import report
from bench.torch_twin import sequence_twin
from fastcnn import datasets, models


def changed(images: Tensor, shift: int) -> Tensor:
    """Every image moved by up to `shift` pixels and mirrored or not: uint8 (N, C, H, W)."""
    count, _, height, width = images.shape
    padded = functional.pad(images, (shift, shift, shift, shift))
    rows = torch.randint(2 * shift + 1, (count, 1)) + torch.arange(height)
    columns = torch.randint(2 * shift + 1, (count, 1)) + torch.arange(width)
    columns = torch.where(torch.rand(count, 1) < 0.5, columns.flip(1), columns)
    one = torch.arange(count)[:, None, None]
    moved = padded.permute(0, 2, 3, 1)[one, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of the images, (N, C, H, W), that the model gets right."""
    model.eval()
    with torch.no_grad():
        right = sum(
            int((model(x).argmax(1) == y).sum())
            for x, y in zip(images.split(256), labels.split(256), strict=True)
        )
    return right / len(labels)


def train(name: str, epochs: int, seed: int) -> None:
    """Print loss, accuracies and seconds of every epoch of a named model's twin."""
    recipe: dict[str, Any] = models.preset(name)
    data = datasets.load(recipe["dataset"])
    pixels, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train).long()
    scale = pixels.transpose(0, 1).flatten(1).double() / 255
    mean, deviation = (v.float()[:, None, None] for v in (scale.mean(1), scale.std(1)))

    def prepared(images: Tensor) -> Tensor:
        standard = (images.float() / 255 - mean) / deviation
        return standard.contiguous(memory_format=torch.channels_last)

    x_test, y_test = prepared(torch.from_numpy(data.x_test)), torch.from_numpy(data.y_test).long()
    torch.manual_seed(seed)
    kept = torch.randperm(len(y))[round(recipe["validation"] * len(y)) :]
    network = models.build(name, seed=seed)
    model: Any = sequence_twin(network.layers, (recipe["batch_size"], *x_test.shape[1:]))
    model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        model.parameters(), recipe["lr"], recipe["momentum"],
        nesterov=recipe.get("nesterov", False), weight_decay=recipe["weight_decay"],
    )  # fmt: skip
    report.header("epoch", "train loss", "train accuracy", "test accuracy", "seconds")
    for epoch in range(epochs):
        start = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = recipe["lr"] * (1 + math.cos(math.pi * epoch / epochs)) / 2
        model.train()
        loss, right, batches = 0.0, 0, kept[torch.randperm(len(kept))].split(recipe["batch_size"])
        for batch in batches:
            logits = model(prepared(changed(pixels[batch], recipe["shift"])))
            value = functional.cross_entropy(logits, y[batch])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            loss += value.item() * len(batch)
            right += int((logits.argmax(1) == y[batch]).sum())
        report.row(
            f"{epoch + 1}",
            f"{loss / len(kept):.4f}",
            f"{right / len(kept):.2%}",
            f"{accuracy(model, x_test, y_test):.2%}",
            f"{time.perf_counter() - start:.0f}",
        )
