"""Needs a package that is not there."""

from fetchbench_imaginary_backbones import Backbone

from fetchbench import EncoderSpec, hookimpl


@hookimpl
def fetchbench_encoders():
    yield EncoderSpec(name="broken-import-error", build=Backbone)
