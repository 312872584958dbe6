"""A name that is taken."""

from fetchbench import GradientRoutingSpec, hookimpl


@hookimpl
def fetchbench_gradient_routings():
    yield GradientRoutingSpec(name="critic", critic=1, actor=0, auxiliary=0)
