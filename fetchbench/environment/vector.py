from __future__ import annotations

import copy
import os
from dataclasses import dataclass

import numpy as np

os.environ.setdefault("MUJOCO_GL", "egl")


@dataclass(frozen=True)
class Observations:
    observation: np.ndarray
    achieved: np.ndarray
    desired: np.ndarray
    frames: np.ndarray | None


class VectorEnvironment:
    def __init__(self, task, scene, pixels, count, workers=1, timeout_s=60.0):
        import gymnasium as gym
        import gymnasium_robotics
        import mujoco

        gym.register_envs(gymnasium_robotics)
        self.envs = [gym.make(task.id).unwrapped for _ in range(count)]
        self.count = count
        self.pixels = pixels
        self.report = {}
        if pixels:
            m = copy.copy(self.envs[0].model)
            m.vis.quality.offsamples = 0
            m.site_rgba[:] = 0
            for g in range(m.ngeom):
                if m.body_mocapid[m.geom_bodyid[g]] >= 0:
                    m.geom_rgba[g, 3] = 0
            self.m = m
            self.d = mujoco.MjData(m)
            self.r = mujoco.Renderer(m, pixels.size, pixels.size)
            self.r.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
            self.cam = mujoco.MjvCamera()
            self.cam.lookat = [1.34, 0.75, 0.55]
            self.cam.distance, self.cam.azimuth, self.cam.elevation = 0.9, 132, -25

    def _obs(self, obs):
        fr = None
        if self.pixels:
            import mujoco

            fr = []
            for e in self.envs:
                s = e.data
                for k in ("qpos", "qvel", "act", "mocap_pos", "mocap_quat", "qacc_warmstart"):
                    getattr(self.d, k)[:] = getattr(s, k)
                mujoco.mj_forward(self.m, self.d)
                self.r.update_scene(self.d, self.cam)
                fr.append(self.r.render().transpose(2, 0, 1))
            fr = np.stack(fr)
        return Observations(*(np.stack([o[k] for o in obs]) for k in ("observation", "achieved_goal", "desired_goal")), fr)

    def reset(self, seeds):
        return self._obs([e.reset(seed=s)[0] for e, s in zip(self.envs, seeds)])

    def step(self, a):
        return self._obs([e.step(x)[0] for e, x in zip(self.envs, a)])

    def step_async(self, a):
        self.a = a

    def step_wait(self):
        return self.step(self.a)

    def close(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *a):
        pass
