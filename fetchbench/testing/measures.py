"""What the checks measure: differences, draws from global generators, reads on the host, gradients, time."""

from __future__ import annotations

import contextlib
import pickle
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from fetchbench.learner.encoders import bits

T = TypeVar("T")
TOLERANCE = 1e-4
"""Largest difference, relative to the largest value, that counts as rounding."""

_NUDGE = 0.01


def difference(a: Tensor, b: Tensor) -> float:
    """The largest difference between two tensors, relative to the largest value; infinite where they cannot be compared."""
    if a.shape != b.shape or not bool(a.isfinite().all() and b.isfinite().all()):
        return float("inf")
    scale = max(float(a.abs().max()), float(b.abs().max()), 1e-12)
    return float((a.double() - b.double()).abs().max()) / scale


def watched(run: Callable[[], T]) -> tuple[T, str]:
    """Run something, and name the global random generators that it drew from; they are put back."""
    torchs, numpys, pythons = torch.get_rng_state(), np.random.get_state(), random.getstate()
    before = _generators()
    try:
        result = run()
        pairs = zip(("torch's", "numpy's", "Python's"), before, _generators(), strict=True)
        return result, " and ".join(name for name, old, new in pairs if old != new)
    finally:
        torch.set_rng_state(torchs)
        np.random.set_state(numpys)
        random.setstate(pythons)


def _generators() -> tuple[bytes, bytes, object]:
    return torch.get_rng_state().numpy().tobytes(), pickle.dumps(np.random.get_state()), random.getstate()


def reads_on_host(run: Callable[[], object]) -> str | None:
    """Whether something reads tensors' values in Python, which no captured CUDA graph can hold. Looked for without a GPU.

    Args:
        run: Is run on tensors without values. Must not use anything that is needed afterwards.

    Returns:
        What was read, or ``None``; a run that fails on such tensors for any other reason tells nothing.
    """
    from torch._subclasses.fake_tensor import (
        DataDependentOutputException,
        DynamicOutputShapeException,
        FakeTensorMode,
    )

    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            run()
    except DataDependentOutputException:
        return "a value is read in Python: .item(), float(tensor), or an `if` on a tensor"
    except DynamicOutputShapeException as error:
        return f"a shape depends on values: {error.func}"
    except Exception:
        return None
    return None


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """A copy of a module's state."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> list[str]:
    """Names whose tensors differ in any bit."""
    return [name for name in after if name not in before or not torch.equal(bits(before[name]), bits(after[name]))]


@torch.no_grad()
def nudge(module: nn.Module) -> None:
    """Move parameters that start at zero a little: behind a factor of zero no gradient arrives, and none is missing."""
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        if parameter.requires_grad and not bool(parameter.any()):
            parameter.copy_(_NUDGE * torch.randn(parameter.shape, generator=generator))


def unreached(module: nn.Module, loss: Callable[[], Tensor]) -> list[str]:
    """The trainable parameters that a loss sends no gradient."""
    module.zero_grad(set_to_none=True)
    value = loss()
    if value.requires_grad:
        torch.autograd.backward(value)
    names = [n for n, p in module.named_parameters() if p.requires_grad and (p.grad is None or not bool(p.grad.any()))]
    module.zero_grad(set_to_none=True)
    return names


def projection(outputs: Sequence[Tensor]) -> Tensor:
    """A scalar on which every number of the outputs has its own influence."""
    generator = torch.Generator().manual_seed(0)
    return sum(((z * torch.randn(z.shape, generator=generator)).sum() for z in outputs), torch.zeros(()))


def listed(names: Iterable[str], most: int = 3) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def trainable(module: nn.Module) -> list[str]:
    """The names of a module's trainable parameters."""
    return [name for name, parameter in module.named_parameters() if parameter.requires_grad]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """As runs on a CPU have it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def milliseconds(run: Callable[[], object], repeats: int = 3) -> float:
    """The shortest of a few runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)
