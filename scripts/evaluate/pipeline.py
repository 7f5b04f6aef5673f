"""Decode, predict and score items, each step on its own threads; results come in order."""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from scripts.evaluate.datasets import Item, Target
from scripts.evaluate.flow_files import flow_size, read_flow
from scripts.evaluate.images import image_size, read_image, viewed, write_image
from scripts.evaluate.predict import Predictor, rounded
from scripts.evaluate.results import Scored
from scripts.evaluate.scoring import Answer, Scorer

_IN_FLIGHT = 2 << 30
"""Memory limit in bytes for the images of concurrent items, if more than one per device."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to do with every item.

    Attributes:
        predictors: one for each device.
        scorers: form -> function.
        rounding: predictions are rounded to 8 bits before they are scored.
        motion: items are flows.
        store, store_truths: folders for images.
        workers: threads for files, and as many for metrics.
    """

    predictors: Sequence[Predictor]
    scorers: Mapping[str, Scorer]
    rounding: bool = False
    motion: bool = False
    store: Path | None = None
    store_truths: Path | None = None
    workers: int = 1


class ItemError(Exception):
    """An item failed; the cause is chained."""


def run(items: Sequence[tuple[int, Item]], job: Job) -> Iterator[Scored]:
    """Score numbered items in order; only a few of them are in memory at a time."""
    free: queue.SimpleQueue[Predictor] = queue.SimpleQueue()
    for predictor in job.predictors:
        free.put(predictor)
    window = _window(items[0][1], job) if items else 0
    pools = [
        ThreadPoolExecutor(job.workers, "decode"),
        ThreadPoolExecutor(len(job.predictors), "predict"),
        ThreadPoolExecutor(job.workers, "score"),
    ]
    waiting: deque[tuple[Item, Future[Scored]]] = deque()
    try:
        for number, item in items:
            decoded = pools[0].submit(read_inputs, item, job.motion)
            predicted = pools[1].submit(_predict, free, item, number, decoded)
            waiting.append((item, pools[2].submit(_score, job, item, decoded, predicted)))
            if len(waiting) >= window:
                yield _result(*waiting.popleft())
        while waiting:
            yield _result(*waiting.popleft())
    finally:
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)
        for pool in pools:
            pool.shutdown()


def read_inputs(item: Item, motion: bool) -> tuple[Tensor, Tensor]:
    """Read an item's two input images, or flows."""
    first, second = (read_flow(path) if motion else viewed(read_image(path), item.view) for path in item.inputs)
    return first, second


def read_truth(item: Item, target: Target, motion: bool) -> Tensor:
    """Read the true image; for motion the flow to the last frame minus the one to the first."""
    if motion:
        to_last, to_first = (read_flow(path) for path in target.truth)
        return to_last - to_first
    return viewed(read_image(target.truth[0]), item.view)


def _window(item: Item, job: Job) -> int:
    """Return the number of concurrent items: enough for every thread, if their images fit."""
    width, height = flow_size(item.inputs[0]) if job.motion else image_size(item.inputs[0])
    taken = (2 + len(item.targets)) * width * height * 3 * 4
    return min(job.workers + 2 * len(job.predictors), max(len(job.predictors) + 1, _IN_FLIGHT // taken))


def _predict(
    free: queue.SimpleQueue[Predictor], item: Item, number: int, decoded: Future[tuple[Tensor, Tensor]]
) -> tuple[list[Tensor], float]:
    """Predict an item on a free device; returns the predictions and the seconds."""
    first, second = decoded.result()
    predictor = free.get()
    try:
        began = time.perf_counter()
        return predictor(item, first, second, number), time.perf_counter() - began
    finally:
        free.put(predictor)


def _score(
    job: Job, item: Item, decoded: Future[tuple[Tensor, Tensor]], predicted: Future[tuple[list[Tensor], float]]
) -> Scored:
    (made, seconds), (first, second) = predicted.result(), decoded.result()
    scores = []
    for target, image in zip(item.targets, made, strict=True):
        truth = read_truth(item, target, job.motion)
        for folder, shown in ((job.store, image), (job.store_truths, truth)):
            if folder is not None:
                write_image(folder / f"{target.name}.png", shown)
        answer = Answer(rounded(image) if job.rounding else image, truth, first, second)
        scores.append({form: scorer(answer) for form, scorer in job.scorers.items()})
    names = tuple(target.name for target in item.targets)
    return Scored(item.name, item.group, names, tuple(scores), round(seconds, 4))


def _result(item: Item, future: Future[Scored]) -> Scored:
    try:
        return future.result()
    except Exception as error:
        raise ItemError(f"{item.name}: {type(error).__name__}: {error}") from error
