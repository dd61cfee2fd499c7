"""`train-tokenizer` on a user's own videos, with default flags."""

import copy

import numpy as np
import pytest

from keras_larp import data
from keras_larp.cli import data_flags, train_tokenizer
from keras_larp.recipes import auto

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    "files, expected",
    [
        (["Archery/v_Archery_g01_c01.avi"], "ucf101"),
        (["Archery/v_Archery_g01_c01.avi", "mine/v_1.avi"], "folder"),
        (["cats/1.mp4"], "folder"),
        (["1.mp4"], "folder"),
    ],
)
def test_data_format_is_inferred_from_the_files(tmp_path, files, expected):
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    values = copy.deepcopy(train_tokenizer.FLAGS)
    values(["", f"--data={tmp_path}"])
    assert data_flags.data_format(values) == expected
    values(["", f"--data={tmp_path}/list.csv"])
    assert data_flags.data_format(values) == "csv"


def test_own_videos_train_without_further_flags(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(auto, "_accelerator", lambda: None)
    video = np.zeros((6, 40, 56, 3), "uint8")
    for name in ("1.mp4", "2.mp4"):
        data.write_video(tmp_path / "videos" / name, video)
    values = copy.deepcopy(train_tokenizer.FLAGS)
    values(
        [
            "",
            f"--data={tmp_path / 'videos'}",
            f"--output={tmp_path / 'run'}",
            # Keeps the test short.
            *("--steps_per_epoch=1", "--epochs=1", "--warmup_epochs=0"),
            *("--hidden_dim=16", "--num_heads=2", "--prior=none"),
            *("--encoder_num_layers=1", "--decoder_num_layers=1"),
        ]
    )
    tokenizer = train_tokenizer.main(values)
    assert tokenizer.image_size == 32 and tokenizer.num_frames == 4
    output = capsys.readouterr().out
    assert "No accelerator: the small recipe" in output
    assert "1 steps. Rough estimate for this machine:" in output
    assert (tmp_path / "run" / "preset").is_dir()
