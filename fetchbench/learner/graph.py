"""The whole update as one CUDA graph: thousands of kernel launches become one.

A graph replays fixed kernels on fixed memory. So its inputs are copied into buffers of its own, what it returns lies in memory
that the next replay overwrites, and nothing in it may wait for the host. What may differ between updates without differing in
the tensors' values (a routing's current weights, whether the auxiliary loss is due) is the graph's pattern: each has its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable
from typing import TypeVar, cast

import torch
from torch import Tensor

from fetchbench.learner.batch import Batch
from fetchbench.learner.draws import Draws

T = TypeVar("T")
Metrics = dict[str, Tensor]
Step = Callable[[Batch, Draws], Metrics]

WARM_UP = 3
"""Updates run as usual before a pattern is captured: compilers, libraries and optimisers set up what they set up once."""


def cuda_capture(run: Callable[[], Metrics]) -> Callable[[], Metrics]:
    """Capture what ``run`` launches; nothing of it is executed until the returned function is called."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        metrics = run()

    def replay() -> Metrics:
        graph.replay()
        return metrics

    return replay


def cuda_warm_up(run: Callable[[], Metrics]) -> Metrics:
    """Run on a stream apart, as capturing will: autograd remembers the stream on which a parameter was first used."""
    here, apart = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
    apart.wait_stream(here)
    with torch.cuda.stream(apart):
        metrics = run()
    here.wait_stream(apart)
    return metrics


@dataclasses.dataclass
class _Captured:
    batch: Batch
    draws: Draws
    replay: Callable[[], Metrics]


class Graphs:
    """Runs updates as captured graphs, one per pattern.

    Args:
        capture: Turns a function without arguments into its replay.
        warm_up: Runs a function as it must be run before its capture.
    """

    def __init__(
        self,
        capture: Callable[[Callable[[], Metrics]], Callable[[], Metrics]] = cuda_capture,
        warm_up: Callable[[Callable[[], Metrics]], Metrics] = cuda_warm_up,
    ) -> None:
        self._capture, self._warm_up = capture, warm_up
        self._runs: dict[Hashable, int] = {}
        self._captured: dict[Hashable, _Captured] = {}

    def __call__(self, pattern: Hashable, step: Step, batch: Batch, draws: Draws) -> Metrics:
        """One update.

        Args:
            pattern: All that decides which kernels run; equal patterns must launch equal kernels on tensors of equal shapes.
            step: The update.
            batch: Its transitions.
            draws: Its random numbers.

        Returns:
            What ``step`` returns; valid until the next update of this pattern.
        """
        captured = self._captured.get(pattern)
        if captured is None:
            runs = self._runs[pattern] = self._runs.get(pattern, 0) + 1
            if runs <= WARM_UP:
                return self._warm_up(lambda: step(batch, draws))
            own, drawn = over_tensors(batch, torch.clone), over_tensors(draws, torch.clone)
            captured = _Captured(own, drawn, self._capture(lambda: step(own, drawn)))
            self._captured[pattern] = captured
        fill(captured.batch, batch)
        fill(captured.draws, draws)
        return captured.replay()


def over_tensors(value: T, function: Callable[[Tensor], Tensor]) -> T:
    """A copy of a dataclass, of dataclasses and tensors, with the function applied to every tensor."""
    if isinstance(value, Tensor):
        return cast(T, function(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: over_tensors(getattr(value, f.name), function) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **parts)
    return value


def fill(own: object, given: object) -> None:
    """Copy every tensor of one dataclass into its place in another of the same make."""
    targets: list[Tensor] = []
    sources: list[Tensor] = []
    for value, into in ((own, targets), (given, sources)):
        over_tensors(value, lambda tensor, into=into: into.append(tensor) or tensor)  # type: ignore[misc]
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source, non_blocking=True)
