"""``fetchbench check``."""

from __future__ import annotations

import json

import pytest

HALF = """
from fetchbench import GradientRoutingSpec, hookimpl

@hookimpl
def fetchbench_gradient_routings():
    yield GradientRoutingSpec("half", critic=0.5, actor=0, auxiliary=0)
"""

IDLE = HALF.replace("critic=0.5", "encoders=2, critic=0.5")

ENCODER = """
from torch import nn
from fetchbench import EncoderSpec, hookimpl

class Broken(nn.Module):
    def __init__(self, shape, power: int = 1):
        super().__init__()
        print("built")
        self.power = power
    def forward(self, frames):
        return frames.flatten(1) ** self.power

@hookimpl
def fetchbench_encoders():
    yield EncoderSpec("powers", Broken)
"""


def test_a_sound_file_passes(fetchbench, plugin):
    answer = fetchbench("check", f"./{plugin(HALF)}")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0] == "gradient routing 'half'"
    assert lines[1].split() == ["check", "result", "found"]
    assert lines[3].split(maxsplit=2) == ["data", "ok", "critic 0.5, actor 0, auxiliary 0; one encoder"]
    assert lines[-1] == "no problem in 1 component"


def test_a_problem_is_told_with_what_to_do(fetchbench, plugin):
    answer = fetchbench("check", plugin(IDLE))
    assert (answer.code, answer.err) == (1, "")
    assert "data                            FAILED   with two encoders, no loss trains the actor's" in answer.out
    assert "updates                         skipped  not checked: 'data' comes first" in answer.out
    assert (
        "failed: data: with two encoders, no loss trains the actor's. "
        "What to do: give one a weight, or take one encoder: GradientRoutingSpec(encoders=1)"
    ) in answer.out.splitlines()
    assert answer.out.splitlines()[-1] == "1 problem in 1 component"


def test_a_plugin_that_does_not_load_is_a_problem_with_its_line(fetchbench, plugin):
    answer = fetchbench("check", plugin("import nowhere_to_be_found"))
    assert answer.code == 1
    assert "plugin 'mine.py'" in answer.out
    assert (
        "failed: load: ModuleNotFoundError: No module named 'nowhere_to_be_found' (line 1). What to do: install" in answer.out
    )


def test_json_is_all_that_stands_on_stdout(fetchbench, plugin):
    answer = fetchbench("check", plugin(ENCODER), "--option", "power=2", "--json")
    found = json.loads(answer.out)
    assert (answer.code, found["ok"]) == (1, False)
    (problem,) = [finding for finding in found["findings"] if finding["status"] == "failed"]
    assert problem == {
        "kind": "encoder",
        "name": "powers(power=2)",
        "check": "output",
        "status": "failed",
        "text": "encoder 'powers' returns torch.uint8; it must return torch.float32",
        "advice": "",
    }


def test_names_and_kinds(fetchbench):
    answer = fetchbench("check", "critic", "--kind", "gradient-routing")
    assert answer.code == 0
    assert "gradient routing 'critic'" in answer.out
    answer = fetchbench("check", "vector", "--json")
    assert {finding["kind"] for finding in json.loads(answer.out)["findings"]} == {"goal-space"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["critik"], "error: unknown component 'critik'; did you mean 'critic'?"),
        (["critic", "--kind", "encoder"], "error: unknown encoder 'critic'"),
        (["./absent.py"], "error: no such file: absent.py"),
        (["critic", "--option", "half=1"], "error: gradient routing 'critic' takes no options, got half"),
        (["critic", "--option", "half"], "--option half: write NAME=VALUE"),
        (["critic", "--kind", "routing"], "'routing' is not one of"),
        (["critic", "--all"], "name a component or a plugin file, or give --all. There are, by kind, encoder: "),
        ([], "name a component or a plugin file, or give --all. There are, by kind, encoder: "),
    ],
)
def test_a_users_mistake(fetchbench, arguments, message):
    answer = fetchbench("check", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err


def test_without_an_argument_the_components_are_listed_by_kind(fetchbench):
    error = " ".join(fetchbench("check").err.split())
    assert "; goal-space: image, latent, vector." in error
    assert "gradient-routing: actor, aux, critic" in error


def test_all_of_a_kind_and_whatever_does_not_load(fetchbench, workspace):
    (workspace / "plugins").mkdir()
    (workspace / "plugins" / "broken.py").write_text("1 / 0")
    answer = fetchbench("check", "--all", "--kind", "goal-space")
    assert answer.code == 1
    assert "goal space 'vector'" in answer.out
    assert "failed: load: ZeroDivisionError: division by zero (line 1). What to do: mend that line" in answer.out
    assert answer.out.splitlines()[-1] == "1 problem in 4 components"
