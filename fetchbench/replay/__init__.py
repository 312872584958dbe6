"""Episodes stored once: frames, stacks, next observations, sequences and goals are indices into them."""

from fetchbench.replay.episodes import EpisodeBatch, Replay
from fetchbench.replay.hindsight import STRATEGIES, sample_indices

__all__ = ["STRATEGIES", "EpisodeBatch", "Replay", "sample_indices"]
