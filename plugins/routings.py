"""The six standard ways in which losses share, or do not share, an encoder. A routing is data: a plugin adds its own row."""

from fetchbench import GradientRoutingSpec, hookimpl


@hookimpl
def fetchbench_gradient_routings():
    yield GradientRoutingSpec(
        name="separate",
        encoders=2,
        critic=1,
        actor=1,
        auxiliary=1,
        summary="one encoder each for actor and critic",
        source="stable-baselines3's SAC (share_features_extractor=False)",
    )
    yield GradientRoutingSpec(
        name="actor",
        critic=0,
        actor=1,
        auxiliary=1,
        summary="one encoder, trained by the actor loss",
        source="stable-baselines3's SAC (share_features_extractor=True)",
    )
    yield GradientRoutingSpec(
        name="critic",
        critic=1,
        actor=0,
        auxiliary=1,
        summary="one encoder, trained by the critic loss",
        source="with a trunk: arXiv:1910.01741 (SAC-AE), 2004.04136 (CURL), 2004.13649 (DrQ), 2107.09645 (DrQ-v2)",
    )
    yield GradientRoutingSpec(
        name="joint",
        critic=1,
        actor=1,
        auxiliary=1,
        summary="one encoder, trained by the sum of critic and actor loss",
    )
    yield GradientRoutingSpec(
        name="aux",
        critic=0,
        actor=0,
        auxiliary=1,
        summary="one encoder, trained by the auxiliary loss alone",
        source="arXiv:2009.08319 (ATC)",
    )
    yield GradientRoutingSpec(
        name="frozen",
        critic=0,
        actor=0,
        auxiliary=0,
        summary="pretrained or random features that nothing trains",
    )
