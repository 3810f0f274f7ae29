"""When the beginning of a long history goes into a part, and when parts are put together or given up."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from xpgraph.training.history_parts import HistoryParts

ROOM = 8192  # losses, or values of records, that a checkpoint holds itself: 64 KiB


class Files:
    """Keeps how many losses each part was given."""

    def __init__(self):
        self.sizes = []

    def save_part(self, arrays, meta):
        self.sizes.append(arrays[meta["loss_list"]].size)
        return f"part {len(self.sizes)}"


@pytest.fixture
def state():
    return SimpleNamespace(loss_list=[], history=[], model=SimpleNamespace(params=[]))


@pytest.fixture
def grow(state):
    """Makes the loss list so long, then grows: (how many losses each part ever written has, the parts named now)."""
    parts, files = HistoryParts((), (), state), Files()

    def to(losses):
        state.loss_list += [0.5] * (losses - len(state.loss_list))
        parts.update(state, files)
        return files.sizes, [int(name.split()[1]) for name in parts.names]

    return to


def test_a_part_is_made_of_more_than_a_checkpoint_holds_since_the_last(grow):
    assert grow(ROOM) == ([], [])
    assert grow(6 * ROOM) == ([6 * ROOM], [1])
    assert grow(7 * ROOM) == ([6 * ROOM], [1])
    assert grow(8 * ROOM) == ([6 * ROOM, 2 * ROOM], [1, 2])
    assert grow(9 * ROOM + 1) == ([6 * ROOM, 2 * ROOM, ROOM + 1], [1, 2, 3])


def test_a_part_that_is_no_longer_than_what_came_since_is_put_together_with_it(grow):
    grow(6 * ROOM)
    grow(8 * ROOM)
    assert grow(10 * ROOM) == ([6 * ROOM, 2 * ROOM, 4 * ROOM], [1, 3])
    assert grow(12 * ROOM) == ([6 * ROOM, 2 * ROOM, 4 * ROOM, 2 * ROOM], [1, 3, 4])
    assert grow(16 * ROOM)[0][-1] == 16 * ROOM


def test_a_large_model_has_room_for_as_many_losses_as_weights(grow, state):
    state.model.params = [np.zeros((2, ROOM)), np.zeros(ROOM)]
    assert grow(3 * ROOM) == ([], [])
    assert grow(3 * ROOM + 1) == ([3 * ROOM + 1], [1])


def change_a_loss(state):
    state.loss_list[0] = 1.5


def change_a_record(state):
    state.history[0]["loss"] = 1.5


def put_an_array_into_a_record(state):
    state.history[0] = {"loss": np.zeros(2)}


@pytest.mark.parametrize("change", [change_a_loss, change_a_record, put_an_array_into_a_record])
def test_parts_are_given_up_where_somebody_changed_what_they_hold(grow, state, change):
    state.history = [{"loss": 0.5}]
    assert grow(3 * ROOM) == grow(3 * ROOM) == ([3 * ROOM], [1])
    change(state)
    assert grow(3 * ROOM + 1) == ([3 * ROOM, 3 * ROOM + 1], [2])
