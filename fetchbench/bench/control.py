"""A control for the learner: stable-baselines3's SAC + HER on FetchPush-v4 from state, at the preset ``push-state``.

``python -m fetchbench.bench.control --seed 0 --steps 2000000 --out FILE``

The networks see what ours see on the track ``state``, centred and scaled by the same constants. The features extractor does
that, so that the replay and ``compute_reward`` keep goals in metres. Evaluation episodes are those of our runs of that seed.

As ours, in SB3's words: one gradient step per vector step of eight environments is 0.125 updates per environment step; warm-up;
Adam; ReLU; the critic loss (half the sum); bounds of the log standard deviation; ``future`` relabelling, the transition's own
outcome included; sampling from finished episodes alone; the truncated last step bootstraps (``handle_timeout_termination``).

What SB3 does differently: exactly ``int(0.8 * 256)`` transitions of a batch are relabelled, ours are in expectation;
``log(1 - a^2)`` has 1e-6 added within; a finished episode can be sampled one update sooner; resets follow the environments' own
generators, seeded once; the replay holds float64.

It resumes from its last checkpoint, approximately: weights, optimisers and replay are continued, random streams begin anew.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import gymnasium
import numpy as np
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.vec_env import DummyVecEnv
from stable_baselines3.her import HerReplayBuffer
from torch import Tensor, nn

from fetchbench.environment.tasks import Task, get_task
from fetchbench.environment.tracks import vector_layout
from fetchbench.environment.vector import VectorEnvironment
from fetchbench.errors import StorageError
from fetchbench.machine import processor_name
from fetchbench.protocol import LEARNER_PRESETS, LearnerSettings, Scene
from fetchbench.records.store import storage_errors, write_atomically
from fetchbench.run.arithmetic import keep_memory
from fetchbench.run.provenance import PACKAGES
from fetchbench.run.streams import evaluation_seed

TASK = get_task("FetchPush-v4")


class StateVectors(nn.Module):
    """SB3's features extractor: the vectors of the track ``state``, and the goal behind them."""

    center: Tensor
    scale: Tensor

    def __init__(self, space: object, task: Task = TASK) -> None:
        super().__init__()
        layout = vector_layout("state", task, "pixels")
        center, scale = [*layout.center, *task.goal_center], [*layout.scale, *[task.goal_scale] * task.goal_dim]
        self.register_buffer("center", torch.tensor(center, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))
        self.features_dim = len(center)

    def forward(self, observation: Mapping[str, Tensor]) -> Tensor:
        """``observation (B, D)`` and ``desired_goal (B, 3)``, raw -> ``float32 (B, D + 3)``; ``achieved_goal`` is not read."""
        x = torch.cat([observation["observation"], observation["desired_goal"]], dim=-1)
        return (x.float() - self.center) * self.scale


def build(seed: int, s: LearnerSettings) -> SAC:
    """SB3's learner at our settings. Its environments step in this process: that takes the least processor time."""
    import fetchbench.environment.simulation  # noqa: F401  registers the tasks, and quietly

    environments = DummyVecEnv([lambda: gymnasium.make(TASK.id, disable_env_checker=True)] * s.environments)
    return SAC(
        "MultiInputPolicy",
        environments,
        learning_rate=s.learning_rate,
        buffer_size=s.buffer_steps or 1_000_000,
        learning_starts=s.warmup_steps,
        batch_size=s.batch_size,
        tau=s.target_rate,
        gamma=s.discount,
        train_freq=1,  # vector step
        gradient_steps=round(s.environments * s.updates_per_step),
        ent_coef=s.entropy_coefficient,
        replay_buffer_class=HerReplayBuffer,
        replay_buffer_kwargs={"n_sampled_goal": s.relabel_k, "goal_selection_strategy": s.relabel_strategy},
        policy_kwargs={"net_arch": list(s.hidden), "features_extractor_class": StateVectors},
        seed=seed,
        device="cpu",
    )


def evaluate(model: SAC, environment: VectorEnvironment, seed: int, index: int, count: int) -> dict[str, float]:
    """The deterministic policy's success, scored as :func:`fetchbench.run.evaluation.evaluate` does, on the same episodes."""
    outcomes: list[np.ndarray] = []  # per episode unsolved at reset: bool (T,)
    drawn, n = 0, environment.count
    while len(outcomes) < count:
        state = environment.reset([evaluation_seed(TASK.id, seed, index, drawn + i) for i in range(n)])
        success = [TASK.success(state.achieved, state.desired)]
        for _ in range(TASK.horizon):
            seen = {"observation": state.observation, "achieved_goal": state.achieved, "desired_goal": state.desired}
            state = environment.step(model.predict(seen, deterministic=True)[0])
            success.append(TASK.success(state.achieved, state.desired))
        drawn += n
        outcomes += [episode[1:] for episode in np.stack(success, axis=1) if not episode[0]]
    solved = np.stack(outcomes[:count])
    return {"success": float(solved[:, -1].mean()), "success_any": float(solved.any(axis=1).mean())}


def control(
    out: Path,
    seed: int,
    steps: int,
    settings: LearnerSettings = LEARNER_PRESETS["push-state"],
    *,
    evaluate_every: int = 100_000,
    save_every: int = 250_000,
    episodes: int = 50,
) -> None:
    """Train from the last checkpoint on, and write the file after each evaluation; a finished run is left alone.

    Raises:
        StorageError: The file holds a run with other settings.
    """
    asked = {"task": TASK.id, "seed": seed, "steps": steps, "learner": settings.model_dump(mode="json")}
    asked |= {"evaluate_every": evaluate_every, "episodes": episodes, "threads": torch.get_num_threads()}
    r: dict[str, Any] = asked | {"attempts": 0, "wall_s": 0.0, "evaluations": []}
    if out.exists():
        with storage_errors("read", out):
            r = json.loads(out.read_text())
        if any(r.get(name) != value for name, value in asked.items()):
            raise StorageError(f"{out} holds a run with other settings; name another file")
        if any(point["steps"] >= steps for point in r["evaluations"]):
            return
    packages = {name: importlib.metadata.version(name) for name in (*PACKAGES, "stable-baselines3")}
    r |= {"packages": packages, "processor": processor_name(), "attempts": r["attempts"] + 1}
    model = build(seed, settings)
    folder = out.parent / ".checkpoint" / out.stem
    r |= load(model, folder, seed)
    began = time.monotonic() - r["wall_s"]
    with VectorEnvironment(TASK, Scene(), None, settings.environments) as environment:
        while (now := model.num_timesteps) < steps:
            until = min(steps, *((now // every + 1) * every for every in (evaluate_every, save_every)))
            model.learn(until - now, log_interval=10**9, reset_num_timesteps=False)
            now, points = model.num_timesteps, r["evaluations"]
            if now % evaluate_every == 0 or now >= steps:
                found = evaluate(model, environment, seed, len(points), episodes)
                points.append({"steps": now, "updates": model._n_updates, **found})
                click.echo(json.dumps(points[-1]))
            r["wall_s"] = round(time.monotonic() - began, 1)
            write_atomically(out, json.dumps(r, indent=1) + "\n")
            if now % save_every == 0:
                save(model, folder, {name: r[name] for name in ("evaluations", "wall_s")})


def save(model: SAC, folder: Path, progress: dict[str, Any]) -> None:
    """Write a checkpoint. ``state.pt`` comes last and names its replay file: the two always belong together."""
    folder.mkdir(parents=True, exist_ok=True)
    replay = folder / f"replay-{model.num_timesteps}.pkl"
    model.save_replay_buffer(replay)
    buffer = io.BytesIO()
    counts = {"steps": model.num_timesteps, "updates": model._n_updates}
    torch.save({"progress": progress, **counts, "replay": replay.name, "parameters": model.get_parameters()}, buffer)
    write_atomically(folder / "state.pt", buffer.getvalue())
    for path in set(folder.glob("replay-*.pkl")) - {replay}:
        path.unlink()


def load(model: SAC, folder: Path, seed: int) -> dict[str, Any]:
    """Continue from a checkpoint, if there is one; returns the progress that was saved with it, or none."""
    if not (folder / "state.pt").exists():
        return {"evaluations": [], "wall_s": 0.0}
    state = torch.load(folder / "state.pt", weights_only=True)
    model.set_parameters(state["parameters"])
    model.load_replay_buffer(folder / state["replay"])
    model.num_timesteps, model._n_updates = state["steps"], state["updates"]
    model.set_random_seed(seed + state["steps"])  # else the first steps would be drawn again
    progress: dict[str, Any] = state["progress"]
    return progress


@click.command()
@click.option("--seed", default=0, help="Of the learner and of the evaluation episodes.")
@click.option("--steps", default=2_000_000, help="Environment steps, warm-up included.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The JSON file to write.")
def main(seed: int, steps: int, out: Path) -> None:
    """Train SB3's SAC + HER on FetchPush-v4 from state, and write its evaluations to a file."""
    os.environ.setdefault("MUJOCO_GL", "disable")  # nothing is drawn
    keep_memory()
    torch.set_num_threads(1)
    control(out, seed, steps)


if __name__ == "__main__":
    main()
