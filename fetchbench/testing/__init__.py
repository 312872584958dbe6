"""The contract that every plugin keeps, as checks: what ``fetchbench check`` runs, and what a plugin's own test calls.

>>> from fetchbench.testing import assert_contract
>>> assert_contract("my_encoder.py")

Importing this costs nothing; the checks themselves import torch, and draw real frames where there is OpenGL.
"""

from __future__ import annotations

from fetchbench.testing.contract import assert_contract, check_component, check_plugin, plugin_specs
from fetchbench.testing.new import new_plugin
from fetchbench.testing.report import Finding, Report

__all__ = ["Finding", "Report", "assert_contract", "check_component", "check_plugin", "new_plugin", "plugin_specs"]
