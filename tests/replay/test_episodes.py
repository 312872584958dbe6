"""The store: what goes in comes out, by index."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fetchbench.replay import EpisodeBatch, Replay
from fetchbench.replay.staging import Staging

T, D, A = 5, 4, 2


def episodes(numbers: range) -> EpisodeBatch:
    """Episodes whose every value tells which episode and state it belongs to: 10 * episode + state."""
    n = len(numbers)
    states = np.array([[10 * e + t for t in range(T + 1)] for e in numbers], np.float32)
    return EpisodeBatch(
        observation=np.repeat(states[..., None], D, axis=2),
        achieved=np.repeat(states[..., None], 3, axis=2),
        desired=np.full((n, 3), 0.5, np.float32),
        action=np.repeat(states[:, :T, None], A, axis=2),
        frames=np.broadcast_to(states[..., None, None, None], (n, T + 1, 3, 2, 2)).astype(np.uint8),
    )


def store(capacity: int = 4) -> Replay:
    return Replay(capacity=capacity, horizon=T, observation_dim=D, action_dim=A, frame=(3, 2, 2))


def gathered(replay: Replay, episode: int, step: int, frames: int, following: int) -> list[int]:
    stacks = replay.stacks(torch.tensor([episode]), torch.tensor([step]), frames, following)
    assert stacks.shape == (1, frames + following, 3, 2, 2)
    assert stacks.dtype == torch.uint8
    return stacks[0, :, 0, 0, 0].tolist()


def test_a_stack_repeats_the_first_frame_before_the_episode():
    replay = store()
    replay.add(episodes(range(2)))
    assert gathered(replay, 1, 0, frames=4, following=1) == [10, 10, 10, 10, 11]
    assert gathered(replay, 1, 2, frames=4, following=1) == [10, 10, 11, 12, 13]
    assert gathered(replay, 1, 4, frames=4, following=1) == [11, 12, 13, 14, 15]


def test_a_horizon_repeats_the_last_frame_behind_the_episode():
    replay = store()
    replay.add(episodes(range(2)))
    assert gathered(replay, 0, 3, frames=1, following=4) == [3, 4, 5, 5, 5]


def test_the_oldest_episode_makes_room():
    replay = store(capacity=3)
    replay.add(episodes(range(5)))
    assert (replay.added, len(replay), replay.transitions) == (5, 3, 15)
    assert sorted(replay.observation[:, 0, 0].tolist()) == [20, 30, 40]
    assert gathered(replay, 3 % 3, 0, frames=1, following=1) == [30, 31]


def test_episodes_come_back_as_they_went_in_and_fill_another_replay():
    replay = store(capacity=3)
    replay.add(episodes(range(5)))
    back = replay.episodes(3, 5)
    for name, array in episodes(range(3, 5)).arrays().items():
        np.testing.assert_array_equal(back.arrays()[name], array)
    other = store(capacity=3)
    other.added = 2
    other.add(replay.episodes(2, 5))
    assert torch.equal(other.observation, replay.observation)
    assert gathered(other, 1, 1, 2, 1) == gathered(replay, 1, 1, 2, 1)


def test_episodes_that_are_gone_are_refused():
    replay = store(capacity=3)
    replay.add(episodes(range(5)))
    with pytest.raises(ValueError, match="episodes 1 to 3 are not held: 2 to 5 are"):
        replay.episodes(1, 3)


def test_a_wrong_shape_is_refused_by_name():
    replay = store()
    wrong = EpisodeBatch(**{**vars(episodes(range(1))), "action": np.zeros((1, T, A + 1), np.float32)})
    with pytest.raises(ValueError, match=r"episodes.action is \(5, 3\) per episode, the replay holds \(5, 2\)"):
        replay.add(wrong)


def test_each_frame_is_stored_once():
    """84x84 RGB at 50 steps: 51 frames an episode, with all vectors under the 22.6 kB a transition that the README states."""
    replay = Replay(capacity=2, horizon=50, observation_dim=25, action_dim=4, frame=(3, 84, 84))
    replay.added = 2
    assert replay.bytes / replay.transitions < 22_600


def test_frames_kept_elsewhere_give_the_same_stacks():
    """As on a GPU whose memory is too small; here the staging buffers stand between host memory and host memory."""
    plain, spilled = store(), store()
    spilled._staging = Staging(torch.device("cpu"))
    for replay in (plain, spilled):
        replay.add(episodes(range(4)))
    episode, step = torch.tensor([0, 3, 2, 1]), torch.tensor([0, 4, 2, 1])
    for _ in range(3):
        assert torch.equal(plain.stacks(episode, step, 3, 2), spilled.stacks(episode, step, 3, 2))
    assert spilled.frames_device == torch.device("cpu")


def with_goals(numbers: range) -> EpisodeBatch:
    """The same, each with an image of its goal: 100 + episode."""
    values = np.array([100 + e for e in numbers])[:, None, None, None]
    frames = np.broadcast_to(values, (len(numbers), 3, 2, 2)).astype(np.uint8)
    return EpisodeBatch(**{**vars(episodes(numbers)), "goal_frames": frames})


def test_goal_images_stand_beside_their_episode_and_come_back():
    replay = Replay(capacity=3, horizon=T, observation_dim=D, action_dim=A, frame=(3, 2, 2), goal_frames=True)
    replay.add(with_goals(range(5)))
    assert replay.goal_frames[:, 0, 0, 0].tolist() == [103, 104, 102]
    back = replay.episodes(2, 5)
    np.testing.assert_array_equal(back.goal_frames, with_goals(range(2, 5)).goal_frames)
    without = store(capacity=3)
    without.add(episodes(range(5)))
    assert replay.bytes == without.bytes + 3 * 12
    with pytest.raises(ValueError, match="the replay stores goal images, the episodes differ"):
        replay.add(episodes(range(1)))
    with pytest.raises(ValueError, match="the replay stores no goal images, the episodes differ"):
        store().add(with_goals(range(1)))


def test_single_frames_by_episode_and_state():
    replay = store()
    replay.add(episodes(range(3)))
    frames = replay.frames_at(torch.tensor([2, 0, 1]), torch.tensor([T, 0, 3]))
    assert frames.shape == (3, 3, 2, 2)
    assert frames[:, 0, 0, 0].tolist() == [25, 0, 13]
