"""Grids of clips, and video and image files."""

import av
import keras
import numpy as np
import pytest
from PIL import Image

from keras_larp import data


def test_grid_is_filled_row_by_row():
    videos = np.zeros((3, 2, 4, 6, 3))
    videos[2] = 0.5
    grid = data.video_grid(videos, num_columns=2, padding=1)
    assert grid.shape == (2, 2 * 5 + 1, 2 * 7 + 1, 3)
    assert (grid[:, 1:5, 1:7] == 0).all()  # first clip
    assert (grid[:, 6:10, 1:7] == 128).all()  # third clip
    assert (grid[:, 6:, 7:] == 255).all()  # no fourth clip


def test_row_names_are_drawn_on_the_left():
    videos = np.zeros((2, 2, 24, 24, 3))
    plain = data.video_grid(videos, num_columns=1)
    named = data.video_grid(
        videos, num_columns=1, row_names=["", "ApplyEyeMakeup"]
    )
    margin = named.shape[2] - plain.shape[2]
    np.testing.assert_array_equal(named[:, :, margin:], plain)
    assert (named[:, :26, :margin] == 255).all()
    assert (named[:, 26:, :margin] < 100).any()


def test_each_row_needs_a_name():
    with pytest.raises(ValueError, match="one name for each of 2 rows"):
        data.video_grid(np.zeros((2, 1, 8, 8, 3)), 1, row_names=["one"])


def test_film_strips_include_the_first_and_last_frame():
    videos = np.linspace(0, 1, 5)[None, :, None, None, None]
    videos = np.broadcast_to(videos, (1, 5, 8, 8, 3))
    strip = data.film_strips(videos, num_frames=2, padding=0)
    assert (strip[:, :8] == 0).all() and (strip[:, 8:] == 255).all()
    pair = data.film_strips(np.repeat(videos, 2, axis=0), 2, 0, num_columns=2)
    np.testing.assert_array_equal(pair, np.concatenate([strip, strip], axis=1))


def test_video_file_has_the_written_frames_and_frame_rate(tmp_path):
    video = np.broadcast_to(
        np.linspace(0, 1, 5)[:, None, None, None], (5, 15, 17, 3)
    )
    data.write_video(tmp_path / "video.mp4", video, fps=10)
    with av.open(tmp_path / "video.mp4") as container:
        assert container.streams.video[0].average_rate == 10
        frames = [f.to_ndarray(format="rgb24") for f in container.decode()]
    means = [frame[:15, :17].mean() / 255 for frame in frames]
    np.testing.assert_allclose(means, np.linspace(0, 1, 5), atol=0.03)


@pytest.mark.parametrize("fps", [29.97, 30000 / 1001, 12.5, np.float32(24)])
def test_frame_rate_may_be_fractional(tmp_path, fps):
    video = np.zeros((3, 16, 16, 3))
    for name in ("video.mp4", "video.mkv", "video.gif"):
        data.write_video(tmp_path / name, video, fps=fps)
    with av.open(tmp_path / "video.mp4") as container:
        rate = container.streams.video[0].average_rate
    assert float(rate) == pytest.approx(float(fps), abs=1e-3)


@pytest.mark.parametrize("fps", [0, -1.0, float("nan"), float("inf"), "8"])
def test_invalid_frame_rate(tmp_path, fps):
    with pytest.raises(ValueError, match="`fps` must be a finite"):
        data.write_video(tmp_path / "a.mp4", np.zeros((3, 16, 16, 3)), fps)


def test_unknown_extensions_are_rejected_and_leave_no_file(tmp_path):
    with pytest.raises(ValueError, match="'.xyz'"):
        data.write_video(tmp_path / "video.xyz", np.zeros((2, 8, 8, 3)))
    assert not list(tmp_path.iterdir())


def tensors(values):
    """Yields the values as tensors of every kind that models return."""
    for dtype in ("float32", "bfloat16"):
        yield keras.ops.convert_to_tensor(values, dtype)
    if keras.backend.backend() == "torch":
        tensor = keras.ops.convert_to_tensor(values, "bfloat16")
        yield tensor.requires_grad_() * 1


def test_tensors_are_accepted(tmp_path):
    # These values are exact in bfloat16.
    videos = np.random.default_rng(0).choice(
        [0.0, 0.25, 1.0], (2, 4, 16, 16, 3)
    )
    grid = data.video_grid(videos, num_columns=2)
    strips = data.film_strips(videos)
    for tensor in tensors(videos):
        np.testing.assert_array_equal(data.video_grid(tensor, 2), grid)
        np.testing.assert_array_equal(data.film_strips(tensor), strips)
        data.write_video(tmp_path / "video.gif", tensor[0])
        data.write_image(tmp_path / "image.png", tensor[0, 0])
        image = np.asarray(Image.open(tmp_path / "image.png"))
        np.testing.assert_array_equal(image, np.round(255 * videos[0, 0]))


def test_equal_clips_give_equal_bytes(tmp_path):
    random = np.random.default_rng(0)
    video = random.random((3, 9, 24, 24, 3))[2]
    files, others = set(), []
    for _ in range(100):
        # Other contents of freed memory.
        size = int(random.integers(1, 60_000))
        others = [*others[-25:], random.integers(0, 255, size, "uint8")]
        data.write_video(tmp_path / "a.mp4", video)
        files.add((tmp_path / "a.mp4").read_bytes())
    assert len(files) == 1
