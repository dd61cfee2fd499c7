"""What `train-tokenizer` finds out by itself."""

import copy
import pathlib

import numpy as np
import pytest
from tiny_models import tiny_tokenizer

from keras_larp import data
from keras_larp.cli import auto_recipe, data_flags, train_tokenizer

pytestmark = pytest.mark.once


def folder_of(tmp_path, *names, num_frames=6, size=(40, 56)):
    video = np.zeros((num_frames, *size, 3), "uint8")
    for name in names:
        data.write_video(tmp_path / name, video)
    return tmp_path


@pytest.mark.parametrize(
    "files, expected",
    [
        (["Archery/v_Archery_g01_c01.avi"], "ucf101"),
        (["Archery/v_Archery_g01_c01.avi", "mine/v_1.avi"], "folder"),
        (["cats/1.mp4"], "folder"),
        (["1.mp4"], "folder"),
    ],
)
def test_format_of_a_folder_is_found(tmp_path, files, expected):
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    values = copy.deepcopy(train_tokenizer.FLAGS)
    values(["", f"--data={tmp_path}"])
    assert data_flags.data_format(values) == expected
    values(["", f"--data={tmp_path}/list.csv"])
    assert data_flags.data_format(values) == "csv"


def test_sizes_follow_from_the_videos(tmp_path, monkeypatch):
    monkeypatch.setattr(auto_recipe, "_accelerator", lambda: None)
    folder_of(tmp_path, "1.mp4", "2.mp4", size=(24, 56))
    source = data.VideoFolder(tmp_path)
    name, settings, least, reasons = auto_recipe.choose_recipe(source)
    assert name == "small_data_tokenizer" and least == 250
    # No larger and no longer than the videos, in whole patches.
    assert (settings["image_size"], settings["num_frames"]) == (24, 4)
    assert "2 videos, the shorter side about 24 pixels" in reasons[0]


def test_a_broken_video_is_looked_over(tmp_path):
    folder_of(tmp_path, "1.mp4")
    (tmp_path / "0.mp4").write_bytes(b"no video")
    _, settings, _, _ = auto_recipe.choose_recipe(data.VideoFolder(tmp_path))
    assert settings["num_frames"] == 4
    (tmp_path / "1.mp4").unlink()
    with pytest.raises(data.VideoDecodeError, match="0.mp4"):
        auto_recipe.choose_recipe(data.VideoFolder(tmp_path))


def test_an_accelerator_and_many_videos_take_the_papers_recipe(monkeypatch):
    monkeypatch.setattr(auto_recipe, "_accelerator", lambda: "gpu")
    few, many = (data.MovingShapes(n, 16, 64) for n in (1999, 2000))
    assert auto_recipe.choose_recipe(many)[0] == "larp_l_long_tokenizer"
    name, settings, _, _ = auto_recipe.choose_recipe(few)
    assert name == "small_data_tokenizer"
    assert (settings["image_size"], settings["num_frames"]) == (64, 16)
    name = auto_recipe.choose_generator_recipe(2000)[0]
    assert name == "larp_l_long_generator"


def test_estimate_follows_size_and_batch():
    small = auto_recipe.estimate(tiny_tokenizer(), 4)
    wide = auto_recipe.estimate(tiny_tokenizer(hidden_dim=64), 4)
    many = auto_recipe.estimate(tiny_tokenizer(), 40)
    assert 0 < small[1] < wide[1]
    assert small[1] < many[1] < 10 * small[1]  # Weights are there once.
    assert many[0] > 2 * small[0]  # The speed is timed, and varies.


def test_own_videos_train_without_further_flags(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(auto_recipe, "_accelerator", lambda: None)
    folder = folder_of(tmp_path / "videos", "1.mp4", "2.mp4")
    values = copy.deepcopy(train_tokenizer.FLAGS)
    # But for as few steps as a test has time for.
    few = ["--steps_per_epoch=1", "--epochs=1", "--warmup_epochs=0"]
    few += ["--hidden_dim=16", "--num_heads=2", "--prior=none"]
    few += ["--encoder_num_layers=1", "--decoder_num_layers=1"]
    values(["", f"--data={folder}", f"--output={tmp_path}/run", *few])
    tokenizer = train_tokenizer.main(values)
    assert tokenizer.image_size == 32 and tokenizer.num_frames == 4
    said = capsys.readouterr().out
    assert "No accelerator: the small recipe" in said
    assert "1 steps: roughly" in said
    assert pathlib.Path(tmp_path / "run" / "preset").is_dir()
