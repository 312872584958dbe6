"""The whole update as one CUDA graph: thousands of kernel launches become one.

A graph replays fixed kernels on fixed memory. So its inputs are copied into buffers of its own, what it returns lies in memory
that the next replay overwrites, and nothing in it may wait for the host. What may differ between updates without differing in
the tensors' values (a routing's current weights, whether the auxiliary loss is due) is the graph's pattern: each has its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterator
from typing import TypeVar, cast

import torch
from torch import Tensor

from fetchbench.errors import PluginError, one_line
from fetchbench.learner.batch import Batch
from fetchbench.learner.draws import Draws

T = TypeVar("T")
Metrics = dict[str, Tensor]
Step = Callable[[Batch, Draws], Metrics]

WARM_UP = 3
"""Updates run as usual before a pattern is captured: compilers, libraries and optimisers set up what they set up once."""


def cuda_capture(run: Callable[[], Metrics]) -> Callable[[], Metrics]:
    """Capture what ``run`` launches; nothing of it is executed until the returned function is called.

    Raises:
        PluginError: Something in it reads from the device, or does another thing that a graph cannot hold.
    """
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            metrics = run()
    except RuntimeError as error:
        raise PluginError(
            f"the update cannot be captured as a CUDA graph, most likely since a plugin reads values on the host: "
            f"{one_line(error)}; delete the run's folder and run the suite with --compile none"
        ) from error

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
class _Pattern:
    """A graph in the making: its own inputs, how often it was run, and its replay once it is captured."""

    batch: Batch
    draws: Draws
    runs: int = 0
    replay: Callable[[], Metrics] | None = None


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
        self._patterns: dict[Hashable, _Pattern] = {}

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
        p = self._patterns.get(pattern)
        if p is None:
            p = self._patterns[pattern] = _Pattern(over_tensors(batch, torch.clone), over_tensors(draws, torch.clone))
        else:
            fill(p.batch, batch)
            fill(p.draws, draws)

        # From the first on the graph's own tensors: those given may lie in memory in another order, and a compiler would
        # begin anew in the middle of a capture.
        def run() -> Metrics:
            return step(p.batch, p.draws)

        if p.replay is None:
            p.runs += 1
            if p.runs <= WARM_UP:
                return self._warm_up(run)
            p.replay = self._capture(run)
        return p.replay()


def over_tensors(value: T, function: Callable[[Tensor], Tensor]) -> T:
    """A copy of a dataclass, of dataclasses and tensors, with the function applied to every tensor."""
    if isinstance(value, Tensor):
        return cast(T, function(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: over_tensors(getattr(value, f.name), function) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **parts)
    return value


def tensors(value: object) -> Iterator[Tensor]:
    """Every tensor of a dataclass, of dataclasses and tensors, in the order of the fields."""
    if isinstance(value, Tensor):
        yield value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from tensors(getattr(value, field.name))


def fill(own: object, given: object) -> None:
    """Copy every tensor of one dataclass into its place in another of the same make."""
    for target, source in zip(tensors(own), tensors(given), strict=True):
        target.copy_(source, non_blocking=True)
