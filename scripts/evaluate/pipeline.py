"""Run items through decoding, prediction and scoring, each on threads of its own; results come in order."""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from scripts.evaluate.datasets import Item
from scripts.evaluate.flow_files import read_flow
from scripts.evaluate.pictures import read_picture, viewed, write_picture
from scripts.evaluate.predict import Predictor, rounded
from scripts.evaluate.results import Scored
from scripts.evaluate.scoring import Answer, Scorer


@dataclass(frozen=True, slots=True)
class Decoded:
    """The files of one item as tensors."""

    first: Tensor
    second: Tensor
    truths: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """What is done with every item.

    Attributes:
        predictors: one for each device.
        scorers: form -> function.
        rounding: predictions are rounded to 8 bits before they are scored.
        motion: items are flows.
        store, store_truths: folders for pictures, made if need be.
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
    """Score numbered items. At most a few items more than there are threads are in memory at a time."""
    for folder in (job.store, job.store_truths):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    free: queue.SimpleQueue[Predictor] = queue.SimpleQueue()
    for predictor in job.predictors:
        free.put(predictor)
    window = job.workers + 2 * len(job.predictors)
    pools = [
        ThreadPoolExecutor(job.workers, "decode"),
        ThreadPoolExecutor(len(job.predictors), "predict"),
        ThreadPoolExecutor(job.workers, "score"),
    ]
    waiting: deque[tuple[Item, Future[Scored]]] = deque()
    try:
        for number, item in items:
            decoded = pools[0].submit(decode, item, job.motion)
            predicted = pools[1].submit(_predict, free, item, number, decoded)
            waiting.append((item, pools[2].submit(_score, job, item, decoded, predicted)))
            if len(waiting) > window:
                yield _result(*waiting.popleft())
        while waiting:
            yield _result(*waiting.popleft())
    finally:
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)
        for pool in pools:
            pool.shutdown()


def decode(item: Item, motion: bool) -> Decoded:
    """Read an item's files."""
    if motion:
        forth, back = (read_flow(path) for path in item.inputs)
        truths = [[read_flow(path) for path in target.truth] for target in item.targets]
        return Decoded(forth, back, tuple(to_last - to_first for to_last, to_first in truths))
    first, second = (viewed(read_picture(path), item.view) for path in item.inputs)
    return Decoded(first, second, tuple(viewed(read_picture(target.truth[0]), item.view) for target in item.targets))


def stored_files(item: Item, store: Path | None, store_truths: Path | None) -> list[Path]:
    """Where an item's pictures go."""
    return [folder / f"{target.name}.png" for folder in (store, store_truths) if folder for target in item.targets]


def _predict(
    free: queue.SimpleQueue[Predictor], item: Item, number: int, decoded: Future[Decoded]
) -> tuple[list[Tensor], float]:
    """An item's predictions on whichever device is free, and the seconds that took."""
    read = decoded.result()
    predictor = free.get()
    try:
        began = time.perf_counter()
        return predictor(item, read.first, read.second, number), time.perf_counter() - began
    finally:
        free.put(predictor)


def _score(job: Job, item: Item, decoded: Future[Decoded], predicted: Future[tuple[list[Tensor], float]]) -> Scored:
    (made, seconds), read = predicted.result(), decoded.result()
    scores = []
    for target, picture, truth in zip(item.targets, made, read.truths, strict=True):
        for folder, shown in ((job.store, picture), (job.store_truths, truth)):
            if folder is not None:
                write_picture(folder / f"{target.name}.png", shown)
        answer = Answer(rounded(picture) if job.rounding else picture, truth, read.first, read.second)
        scores.append({form: scorer(answer) for form, scorer in job.scorers.items()})
    names = tuple(target.name for target in item.targets)
    return Scored(item.name, item.group, names, tuple(scores), round(seconds, 4))


def _result(item: Item, future: Future[Scored]) -> Scored:
    try:
        return future.result()
    except Exception as error:
        raise ItemError(f"{item.name}: {type(error).__name__}: {error}") from error
