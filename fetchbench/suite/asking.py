"""Whether a suite, as its file stands, asks for a run that was made."""

from __future__ import annotations

from typing import Any

from fetchbench.protocol import LEARNER_VERSION, PROTOCOL_VERSION
from fetchbench.records.schema import RunRequest
from fetchbench.suite.model import Suite


def still_asked_for(request: RunRequest, suite: Suite, asked: dict[str, Any], *, indexed: bool = False) -> bool:
    """Whether a suite still asks for this run, as far as one can tell without loading its plugins.

    Args:
        asked: Empty at first; it keeps what is the same for all runs of a suite.
        indexed: Whether the suite's index, written for this very file, lists the run: then the method is the declared one.
            An encoder that needs a frame size of its own makes the two look different.
    """
    if not asked:
        fields = {name: getattr(suite, name) for name in ("scene", "learner", "budget", "evaluation", "stop")}
        asked["protocol"] = request.model_copy(update=fields | {"pixel_track": suite.track}).protocol()
        asked["methods"] = {method.name: _declared(method.model_dump(mode="json")) for method in suite.methods}
    if request.protocol() != asked["protocol"]:
        return False
    if (request.protocol_version, request.learner_version) != (PROTOCOL_VERSION, LEARNER_VERSION):
        return False
    declared = asked["methods"].get(request.method.name)
    return indexed or declared is None or declared == _declared(request.method.model_dump(mode="json"))


def _declared(value: Any) -> Any:
    """A method as a suite declares it: without what resolving its components added."""
    if isinstance(value, dict):
        added = ("provider", "version", "source_sha256", "licence")
        return {key: _declared(inner) for key, inner in value.items() if key not in added}
    return value
