"""What is checked, by name and by file, and how it is reported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fetchbench.errors import FetchbenchError, PluginError, UnknownNameError
from fetchbench.testing import Finding, Report, assert_contract, check_plugin, plugin_specs

BROKEN = Path(__file__).with_name("broken")

ROUTINGS = """
from fetchbench import GradientRoutingSpec, hookimpl

print("loaded")

@hookimpl
def fetchbench_gradient_routings():
    yield GradientRoutingSpec("half", critic=0.5, actor=0, auxiliary=0)
    yield GradientRoutingSpec("third", critic=0, actor=0.3, auxiliary=0)
"""


@pytest.fixture
def routings(tmp_path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(ROUTINGS)
    return file


def test_importing_it_does_not_import_torch():
    code = "import fetchbench.testing, sys; print({'torch', 'mujoco', 'gymnasium'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_a_file_is_checked_whole(routings, capsys):
    report = check_plugin(routings)
    assert report.components == ["gradient routing 'half'", "gradient routing 'third'"]
    assert report.problems == ()
    assert {finding.check for finding in report.findings} == {"data", "updates", "updates with an auxiliary loss"}
    assert capsys.readouterr().out == ""
    assert_contract(routings)


def test_a_name_of_another_file_is_checked(routings):
    assert check_plugin("third", files=[routings]).components == ["gradient routing 'third'"]


def test_a_failed_contract_is_an_assertion_with_a_line_for_each_problem():
    with pytest.raises(AssertionError) as caught:
        assert_contract(BROKEN / "half_separate.py")
    assert str(caught.value) == (
        "gradient routing 'broken-half-separate': data: with two encoders, no loss trains the actor's. "
        "What to do: give one a weight, or take one encoder: GradientRoutingSpec(encoders=1)"
    )


def test_a_name_that_nothing_has_is_the_users_mistake(routings):
    with pytest.raises(UnknownNameError, match="unknown component 'criticc'; did you mean 'critic'"):
        check_plugin("criticc")
    with pytest.raises(UnknownNameError, match="unknown encoder 'critic'"):
        check_plugin("critic", kind="encoder")
    with pytest.raises(UnknownNameError, match="unknown kind 'encoders'; did you mean 'encoder'"):
        check_plugin("critic", kind="encoders")
    with pytest.raises(PluginError, match=r"no such file: absent\.py"):
        check_plugin("./absent.py")
    with pytest.raises(FetchbenchError, match="brings no encoder; it brings gradient-routing 'half', gradient-routing 'third'"):
        check_plugin(routings, kind="encoder")
    with pytest.raises(FetchbenchError, match="'a b' names no component"):
        check_plugin("a b")


def test_options_are_checked_first():
    with pytest.raises(PluginError, match="encoder 'nature': got an unexpected keyword argument 'width'; its options: dim"):
        check_plugin("nature", options={"width": 3})
    with pytest.raises(PluginError, match="encoder 'nature' does not wrap another encoder"):
        check_plugin("nature(manipulation)")


def test_the_specs_of_a_file(routings):
    assert [spec.name for spec in plugin_specs(routings)] == ["half", "third"]
    with pytest.raises(PluginError, match="fetchbench_imaginary_backbones"):
        plugin_specs(BROKEN / "import_error.py")


def test_what_does_not_load_is_a_finding():
    report = check_plugin(BROKEN / "import_error.py")
    assert report == Report(
        (
            Finding(
                "plugin",
                "import_error.py",
                "load",
                "failed",
                "ModuleNotFoundError: No module named 'fetchbench_imaginary_backbones' (line 3)",
                "install what it needs, or import it within `build`",
            ),
        )
    )
