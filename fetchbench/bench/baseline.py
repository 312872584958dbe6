"""Everything of stable-baselines3: SAC + HerReplayBuffer, as a user would set it up who wants what we measure.

What SB3 is given, and why:

- the same networks: our encoder's own module as its features extractor, heads of the same widths, the same number of
  parameters; vectors and goals centred and scaled in the extractor, as our learner does it;
- ``normalize_images=False``: our encoder divides by 255 itself, and SB3 would do it a second time;
- frames that are drawn at their own size, in the same picture as ours (:mod:`fetchbench.bench.stock`), channels first, so that
  it has nothing to transpose;
- the same learning rate, discount, averaging, entropy, batch, warm-up, k and strategy; updates per step 1, one environment;
- its environment in its own process (``DummyVecEnv``), as it does by default;
- the same number of threads;
- no logger, no callback, no evaluation.

What it is not given, because it has no switch for it: bfloat16, ``torch.compile``, a replay that keeps each frame once, and the
routing ``critic``. It is measured as it comes, which is what a user gets; and once more "tuned", with what our runs set outside
any learner: glibc keeps freed memory, and denormal numbers are flushed to zero.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import SAC
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from stable_baselines3.her import HerReplayBuffer
from torch import Tensor, nn

from fetchbench.environment.tasks import Task
from fetchbench.environment.tracks import VectorLayout, vector_layout
from fetchbench.protocol import LearnerSettings, Track
from fetchbench.replay import EpisodeBatch
from fetchbench.run.arithmetic import keep_memory
from fetchbench.specs import FrameShape

Observation = dict[str, Any]


def prepare(threads: int, tuned: bool = False) -> None:
    """Set the process up.

    Args:
        threads: Of its arithmetic.
        tuned: Whether to set what SB3 leaves alone and our runs set: :func:`fetchbench.run.arithmetic.keep_memory`, and
            denormal numbers flushed to zero.
    """
    torch.set_num_threads(threads)
    # Making an optimiser imports this, and Triton with it, which crashes where a frame has been drawn in software before.
    importlib.import_module("torch._dynamo")
    if tuned:
        keep_memory()
        torch.set_flush_denormal(True)


class Features(BaseFeaturesExtractor):
    """Our encoder's features, then the vectors and the goal, centred and scaled: what our heads see.

    Args:
        space: The observation space.
        encoder: Makes the module.
        shape: Of one observation's frames.
        layout: The track's vectors.
        task: Its goals' constants.
    """

    center: Tensor
    scale: Tensor

    def __init__(
        self,
        space: spaces.Dict,
        encoder: Callable[[FrameShape], nn.Module],
        shape: FrameShape,
        layout: VectorLayout,
        task: Task,
    ) -> None:
        module = encoder(shape)
        with torch.no_grad():
            width = module(torch.zeros((1, *shape), dtype=torch.uint8)).shape[1]
        super().__init__(space, width + len(layout.indices) + task.goal_dim)
        self.encoder, self._frames = module, shape.frames
        self._vectors = bool(layout.indices)
        self.register_buffer("center", torch.tensor([*layout.center, *task.goal_center], dtype=torch.float32))
        scale = [*layout.scale, *[task.goal_scale] * task.goal_dim]
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))

    def forward(self, observation: dict[str, Tensor]) -> Tensor:
        """``frames (B, F * 3, H, W)``, which SB3 has made ``float32``, and vectors -> ``float32 (B, width)``."""
        frames = observation["frames"]
        z = self.encoder(frames.reshape(len(frames), self._frames, -1, *frames.shape[2:]))
        vectors = observation["desired_goal"]
        if self._vectors:
            vectors = torch.cat([observation["proprioception"], vectors], dim=-1)
        return torch.cat([z, (vectors - self.center) * self.scale], dim=-1)


class Offline(gymnasium.Env[Observation, NDArray[np.float32]]):
    """What HerReplayBuffer asks of an environment that is never stepped: spaces, and the reward of relabelled goals.

    Args:
        task: The task; its reward is gymnasium-robotics' own, and a test holds them equal.
        shape: Of one observation's frames.
        proprioception: Width; 0 leaves it out.
    """

    def __init__(self, task: Task, shape: FrameShape, proprioception: int) -> None:
        self._task = task
        self.observation_space = observation_space(shape, proprioception, task.goal_dim)
        self.action_space = spaces.Box(-1.0, 1.0, (task.action_dim,), np.float32)

    def reset(self, **_: Any) -> tuple[Observation, dict[str, Any]]:
        return self.observation_space.sample(), {}

    def compute_reward(self, achieved: NDArray[Any], desired: NDArray[Any], info: Any) -> NDArray[np.float32]:
        """``(B, 3)``, ``(B, 3)`` -> ``float32 (B,)``."""
        return self._task.reward(achieved, desired)


def observation_space(shape: FrameShape, proprioception: int, goal: int) -> spaces.Dict:
    """Frames channels first, as SB3 wants them; vectors ``float64``, as gymnasium-robotics has them."""

    def vector(width: int) -> spaces.Box:
        return spaces.Box(-np.inf, np.inf, (width,), np.float64)

    size = (shape.frames * shape.channels, shape.height, shape.width)
    parts: dict[str, spaces.Space[Any]] = {"frames": spaces.Box(0, 255, size, np.uint8)}
    if proprioception:
        parts["proprioception"] = vector(proprioception)
    return spaces.Dict(parts | {"achieved_goal": vector(goal), "desired_goal": vector(goal)})


def build(
    environment: VecEnv,
    task: Task,
    shape: FrameShape,
    settings: LearnerSettings,
    track: Track,
    encoder: Callable[[FrameShape], nn.Module],
    *,
    shared: bool = False,
    buffer_steps: int,
    seed: int = 0,
    device: str = "cpu",
) -> SAC:
    """SB3's SAC + HerReplayBuffer at our learner's settings.

    Args:
        environment: What it learns in.
        task: Its constants.
        shape: Of one observation's frames.
        settings: Ours.
        track: ``pixels`` or ``pixels-only``.
        encoder: Makes the encoder's module.
        shared: ``share_features_extractor``: our routing ``actor``; else ``separate``.
        buffer_steps: Transitions that its replay holds.
        seed: Of its weights and draws.
        device: Where it learns.
    """
    learned = settings.entropy == "learned"
    layout = vector_layout(track, task, track)
    model = SAC(
        "MultiInputPolicy",
        environment,
        learning_rate=settings.learning_rate,
        buffer_size=buffer_steps,
        learning_starts=settings.warmup_steps,
        batch_size=settings.batch_size,
        tau=settings.target_rate,
        gamma=settings.discount,
        train_freq=1,
        gradient_steps=1,
        ent_coef=f"auto_{settings.entropy_coefficient}" if learned else settings.entropy_coefficient,
        target_entropy=settings.target_entropy,
        replay_buffer_class=HerReplayBuffer,
        replay_buffer_kwargs={"n_sampled_goal": settings.relabel_k, "goal_selection_strategy": settings.relabel_strategy},
        policy_kwargs={
            "net_arch": list(settings.hidden),
            "normalize_images": False,
            "share_features_extractor": shared,
            "features_extractor_class": Features,
            "features_extractor_kwargs": {"encoder": encoder, "shape": shape, "layout": layout, "task": task},
        },
        seed=seed,
        device=device,
    )
    model.set_logger(Logger(None, []))
    return model


def offline(task: Task, shape: FrameShape, proprioception: int) -> VecEnv:
    """A vector environment of one :class:`Offline`."""
    return DummyVecEnv([lambda: Offline(task, shape, proprioception)])


def make_buffer(
    task: Task, shape: FrameShape, settings: LearnerSettings, transitions: int, device: str = "cpu"
) -> HerReplayBuffer:
    """An empty HerReplayBuffer for the track ``pixels``; its batches go to the device."""
    environment = offline(task, shape, len(task.proprioception))
    return HerReplayBuffer(
        transitions,
        environment.observation_space,  # type: ignore[arg-type]
        environment.action_space,
        environment,
        device=device,
        n_sampled_goal=settings.relabel_k,
        goal_selection_strategy=settings.relabel_strategy,
    )


def fill(buffer: HerReplayBuffer, task: Task, episodes: EpisodeBatch, transitions: int, stack: int) -> None:
    """Add transitions, one by one as SB3's own loop does, the given episodes over and over.

    Args:
        buffer: Empty.
        task: Horizon, proprioception.
        episodes: What is added.
        transitions: How many; a multiple of the horizon.
        stack: F; before the episode's first frame that frame is repeated.
    """
    assert episodes.frames is not None
    for number in range(transitions // task.horizon):
        e = number % len(episodes)
        states = np.arange(task.horizon + 1)[:, None] + np.arange(1 - stack, 1)
        frames = episodes.frames[e][states.clip(0)]  # (T+1, F, 3, H, W)
        frames = frames.reshape(len(frames), -1, *frames.shape[3:])
        proprioception = episodes.observation[e][:, list(task.proprioception)]
        for t in range(task.horizon):
            now, after = (
                {
                    "frames": frames[s][None],
                    "proprioception": proprioception[s][None],
                    "achieved_goal": episodes.achieved[e, s][None],
                    "desired_goal": episodes.desired[e][None],
                }
                for s in (t, t + 1)
            )
            reward = task.reward(episodes.achieved[e, t + 1], episodes.desired[e])
            done = np.array([t == task.horizon - 1])
            info = [{"TimeLimit.truncated": bool(done[0])}]
            buffer.add(now, after, episodes.action[e, t][None], np.array([reward]), done, info)


def buffer_bytes(buffer: HerReplayBuffer) -> int:
    """Memory of its arrays."""
    arrays = [*buffer.observations.values(), *buffer.next_observations.values(), buffer.actions, buffer.rewards]
    arrays += [buffer.dones, buffer.timeouts, buffer.ep_start, buffer.ep_length, buffer.infos]
    return sum(array.nbytes for array in arrays)
