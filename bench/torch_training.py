"""PyTorch's training loop for `bench.torch_accuracy`; only what is here needs PyTorch."""

import math
import time
from typing import Any

import torch  # type: ignore[import-not-found]
from torch import Tensor, nn  # type: ignore[import-not-found]
from torch.nn import functional  # type: ignore[import-not-found]
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR  # type: ignore[import-not-found]

from bench import report
from bench.torch_twin import sequence_twin
from fastcnn import datasets, models

COLUMNS = ("epoch", "train loss", "train accuracy", "test accuracy", "seconds", "of training")


def changed(images: Tensor, shift: int, flip: bool = True) -> Tensor:
    """Every image moved by up to `shift` pixels and mirrored or not: uint8 (N, C, H, W)."""
    count, _, height, width = images.shape
    padded = functional.pad(images, (shift, shift, shift, shift))
    rows = torch.randint(2 * shift + 1, (count, 1)) + torch.arange(height)
    columns = torch.randint(2 * shift + 1, (count, 1)) + torch.arange(width)
    if flip:
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


def scheduled(optimizer: Any, recipe: dict[str, Any], epochs: int, steps: int) -> Any:
    """The rates of a recipe, one for each of an epoch's steps: one-cycle, or a cosine by epochs."""
    if recipe["schedule"] == "onecycle":
        div = recipe.get("lr_div", 25.0)
        return OneCycleLR(
            optimizer, recipe["lr"], epochs * steps, pct_start=recipe.get("lr_rise", 0.3),
            div_factor=div, cycle_momentum=False,
        )  # fmt: skip
    return LambdaLR(optimizer, lambda step: (1 + math.cos(math.pi * (step // steps) / epochs)) / 2)


def train(name: str, epochs: int, seed: int, layout: str = "channels_last") -> None:
    """Print loss, accuracies and seconds of every epoch of a named model's twin."""
    recipe: dict[str, Any] = models.preset(name)
    data, form = datasets.load(recipe["dataset"]), getattr(torch, layout)
    pixels, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train).long()
    scale = pixels.transpose(0, 1).flatten(1).double() / 255
    mean, deviation = (v.float()[:, None, None] for v in (scale.mean(1), scale.std(1)))
    shift, flip = recipe.get("shift", 0), recipe.get("flip", False)

    def prepared(images: Tensor) -> Tensor:
        return ((images.float() / 255 - mean) / deviation).contiguous(memory_format=form)

    x_test, y_test = prepared(torch.from_numpy(data.x_test)), torch.from_numpy(data.y_test).long()
    torch.manual_seed(seed)
    kept = torch.randperm(len(y))[round(recipe.get("validation", 0) * len(y)) :]
    network = models.build(name, seed=seed)
    model: Any = sequence_twin(network.layers, (recipe["batch_size"], *x_test.shape[1:]))
    model.to(memory_format=form)
    optimizer = torch.optim.SGD(
        model.parameters(), recipe["lr"], recipe["momentum"],
        nesterov=recipe.get("nesterov", False), weight_decay=recipe["weight_decay"],
    )  # fmt: skip
    schedule = scheduled(optimizer, recipe, epochs, math.ceil(len(kept) / recipe["batch_size"]))
    report.header(*COLUMNS)
    for epoch in range(epochs):
        start = time.perf_counter()
        model.train()
        loss, right, batches = 0.0, 0, kept[torch.randperm(len(kept))].split(recipe["batch_size"])
        for batch in batches:
            images = pixels[batch]
            logits = model(prepared(changed(images, shift, flip) if shift or flip else images))
            value = functional.cross_entropy(
                logits, y[batch], label_smoothing=recipe.get("label_smoothing", 0.0)
            )
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            schedule.step()
            loss += value.item() * len(batch)
            right += int((logits.argmax(1) == y[batch]).sum())
        trained = time.perf_counter() - start
        report.row(
            f"{epoch + 1}",
            f"{loss / len(kept):.4f}",
            f"{right / len(kept):.2%}",
            f"{accuracy(model, x_test, y_test):.2%}",
            f"{time.perf_counter() - start:.1f}",
            f"{trained:.2f}",
        )
