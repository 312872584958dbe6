"""A hook whose name does not exist: it would never be called."""

from fetchbench import GradientRoutingSpec, hookimpl


@hookimpl
def fetchbench_routings():
    yield GradientRoutingSpec(name="broken-unknown-hook", critic=1, actor=1, auxiliary=1)
