"""Misses along the line of sight and across it."""

from __future__ import annotations

import json

import numpy as np
from click.testing import CliRunner
from run.conftest import TINY, RunFolder, make_request

from fetchbench.bench.endings import endings, main, read, split, table
from fetchbench.run.plugins import load_plugins


def test_a_miss_is_split_at_the_line_from_the_eye_to_the_goal():
    goals = np.array([[0.0, 3.0, 4.0], [1.0, 0.0, 0.0]])
    ends = goals + np.array([[0.0, 0.3, 0.4], [-0.2, 0.0, 0.1]])
    along, across = split((0.0, 0.0, 0.0), goals, ends)
    np.testing.assert_allclose(along, [0.5, -0.2])
    np.testing.assert_allclose(across, [0.0, 0.1], atol=1e-12)


def test_episodes_are_summed_up():
    goals = np.array([[1.0, 0.0, height] for height in (0.0, 0.3, 0.2, 0.1, 0.4, 0.5, 0.6, 0.7)])
    ends = goals + np.array([0.0, 0.02, 0.0])
    solved = np.array([True, True, True, True, False, False, False, True])
    found = endings("rig", 2, (0.0, 0.0, 0.0), goals, ends, solved)
    assert (found.method, found.seed, found.episodes, found.success) == ("rig", 2, 8, 0.625)
    assert (found.along_cm, found.across_cm) == (0.0, 2.0)
    assert found.by_height == ((0.0, 0.1, 1.0), (0.2, 0.3, 1.0), (0.4, 0.5, 0.0), (0.6, 0.7, 0.5))
    assert table([found]).endswith("| rig | 2 | 8 | 0.62 | 0.0 cm | 2.0 cm | 1.00, 1.00, 0.00, 0.50 |")


def test_a_trained_run_from_the_command_line(tmp_path):
    run = RunFolder(tmp_path / "run", make_request(load_plugins(), None, **TINY))
    refused = CliRunner().invoke(main, [str(run.folder)])
    assert (refused.exit_code, "Traceback" in refused.output) == (1, False)
    run.finish()
    done = CliRunner().invoke(main, [str(run.folder), "--episodes", "10", "--json"])
    assert done.exit_code == 0, done.output
    (tmp_path / "endings.json").write_text(done.output)
    (found,) = read(tmp_path / "endings.json")
    assert (found.method, found.seed) == ("blind", 0)
    assert 0 < found.episodes <= 10
    assert 0 <= found.success <= 1
    # A policy of a few updates is somewhere in the workspace, half a metre across.
    assert 1 < found.across_cm < 100
    assert json.loads(done.output)["runs"][0]["by_height"][0][0] > 0.3
