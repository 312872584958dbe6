"""The store: whole episodes of one length, each rendered frame kept once."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from fetchbench.replay.staging import Staging


@dataclass(frozen=True)
class EpisodeBatch:
    """N finished episodes of T steps, as numpy arrays.

    Attributes:
        observation: ``float32 (N, T+1, D)``, the task's observation at every state.
        achieved: ``float32 (N, T+1, 3)``, the achieved goal at every state.
        desired: ``float32 (N, G)``, the goal that the episode pursued.
        action: ``float32 (N, T, A)`` in [-1, 1].
        frames: ``(N, T+1, *item)``, one frame per state; ``None`` without pixels.
        goal_frames: ``(N, *item)``, an image of the goal; ``None`` on tracks without.
    """

    observation: np.ndarray
    achieved: np.ndarray
    desired: np.ndarray
    action: np.ndarray
    frames: np.ndarray | None
    goal_frames: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.desired)

    def arrays(self) -> dict[str, np.ndarray]:
        """Field -> array, without the fields that are ``None``."""
        pairs = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: array for name, array in pairs if array is not None}


class Replay:
    """A ring of finished episodes.

    Since Fetch episodes never terminate early, all have the same length T, and the frame of state t of the episode in slot e
    is number ``e * (T + 1) + t``: everything else follows by arithmetic, in O(batch).

    Args:
        capacity: Episodes held; the oldest make room.
        horizon: T, steps per episode.
        observation_dim: D.
        action_dim: A.
        goal_dim: G, of the pursued goals (3 in the vector goal space).
        frame: Shape of one stored frame, ``(3, H, W)``; ``None`` stores no frames.
        frame_dtype: ``torch.uint8`` for pixels.
        goal_frames: Whether an image of each episode's goal is kept too.
        device: Where batches are wanted.
        frames_device: Where frames are kept; the same device where it is large enough.
    """

    def __init__(
        self,
        *,
        capacity: int,
        horizon: int,
        observation_dim: int,
        action_dim: int,
        goal_dim: int = 3,
        frame: tuple[int, ...] | None = None,
        frame_dtype: torch.dtype = torch.uint8,
        goal_frames: bool = False,
        device: torch.device | str = "cpu",
        frames_device: torch.device | str | None = None,
    ) -> None:
        self.capacity = capacity
        self.horizon = horizon
        self.added = 0
        """Episodes ever added; the slot of episode i is ``i % capacity``."""
        self.observation = torch.zeros(capacity, horizon + 1, observation_dim, device=device)
        # A tensor's own device has a number: "cuda" is not equal to the "cuda:0" that it means.
        self.device = self.observation.device
        self.achieved = torch.zeros(capacity, horizon + 1, 3, device=device)
        self.desired = torch.zeros(capacity, goal_dim, device=device)
        self.action = torch.zeros(capacity, horizon, action_dim, device=device)
        self.goal_frames: Tensor | None = None
        """``(capacity, *item)``, on :attr:`device`; ``None`` where none are kept."""
        if goal_frames and frame is not None:
            self.goal_frames = torch.zeros(capacity, *frame, dtype=frame_dtype, device=device)
        self._frames: Tensor | None = None
        self._staging: Staging | None = None
        if frame is not None:
            # `empty`: pages of memory are taken when frames arrive, not at the start.
            size = (capacity * (horizon + 1), *frame)
            self._frames = torch.empty(size, dtype=frame_dtype, device=frames_device or device)
            if self._frames.device != self.device:
                self._staging = Staging(self.device)

    def __len__(self) -> int:
        """Episodes held."""
        return min(self.added, self.capacity)

    @property
    def transitions(self) -> int:
        """Transitions held."""
        return len(self) * self.horizon

    @property
    def has_frames(self) -> bool:
        return self._frames is not None

    @property
    def frames_device(self) -> torch.device:
        """Where frames are kept, and where :meth:`stacks` wants its indices so that nothing waits."""
        return self.device if self._frames is None else self._frames.device

    @property
    def bytes(self) -> int:
        """Memory of the transitions held, in bytes."""
        tensors = [self.observation, self.achieved, self.desired, self.action]
        tensors += [kept for kept in (self._frames, self.goal_frames) if kept is not None]
        return int(sum(t.nbytes for t in tensors) / self.capacity * len(self))

    def add(self, episodes: EpisodeBatch) -> None:
        """Store finished episodes, the oldest first.

        Raises:
            ValueError: Shapes that do not fit the store, or frames where it holds none, or the reverse.
        """
        if (episodes.frames is not None) != self.has_frames:
            raise ValueError(f"the replay stores {'frames' if self.has_frames else 'no frames'}, the episodes differ")
        if (episodes.goal_frames is not None) != (self.goal_frames is not None):
            kept = "no goal images" if self.goal_frames is None else "goal images"
            raise ValueError(f"the replay stores {kept}, the episodes differ")
        for name, array in episodes.arrays().items():
            expected = self._expected(name)
            if tuple(array.shape[1:]) != expected:
                raise ValueError(f"episodes.{name} is {array.shape[1:]} per episode, the replay holds {expected}")
        for i in range(len(episodes)):
            slot = self.added % self.capacity
            for name, array in episodes.arrays().items():
                self._part(name)[self._rows(name, slot)] = torch.from_numpy(np.ascontiguousarray(array[i]))
            self.added += 1

    def episodes(self, start: int, stop: int) -> EpisodeBatch:
        """Episodes number ``start`` to ``stop`` (of all ever added), for a checkpoint.

        Raises:
            ValueError: Episodes that are no longer, or not yet, held.
        """
        if not self.added - len(self) <= start <= stop <= self.added:
            raise ValueError(f"episodes {start} to {stop} are not held: {self.added - len(self)} to {self.added} are")
        slots = [i % self.capacity for i in range(start, stop)]

        def gather(name: str) -> np.ndarray:
            part = self._part(name)
            rows = [part[self._rows(name, slot)] for slot in slots]
            return (torch.stack(rows) if rows else part.new_empty(0, *self._expected(name))).cpu().numpy()

        return EpisodeBatch(
            observation=gather("observation"),
            achieved=gather("achieved"),
            desired=gather("desired"),
            action=gather("action"),
            frames=gather("frames") if self.has_frames else None,
            goal_frames=None if self.goal_frames is None else gather("goal_frames"),
        )

    def stacks(self, episode: Tensor, step: Tensor, frames: int, following: int) -> Tensor:
        """Gather each transition's frames: its stack and the frames that follow.

        Args:
            episode: ``int64 (B,)`` slots, on :attr:`frames_device`.
            step: ``int64 (B,)``, t, likewise.
            frames: F, the stack; before the episode's first frame that frame is repeated.
            following: K; past the episode's last frame that frame is repeated.

        Returns:
            ``(B, F+K, *item)`` on :attr:`device`; ``[:, :F]`` is the observation and ``[:, 1 : F+1]`` the next.
        """
        if self._frames is None:
            raise ValueError("this replay stores no frames")
        stored = self._frames
        offsets = torch.arange(1 - frames, following + 1, device=stored.device)
        states = (step[:, None] + offsets).clamp_(0, self.horizon)  # (B, F+K)
        index = (episode[:, None] * (self.horizon + 1) + states).flatten()
        gathered = stored.index_select(0, index) if self._staging is None else self._staging.gather(stored, index)
        return gathered.reshape(*states.shape, *stored.shape[1:])

    def frames_at(self, episode: Tensor, state: Tensor) -> Tensor:
        """Single frames: ``int64 (B,)`` slots and states 0..T, on any device -> ``(B, *item)`` on :attr:`device`."""
        there = self.frames_device
        return self.stacks(episode.to(there), state.to(there), frames=1, following=0)[:, 0]

    def _part(self, name: str) -> Tensor:
        if name != "frames":
            part: Tensor = getattr(self, name)
            return part
        assert self._frames is not None
        return self._frames

    def _rows(self, name: str, slot: int) -> int | slice:
        return slice(slot * (self.horizon + 1), (slot + 1) * (self.horizon + 1)) if name == "frames" else slot

    def _expected(self, name: str) -> tuple[int, ...]:
        """Shape of one episode's part."""
        part = self._part(name)
        return (self.horizon + 1, *part.shape[1:]) if name == "frames" else tuple(part.shape[1:])
