"""Two encoders, and no loss for the actor's."""

from fetchbench import GradientRoutingSpec, hookimpl


@hookimpl
def fetchbench_gradient_routings():
    yield GradientRoutingSpec(name="broken-half-separate", critic=1, actor=0, auxiliary=1, encoders=2)
