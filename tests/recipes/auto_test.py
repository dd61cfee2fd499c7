"""Recipes that are chosen by the data and the machine."""

import numpy as np
import pytest
from tiny_models import tiny_tokenizer

from keras_larp import data, recipes
from keras_larp.recipes import auto

pytestmark = pytest.mark.once


def write_videos(tmp_path, *names, num_frames=6, size=(40, 56)):
    video = np.zeros((num_frames, *size, 3), "uint8")
    for name in names:
        data.write_video(tmp_path / name, video)
    return tmp_path


def test_sizes_follow_the_videos(tmp_path, monkeypatch):
    monkeypatch.setattr(auto, "_accelerator", lambda: None)
    write_videos(tmp_path, "1.mp4", "2.mp4", size=(24, 56))
    choice = recipes.choose_tokenizer_recipe(data.VideoFolder(tmp_path))
    assert choice.name == "small_data_tokenizer"
    assert choice.min_steps_per_epoch == 250
    # Not larger or longer than the videos, and a multiple of the patch size.
    assert choice.settings["image_size"] == 24
    assert choice.settings["num_frames"] == 4
    assert "2 videos, shorter side about 24 pixels" in choice.reasons[0]


def test_unreadable_videos_are_skipped(tmp_path):
    write_videos(tmp_path, "1.mp4")
    (tmp_path / "0.mp4").write_bytes(b"no video")
    choice = recipes.choose_tokenizer_recipe(data.VideoFolder(tmp_path))
    assert choice.settings["num_frames"] == 4
    (tmp_path / "1.mp4").unlink()
    with pytest.raises(data.VideoDecodeError, match="0.mp4"):
        recipes.choose_tokenizer_recipe(data.VideoFolder(tmp_path))


def test_many_videos_and_an_accelerator_select_the_papers_recipe(monkeypatch):
    monkeypatch.setattr(auto, "_accelerator", lambda: "gpu")
    few, many = (data.MovingShapes(n, 16, 64) for n in (1999, 2000))
    choice = recipes.choose_tokenizer_recipe(many)
    assert choice.name == "larp_l_long_tokenizer"
    choice = recipes.choose_tokenizer_recipe(few)
    assert choice.name == "small_data_tokenizer"
    assert choice.settings["image_size"] == 64
    assert choice.settings["num_frames"] == 16
    choice = recipes.choose_generator_recipe(2000)
    assert choice.name == "larp_l_long_generator"


def test_estimate_grows_with_model_and_batch_size():
    small = recipes.estimate_training_cost(tiny_tokenizer(), 4)
    wide = recipes.estimate_training_cost(tiny_tokenizer(hidden_dim=64), 4)
    many = recipes.estimate_training_cost(tiny_tokenizer(), 40)
    assert 0 < small[1] < wide[1]
    assert small[1] < many[1] < 10 * small[1]  # One copy of the weights.
    assert many[0] > 2 * small[0]  # The measured speed varies.
