"""The training loop of one run."""

from __future__ import annotations

import functools
import math
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from fetchbench.environment.tasks import get_task
from fetchbench.environment.vector import VectorEnvironment
from fetchbench.errors import DivergedError, StorageError, one_line
from fetchbench.learner.build import Built
from fetchbench.learner.draws import draw
from fetchbench.records.diagnosis import score_of, stopped_by
from fetchbench.records.schema import AuditEntry, Cost, EvaluationPoint, Result, RunRequest, Status
from fetchbench.records.store import append_line, storage_errors
from fetchbench.replay import Replay
from fetchbench.replay.hindsight import DRAWS
from fetchbench.run.audit import Audit, FrozenCheck
from fetchbench.run.checkpoint import Checkpoint, DamagedError
from fetchbench.run.evaluation import evaluate
from fetchbench.run.probes import Probes
from fetchbench.run.rollout import Rollout
from fetchbench.run.signals import Signals
from fetchbench.run.streams import Generators, evaluation_seed, reset_seed, stream_seed
from fetchbench.specs import Pursued

CORE_METRICS = ("critic_loss", "actor_loss", "auxiliary_loss", "q", "target", "alpha", "entropy")
"""What must stay finite; the other metrics are an auxiliary loss's own."""


class Trainer:
    """Collects, learns, evaluates and checkpoints, in rounds of N episodes side by side.

    Everything that decides the outcome is a function of the request; all state between rounds is in :meth:`state_dict` and
    the replay. Environments have none: each episode is reset with its own seed.

    Args:
        request: What to run.
        built: The method's networks.
        environment: Steps and draws the episodes, for training and evaluation.
        folder: The run's directory.

    Attributes:
        stopped: Why the suite's rule ended the run before its budget was spent; empty otherwise.
    """

    def __init__(self, request: RunRequest, built: Built, environment: VectorEnvironment, folder: Path) -> None:
        self.request, self.built, self.environment, self.folder = request, built, environment, folder
        self.task = get_task(request.task)
        self.learner = built.learner
        self.generators = Generators(request.task, request.seed)
        self.replay = self._replay()
        self.sampler = built.sampler(self.replay)
        self.checkpoint = Checkpoint(folder / "checkpoint")
        self.frozen = FrozenCheck(self.learner)
        self.probes = Probes(request, built, environment)
        self.steps = 0
        self.episodes = 0
        self.credit = 0.0
        self.evaluations: list[EvaluationPoint] = []
        self.audit: list[AuditEntry] = []
        self.signals = Signals()
        self.stopped = ""
        self.spent = {"wall_s": 0.0, "core_s": 0.0, "steps": 0.0, "updates": 0.0}
        self._metrics_path = folder / "metrics.jsonl"
        self._last: dict[str, Tensor] = {}
        self._began: tuple[float, float] = (time.monotonic(), self._core_seconds())

    def _replay(self) -> Replay:
        s, task, frame = self.request.learner, self.task, self.built.frame
        steps = min(s.buffer_steps or self.request.budget.steps, self.request.budget.steps)
        round_steps = task.horizon * s.environments
        capacity = math.ceil(steps / round_steps) * s.environments
        dtype = self.built.frame_dtype
        frames_bytes = 0 if frame is None else capacity * (task.horizon + 1) * math.prod(frame) * dtype.itemsize
        device = self.learner.device
        return Replay(
            capacity=capacity,
            horizon=task.horizon,
            observation_dim=task.observation_dim,
            action_dim=task.action_dim,
            goal_dim=task.goal_dim,
            frame=frame,
            frame_dtype=dtype,
            goal_frames=self.built.goal_images,
            device=device,
            frames_device=frames_device(device, frames_bytes),
        )

    # -- the loop -----------------------------------------------------------------------------------------------------

    def resume(self) -> bool:
        """Continue from the checkpoint, if there is a sound one.

        Returns:
            Whether there was. A damaged one is removed, and the run starts again: the result is the same.

        Raises:
            StorageError: It could not be read this time, or another version wrote it; it stays.
        """
        if not self.checkpoint.exists:
            self._metrics_path.unlink(missing_ok=True)
            return False
        try:
            state, metrics_bytes = self.checkpoint.load(self.replay)
            if state["key"] != self.request.key:
                raise DamagedError(f"{self.checkpoint.folder} belongs to another run")
            execution = self.request.execution.model_dump(mode="json")
            if state.get("execution", execution) != execution:  # a request that was lost and asked for anew, otherwise
                before, now = (", ".join(f"{k} {v}" for k, v in e.items()) for e in (state["execution"], execution))
                raise DamagedError(f"{self.checkpoint.folder} was reckoned with {before}, not {now}")
            if state["steps"] < self.request.budget.steps and len(self.replay) < min(state["episodes"], self.replay.capacity):
                raise DamagedError(f"{self.checkpoint.folder} is what a finished run leaves, without the episodes")
        except DamagedError as error:
            self._metrics_path.unlink(missing_ok=True)  # of a life that is given up
            self.log("notice", text=f"the checkpoint cannot be used, the run starts again: {error}")
            self.checkpoint.clear()
            self.replay.added = 0
            return False
        try:
            self.load_state_dict(state)
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise StorageError(
                f"{self.checkpoint.folder}: another version of fetchbench wrote it ({one_line(error)}); "
                "delete the run's folder and run the suite again"
            ) from error
        with storage_errors("write", self._metrics_path), self._metrics_path.open("ab") as file:
            if file.tell() > metrics_bytes:
                file.truncate(metrics_bytes)
        if self.checkpoint.notice:
            why = f"the last checkpoint cannot be used, the run goes on from the one before: {self.checkpoint.notice}"
            self.log("notice", text=why)
        if state["renderer"] != self.environment.report:
            before, now = (" ".join(r.values()) or "nothing" for r in (state["renderer"], self.environment.report))
            self.log("notice", text=f"frames were drawn by {before} and are now by {now}: they may differ in the last bits")
        return True

    def train(self, interrupted: Callable[[], bool] = lambda: False) -> bool:
        """Run until the budget is spent, or the suite's rule stops it.

        Args:
            interrupted: Asked at every episode end; when true, a checkpoint is written and the loop left.

        Returns:
            Whether the run is over.

        Raises:
            DivergedError: A loss or an action is no longer finite.
            RoutingError: The routing audit failed.
        """
        budget, cadence = self.request.budget, self.request.evaluation
        self._probe()
        self.stopped = self._stopped()  # it may have been killed before its record was written
        while self.steps < budget.steps and not self.stopped:
            before, updates = self.steps, self.learner.updates
            self._round()
            if self.learner.updates > updates:
                self.signals.note(self._last)
            self._check_finite({name: value for name, value in self._last.items() if name in CORE_METRICS})
            over = self.steps >= budget.steps
            if over or crossed(before, self.steps, cadence.every_steps):
                self._evaluate()
                self.stopped = self._stopped()
            over = over or self.stopped != ""
            self._probe()
            self._progress()
            stop = interrupted()
            if over or stop or crossed(before, self.steps, budget.checkpoint_every_steps):
                self.save()
            if stop and not over:
                return False
        self.frozen.verify()
        return True

    def _round(self) -> None:
        """One episode in every environment, with the updates that belong to its steps."""
        s, n = self.request.learner, self.environment.count
        seeds = [reset_seed(self.request.task, self.request.seed, self.episodes + i) for i in range(n)]
        exploration = self.generators["exploration"]
        untrained = self.learner.updates == 0
        goal_draws = torch.rand(n, max(1, self.built.goal_draws), generator=exploration).to(self.learner.device)
        rollout = Rollout(self.environment, self.task, self.built, seeds, functools.partial(self._explore, goal_draws))
        while not rollout.over:
            if self.steps < s.warmup_steps:
                action = (torch.rand(n, self.task.action_dim, generator=exploration) * 2 - 1).numpy()
            else:
                action = rollout.act(torch.randn(n, self.task.action_dim, generator=exploration))
            rollout.begin(action)
            self.steps += n
            # The environment works while the learner does: updates read finished episodes alone, so the order is fixed.
            if self.steps > s.warmup_steps:
                self.credit += n * s.updates_per_step
                while self.credit >= 1:
                    self.credit -= 1
                    self._update()
            rollout.finish()
        if rollout.frames is not None and rollout.goal_frames is not None and self.built.reward == "latent" and untrained:
            # Random play pursues nothing, and networks that have learned nothing imagine nothing: where it came to is its goal.
            rollout.goal_frames = rollout.frames[:, -1]
        self.replay.add(rollout.episodes())
        self.episodes += n
        if self.learner.updates and (refresh := getattr(self.built.goals, "refresh", None)):
            seed = stream_seed(self.request.task, self.request.seed, "goals", self.episodes)
            refresh(self.replay, torch.Generator().manual_seed(seed))

    def _explore(self, draws: Tensor, task: Pursued) -> Pursued:
        return self.built.goals.sample_exploration(self.replay, task, draws)

    def _update(self) -> None:
        a = self.learner.auxiliary
        if a is not None and self.learner.updates == 0 and a.pretraining_updates:
            self._pretrain(a.pretraining_updates)
        due = self.learner.updates == 0 or len(self.audit) <= len(self.evaluations)
        # An audit sees all losses at work.
        due = due and (a is None or self.learner.updates % a.period == 0)
        observer = Audit(self.learner) if due else None
        batch = self.sampler(*self._replay_draws())
        self._last = self.learner.update(batch, self._draws(), observer)
        if observer is not None:
            self._check_finite(observer.norms())
            self.audit.append(observer.entry())
            observer.verify()

    def _pretrain(self, updates: int) -> None:
        for _ in range(updates):
            draws, own = self._replay_draws()
            sequences = self.sampler(draws).sequences if own is None else self.sampler.own_sequences(own)
            if sequences is not None:
                self.learner.pretrain(sequences, self._draws())

    def _replay_draws(self) -> tuple[Tensor, Tensor | None]:
        generator, own = self.generators["replay"], self.built.own_batch
        width = DRAWS + self.built.goal_draws
        draws = torch.rand(self.request.learner.batch_size, width, generator=generator, dtype=torch.float64)
        if own is None:
            return draws, None
        return draws, torch.rand(own, DRAWS, generator=generator, dtype=torch.float64)

    def _draws(self) -> Any:
        return draw(self.built.draws, self.generators["noise"], self.generators["augmentation"], self.learner.device)

    def _evaluate(self) -> None:
        index, request = len(self.evaluations), self.request
        point = evaluate(
            self.environment,
            self.task,
            self.built,
            lambda episode: evaluation_seed(request.task, request.seed, index, episode),
            count=request.evaluation.episodes,
            steps=self.steps,
        )
        self.evaluations.append(point)
        self.log("evaluation", **point.model_dump())
        if signal := self.signals.close(self.steps, self.learner.updates):
            self.log("signal", **signal.model_dump())

    def _stopped(self) -> str:
        if self.steps >= self.request.budget.steps:
            return ""
        return stopped_by(self.request.stop, self.evaluations, self.signals.points)

    def _probe(self) -> None:
        for found in self.probes.take(self.steps):
            self.log("probe", **found.model_dump())

    def _check_finite(self, values: Mapping[str, Tensor | float]) -> None:
        for name, value in values.items():
            if not math.isfinite(float(value)):
                raise DivergedError(f"{name} is {float(value)} after {self.learner.updates} updates")

    # -- what is written ----------------------------------------------------------------------------------------------

    def log(self, kind: str, **values: Any) -> None:
        """Append a line to the run's metrics."""
        append_line(self._metrics_path, {"kind": kind, **values})

    def _progress(self) -> None:
        wall, _ = self._elapsed()
        last = {name: float(value) for name, value in self._last.items()}
        # A plugin's own metric need not be finite (a share of nothing); JSON knows no such number.
        values = {name: round(value, 6) if math.isfinite(value) else None for name, value in last.items()}
        self.log(
            "progress",
            steps=self.steps,
            updates=self.learner.updates,
            steps_per_s=round((self.steps - self.spent["steps"]) / max(wall, 1e-9), 2),
            **values,
        )

    def save(self) -> None:
        """Write a checkpoint."""
        self.checkpoint.save(self.state_dict(), self.replay, self._metrics_path.stat().st_size)

    def state_dict(self) -> dict[str, Any]:
        """All state between rounds but the replay."""
        wall, core = self._elapsed()
        return {
            "key": self.request.key,
            "execution": self.request.execution.model_dump(mode="json"),
            "learner": self.learner.state_dict(),
            "generators": self.generators.state_dict(),
            # Nothing here draws from it; a plugin that does so against the rules is at least continued.
            "global_generator": torch.get_rng_state(),
            "renderer": dict(self.environment.report),
            "steps": self.steps,
            "episodes": self.episodes,
            "credit": self.credit,
            "evaluations": [point.model_dump() for point in self.evaluations],
            "audit": [entry.model_dump() for entry in self.audit],
            "probes": self.probes.state_dict(),
            "signals": self.signals.state_dict(),
            "goals": kept() if (kept := getattr(self.built.goals, "state_dict", None)) else {},
            "spent": {
                "wall_s": self.spent["wall_s"] + wall,
                "core_s": self.spent["core_s"] + core,
            },
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        self.learner.load_state_dict(state["learner"])
        self.generators.load_state_dict(state["generators"])
        torch.set_rng_state(state["global_generator"])
        self.steps, self.episodes, self.credit = state["steps"], state["episodes"], state["credit"]
        self.evaluations = [EvaluationPoint(**point) for point in state["evaluations"]]
        self.audit = [AuditEntry(**entry) for entry in state["audit"]]
        if "probes" in state:  # runs from before there were any go on; those without an encoder have none
            self.probes.load_state_dict(state["probes"])
        if "signals" in state:  # likewise: those runs have none of before
            self.signals.load_state_dict(state["signals"])
        if state.get("goals") and (load := getattr(self.built.goals, "load_state_dict", None)):
            load(state["goals"])
        self.spent = {**state["spent"], "steps": float(self.steps), "updates": float(self.learner.updates)}
        self._began = (time.monotonic(), self._core_seconds())

    def result(self, status: Status, reason: str = "") -> Result:
        """The outcome so far, sealed."""
        score = score_of(status, self.evaluations, self.request.evaluation.last)
        return Result(
            status=status,
            reason=reason,
            steps=self.steps,
            updates=self.learner.updates,
            episodes=self.episodes,
            score=score,
            evaluations=self.evaluations,
            audit=self.audit,
            parameters=self.parameters(),
            feature_dim=self.built.feature_dim,
            probes=self.probes.points,
            goal_distance=self.probes.goal_distance,
            signals=self.signals.points,
        ).sealed()

    def parameters(self) -> dict[str, int]:
        """Group -> parameters, the averaged copies left out; ``encoder`` counts one copy, trainable or not."""
        counts: dict[str, int] = {}
        for name, module in self.learner.modules().items():
            if name.startswith(("target", "momentum")) or name == "actor encoder":
                continue
            counts[name.removeprefix("critic ")] = sum(p.numel() for p in module.parameters())
        return counts

    def cost(self, attempts: int) -> Cost:
        """What the run took, over all attempts that a checkpoint kept."""
        wall, core = self._elapsed()
        wall, core = self.spent["wall_s"] + wall, self.spent["core_s"] + core
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 + self.environment.usage().peak_memory_mb
        gpu = self.learner.device.type == "cuda"
        return Cost(
            wall_s=round(wall, 1),
            core_s=round(core, 1),
            steps_per_s=round(self.steps / max(wall, 1e-9), 2),
            updates_per_s=round(self.learner.updates / max(wall, 1e-9), 2),
            peak_memory_mb=round(peak, 1),
            peak_gpu_memory_mb=round(torch.cuda.max_memory_allocated() / 2**20, 1) if gpu else None,
            replay_mb=round(self.replay.bytes / 2**20, 1),
            frames_on=self._frames_on(),
            frames_as=self._frames_as(),
            probe_s=round(self.probes.spent_s, 1),
            attempts=attempts,
        )

    def _frames_on(self) -> Literal["", "cpu", "cuda"]:
        if not self.replay.has_frames:
            return ""
        return "cuda" if self.replay.frames_device.type == "cuda" else "cpu"

    def _frames_as(self) -> Literal["", "pixels", "embeddings"]:
        if not self.replay.has_frames:
            return ""
        return "embeddings" if self.built.cached else "pixels"

    def _elapsed(self) -> tuple[float, float]:
        return time.monotonic() - self._began[0], self._core_seconds() - self._began[1]

    def _core_seconds(self) -> float:
        """Processor time of this process and of its environment's workers."""
        own = resource.getrusage(resource.RUSAGE_SELF)
        return own.ru_utime + own.ru_stime + self.environment.usage().core_s


def crossed(before: int, after: int, every: int) -> bool:
    """Whether a multiple of ``every`` lies in (before, after]."""
    return after // every > before // every


def frames_device(device: torch.device, frames_bytes: int) -> torch.device:
    """Where frames are kept: beside the networks if they take under 60 % of the free memory there, else on the host."""
    if device.type != "cuda":
        return device
    free, _ = torch.cuda.mem_get_info(device)
    return device if frames_bytes < 0.6 * free else torch.device("cpu")
