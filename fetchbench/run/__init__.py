"""One run, end to end: collecting, learning, evaluating, auditing, checkpointing, recording."""
