"""Workers: what is inside them, what happens when they die."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from fetchbench.environment import TASKS, VectorEnvironment, probe
from fetchbench.errors import RenderingError, WorkerError
from fetchbench.protocol import Scene
from fetchbench.specs import PixelSpec

REACH = TASKS["FetchReach-v4"]
SMALL = PixelSpec(size=32)


def random_actions(steps: int, count: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (steps, count, 4)).astype(np.float32)


def libraries(pid: int) -> str:
    """Every file that a process has mapped."""
    return Path(f"/proc/{pid}/maps").read_text()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_worker_that_draws_holds_opengl_and_neither_torch_nor_triton():
    import torch  # the caller may well have it

    assert torch.__version__
    with VectorEnvironment(REACH, Scene(), SMALL, 2, workers=2) as environment:
        environment.reset([0, 1])
        assert len(environment.processes) == 2
        for pid in environment.processes:
            maps = libraries(pid)
            assert "libEGL" in maps or "OSMesa" in maps
            assert "torch" not in maps
            assert "triton" not in maps


def test_a_worker_without_pixels_holds_no_opengl():
    with VectorEnvironment(REACH, Scene(), None, 1) as environment:
        assert environment.reset([0]).frames is None
        assert environment.report == {}
        assert "libEGL" not in libraries(environment.processes[0])


def test_the_number_of_workers_changes_nothing():
    results = []
    for workers in (1, 2, 9):
        with VectorEnvironment(TASKS["FetchPush-v4"], Scene(), SMALL, 3, workers=workers) as environment:
            assert len(environment.processes) == min(workers, 3)
            states = [environment.reset([5, 6, 7]), *(environment.step(a) for a in random_actions(5, 3))]
        results.append([np.concatenate([s.observation, s.achieved, s.frames.reshape(3, -1)], axis=1) for s in states])
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_environments_of_different_sizes_side_by_side_draw_their_own_frames():
    """In one process two OpenGL contexts spoil each other's frames; each has a process of its own."""

    def draw(environment: VectorEnvironment) -> list[np.ndarray]:
        return [environment.reset([3]).frames, *(environment.step(a).frames for a in random_actions(3, 1))]

    with VectorEnvironment(REACH, Scene(), PixelSpec(size=64), 1) as alone:
        expected = draw(alone)
    with (
        VectorEnvironment(REACH, Scene(), PixelSpec(size=64), 1) as small,
        VectorEnvironment(REACH, Scene(), PixelSpec(size=100), 1) as large,
    ):
        large.reset([3])
        found = []
        for action in [None, *random_actions(3, 1)]:
            found.append((small.reset([3]) if action is None else small.step(action)).frames)
            assert large.step(np.zeros((1, 4), np.float32)).frames.shape == (1, 3, 100, 100)
    np.testing.assert_array_equal(found, expected)


def test_what_was_returned_stays_as_it_was():
    with VectorEnvironment(REACH, Scene(), SMALL, 1) as environment:
        first = environment.reset([0])
        kept = first.observation.copy(), first.frames.copy()
        environment.step(np.ones((1, 4), np.float32))
        np.testing.assert_array_equal(first.observation, kept[0])
        np.testing.assert_array_equal(first.frames, kept[1])


def test_a_killed_worker_is_one_clear_line():
    with VectorEnvironment(REACH, Scene(), None, 1) as environment:
        environment.reset([0])
        os.kill(environment.processes[0], signal.SIGKILL)
        with pytest.raises(WorkerError, match=r"environment worker \d+ was killed by signal 9"):
            environment.step(np.zeros((1, 4), np.float32))


def test_a_hung_worker_is_noticed():
    with VectorEnvironment(REACH, Scene(), None, 1) as environment:
        environment.reset([0])
        environment._timeout_s = 0.5
        pid = environment.processes[0]
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(WorkerError, match=r"did not answer in 0\.5 s"):
            environment.step(np.zeros((1, 4), np.float32))
        os.kill(pid, signal.SIGCONT)


def test_a_worker_that_fails_says_why(capfd):
    with VectorEnvironment(REACH, Scene(), None, 1) as environment:
        environment.reset([0])
        environment._tell("juggle")
        with pytest.raises(WorkerError, match="ValueError: unknown command 'juggle'"):
            environment.step_wait()
    assert "Traceback" in capfd.readouterr().err


def test_workers_end_with_their_environment():
    environment = VectorEnvironment(REACH, Scene(), None, 2, workers=2)
    pids = environment.processes
    environment.close()
    assert not any(alive(pid) for pid in pids)


def test_workers_end_with_their_trainer(tmp_path):
    """However it ends: here by SIGKILL."""
    import subprocess
    import sys

    script = (
        "import time\nfrom fetchbench.environment import *\nfrom fetchbench.protocol import Scene\n"
        "e = VectorEnvironment(get_task('FetchReach-v4'), Scene(), None, 1)\n"
        "print(e.processes[0], flush=True)\ntime.sleep(60)\n"
    )
    trainer = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    worker = int(trainer.stdout.readline())
    assert alive(worker)
    trainer.kill()
    trainer.communicate()
    deadline = time.monotonic() + 20
    while alive(worker):
        assert time.monotonic() < deadline, "the worker outlives its trainer"
        time.sleep(0.05)


def test_an_interrupt_of_the_terminal_is_the_trainers_business():
    with VectorEnvironment(REACH, Scene(), None, 1) as environment:
        environment.reset([0])
        os.kill(environment.processes[0], signal.SIGINT)
        environment.step(np.zeros((1, 4), np.float32))


def test_no_usable_opengl_is_one_line_with_the_command_that_mends_it(monkeypatch, capfd):
    monkeypatch.setenv("EGL_PLATFORM", "surfaceless")
    monkeypatch.setenv("__EGL_VENDOR_LIBRARY_FILENAMES", "/dev/null")  # an EGL without a driver
    with pytest.raises(RenderingError) as caught:
        probe()
    text = str(caught.value)
    assert "no usable OpenGL" in text
    assert "egl: " in text
    assert "osmesa: " in text
    assert "apt-get install -y libegl1" in text
    assert "Traceback" not in capfd.readouterr().err
    assert "\n" not in text


def test_a_wrong_choice_of_backend_is_named(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "vulkan")
    with pytest.raises(RenderingError, match=r"no usable OpenGL.*vulkan: .*; unset MUJOCO_GL"):
        probe()


def test_probe_reports_what_draws():
    report = probe()
    assert report["backend"] in ("egl", "osmesa")
    assert report["renderer"]
    assert report["opengl"][0].isdigit()
