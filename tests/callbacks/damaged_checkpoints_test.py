"""Checkpoints whose files are damaged."""

import json
import pathlib

import pytest
from damaged_files import (
    assert_reads_or_names,
    damaged_bytes,
    damaged_json,
    quick,
)
from hypothesis import given
from hypothesis import strategies as st

from keras_larp import data
from keras_larp.callbacks.checkpoint_files import read_state

pytestmark = pytest.mark.once

STATE = {
    "epoch": 2,
    "epoch_step": 1,
    "steps_per_epoch": 5,
    "step": 11,
    "data": {"position": 3, "seed": 0},
    "monitor": "loss",
    "best": {"value": 0.5, "step": 5},
}


def write(folder, **changes):
    folder = pathlib.Path(folder) / "step_00000011"
    folder.mkdir()
    text = json.dumps({**STATE, **changes})
    (folder / "state.json").write_text(text)
    return folder


def test_valid_state_is_read(tmp_path):
    assert read_state(write(tmp_path)) == STATE


@pytest.mark.parametrize(
    "name, value",
    [
        ("epoch", None),
        ("epoch", -1),
        ("epoch", 1.5),
        ("epoch_step", "1"),
        ("steps_per_epoch", 0),
        ("step", 10**18),
        ("data", [1]),
        ("monitor", 1),
        ("best", 0.5),
        ("best", {"value": float("nan"), "step": 5}),
        ("best", {"value": 0.5}),
    ],
)
def test_invalid_fields_of_the_state_are_named(name, value, tmp_path):
    folder = write(tmp_path, **{name: value})
    with pytest.raises(
        ValueError, match=f"state.json.*`{name}.*Remove the folder"
    ):
        read_state(folder)


def test_missing_state_is_named(tmp_path):
    folder = write(tmp_path)
    (folder / "state.json").unlink()
    with pytest.raises(ValueError, match="step_00000011 has no state.json"):
        read_state(folder)


@pytest.mark.parametrize("position", [-1, 10**12, 1.5, "1", None])
def test_impossible_positions_in_the_data_are_refused(position):
    source = data.MovingShapes(8, num_frames=2, image_size=8)
    dataset = data.video_dataset(source, 2, 8, batch_size=2, repeat=False)
    state = {**dataset.get_state(), "position": position}
    with pytest.raises(ValueError, match="position"):
        dataset.set_state(state)


@quick
@given(st.data())
def test_damaged_states_raise_clear_errors(tmp_path_factory, data):
    folder = write(tmp_path_factory.mktemp("run"))
    path = folder / "state.json"
    if data.draw(st.booleans()):
        path.write_text(data.draw(damaged_json(STATE)))
    else:
        path.write_bytes(data.draw(damaged_bytes(path.read_bytes())))
    assert_reads_or_names(lambda: read_state(folder), path)
