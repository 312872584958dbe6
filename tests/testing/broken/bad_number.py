"""A weight that is no weight."""

from fetchbench import GradientRoutingSpec, hookimpl


@hookimpl
def fetchbench_gradient_routings():
    yield GradientRoutingSpec(name="broken-bad-number", critic=1, actor=-0.5, auxiliary=1)
