"""Routings that change while a run learns: data, too. Each stage says from which update on it holds."""

from fetchbench import GradientRoutingSpec, Schedule, hookimpl

JOINT_FROM = 20_000
"""Update at which ``critic-then-joint`` lets the actor loss in.

The actor loss follows Q, and has nothing to teach an encoder before Q has learned something. What Q was wrong by at the
start shrinks by a factor 1 - tau (1 - gamma) per update, even if the critics always fit their targets: to less than 1 %
in 20,000 updates with the slower of the standard learners (tau = 0.005, gamma = 0.95). A run that is shorter is
``critic`` throughout.
"""


@hookimpl
def fetchbench_gradient_routings():
    yield GradientRoutingSpec(
        name="critic-then-joint",
        critic=1,
        actor=Schedule((("critic", 0, 0.0), ("joint", JOINT_FROM, 1.0))),
        auxiliary=1,
        summary=f"one encoder, trained by the critic loss, and from update {JOINT_FROM:,} by the actor loss, too",
    )
