"""Golden traces: what five updates give, written down.

They hold the meaning of a learner's version. Where a change of the learner moves them on purpose, raise
``fetchbench.protocol.LEARNER_VERSION`` and write them anew: ``python -m pytest tests/learner/test_golden.py --write-golden``.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fetchbench.protocol import LEARNER_VERSION

GOLDEN = Path(__file__).with_name("golden.json")
TRACES = ["separate", "actor", "critic", "joint", "frozen"]
UPDATES = 5


def trace(rig, routing: str) -> dict[str, float]:
    learner = rig(routing, encoder="spatial-softmax")
    metrics = [learner.update() for _ in range(UPDATES)][-1]
    values = {name: float(value) for name, value in metrics.items()}
    for name, module in learner.learner.modules().items():
        values[f"norm of {name}"] = sum(float(p.detach().double().square().sum()) for p in module.parameters()) ** 0.5
    return {name: round(value, 6) for name, value in values.items()}


@pytest.mark.parametrize("routing", TRACES)
def test_five_updates_give_what_they_gave(rig, routing, request):
    found = trace(rig, routing)
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if request.config.getoption("--write-golden"):
        traces = golden.get("traces", {}) | {routing: found}
        GOLDEN.write_text(json.dumps({"learner_version": LEARNER_VERSION, "traces": traces}, indent=1, sort_keys=True) + "\n")
        pytest.skip("golden trace written")
    assert golden["learner_version"] == LEARNER_VERSION
    assert found == pytest.approx(golden["traces"][routing], rel=2e-4, abs=2e-5)
