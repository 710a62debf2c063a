"""Softmax and cross-entropy in one pass: the loss of every row and the gradient of its logits.

    loss[n] = -sum over k of t[n, k] * log p[n, k],    p = softmax(logits)
            = sum over k of t[n, k] * (max_n + log sum over j of exp(z[n, j] - max_n) - z[n, k])

(Goodfellow, Bengio, Courville, "Deep Learning", section 6.2.2.3; the largest logit max_n is
subtracted so that nothing overflows). Arrays are C-contiguous, float32 or float64, all of one
dtype; losses and dlogits are overwritten. Nothing is checked, which is `fastcnn.losses`' work.
"""

import math

import numpy as np
from numba import prange

from kernels import jit
from kernels.activation import exponentials, row_maximum
from kernels.portion import MAX_CHUNKS
from kernels.shares import is_small
from kernels.simd import first_lanes, fma, lanes, load_part, splat, store_part, total, where

_WORK = 32  # an exponential, and rows too short to fill a vector


def softmax_cross_entropy(
    logits: np.ndarray,
    labels: np.ndarray,
    scale: float,
    smoothing: float,
    losses: np.ndarray,
    dlogits: np.ndarray,
) -> tuple[int, float]:
    """Loss for class labels.

    Returns how many rows have their largest logit at the label, the first of equal ones, or below 0
    where a label is none of 0 to K - 1 (the results are then incomplete), and the sum of losses.

    logits : (N, K);  labels : int64 (N,)
    smoothing : part of each label's weight that all K classes share, 0 to 1;
        t = (1 - smoothing) * one-hot(labels) + smoothing / K
    losses : (N,), the loss of every row, not scaled
    dlogits : (N, K) = (softmax(logits) - t) * scale;  scale is 1 / N for the gradient of the mean
    """
    classes = logits.shape[1]
    logits, dlogits, kind = logits.reshape(-1), dlogits.reshape(-1), logits.dtype.type
    numbers = kind(scale), kind(1 - smoothing), kind(smoothing), kind(1 / classes)
    parts = 1 if is_small(logits.size, _WORK) else MAX_CHUNKS
    found = np.empty(2 * parts)
    _labels_all(logits, labels, numbers, losses, dlogits, classes, found)
    counts, totals = found[:parts].tolist(), found[parts:].tolist()
    return -1 if -1 in counts else int(sum(counts)), sum(totals)


def softmax_cross_entropy_soft(
    logits: np.ndarray, targets: np.ndarray, scale: float, losses: np.ndarray, dlogits: np.ndarray
) -> None:
    """Loss for targets (N, K), one-hot or any other weights t of the classes.

    dlogits = (softmax(logits) * sum over k of t[n, k] - t) * scale, where that sum is usually 1.
    A class of weight 0 adds nothing to the loss, even if its logit is -inf.
    """
    rows, classes = logits.shape
    logits, dlogits, targets = logits.reshape(-1), dlogits.reshape(-1), targets.reshape(-1)
    scale = logits.dtype.type(scale)
    if is_small(logits.size, _WORK):
        _targets_share(logits, targets, scale, losses, dlogits, classes, 0, rows)
    else:
        _targets_all(logits, targets, scale, losses, dlogits, classes)


@jit.parallel
def _labels_all(logits, labels, numbers, losses, dlogits, classes, found):
    """found : for each chunk how many are right, and behind these the sums of their losses"""
    chunks = found.size // 2
    rows = losses.size
    for chunk in prange(chunks):  # owns a few rows
        first, last = rows * chunk // chunks, rows * (chunk + 1) // chunks
        found[chunk], found[chunks + chunk] = _labels_share(
            logits, labels, numbers, losses, dlogits, classes, first, last
        )  # fmt: skip


@jit.parallel
def _targets_all(logits, targets, scale, losses, dlogits, classes):
    chunks = MAX_CHUNKS
    rows = losses.size
    for chunk in prange(chunks):  # owns a few rows
        first, last = rows * chunk // chunks, rows * (chunk + 1) // chunks
        _targets_share(logits, targets, scale, losses, dlogits, classes, first, last)


@jit.serial
def _first_of_largest(x, start, stop):
    """Where numpy.argmax finds the largest number, or the first NaN."""
    place = start
    for i in range(start, stop):
        if not x[i] <= x[place]:
            place = i
            if x[i] != x[i]:
                break
    return place


@jit.serial
def _labels_share(logits, labels, numbers, losses, dlogits, classes, first, last):
    """How many of these rows are right, and the sum of their losses; -1 and 0 at a wrong label."""
    scale, keep, smoothing, portion = numbers
    right, total_loss = 0.0, 0.0
    for row in range(first, last):
        start, stop = row * classes, (row + 1) * classes
        if labels[row] < 0 or labels[row] >= classes:
            return -1.0, 0.0
        target = start + labels[row]
        right += _first_of_largest(logits, start, stop) == target
        highest = row_maximum(logits, start, stop)
        weight_sum = exponentials(logits, start, stop, highest, dlogits)
        log_sum = math.log(weight_sum)
        loss = log_sum - (logits[target] - highest)
        if smoothing > 0:
            mean = _sum_below(logits, start, stop, highest) * portion
            loss = keep * loss + smoothing * (log_sum - mean)
        losses[row] = loss
        total_loss += losses[row]
        factor = splat(logits, scale / weight_sum)
        shared = splat(logits, -scale * smoothing * portion)
        for i in range(start, stop, lanes(logits)):
            store_part(dlogits, i, fma(load_part(dlogits, i, stop - i), factor, shared), stop - i)
        dlogits[target] -= scale * keep
    return right, total_loss


@jit.serial
def _sum_below(logits, start, stop, highest):
    """Sum of logits - highest, none of which is above 0."""
    shift, zero = splat(logits, highest), splat(logits, 0.0)
    sums = zero
    for i in range(start, stop, lanes(logits)):
        below = load_part(logits, i, stop - i) - shift
        sums = sums + where(first_lanes(below, stop - i), below, zero)
    return total(sums)


@jit.serial
def _targets_share(logits, targets, scale, losses, dlogits, classes, first, last):
    zero, step = splat(logits, 0.0), splat(logits, scale)
    for row in range(first, last):
        start, stop = row * classes, (row + 1) * classes
        highest = row_maximum(logits, start, stop)
        weight_sum = exponentials(logits, start, stop, highest, dlogits)
        shift, log_sum = splat(logits, highest), splat(logits, math.log(weight_sum))
        loss, target_sum = zero, zero
        for i in range(start, stop, lanes(logits)):
            t = load_part(targets, i, stop - i)
            surprise = t * (log_sum - (load_part(logits, i, stop - i) - shift))
            loss = loss + where(t == zero, zero, surprise)
            target_sum = target_sum + t
        losses[row] = total(loss)
        factor = splat(logits, total(target_sum) / weight_sum)
        for i in range(start, stop, lanes(logits)):
            t = load_part(targets, i, stop - i)
            v = fma(load_part(dlogits, i, stop - i), factor, zero - t) * step
            store_part(dlogits, i, v, stop - i)
