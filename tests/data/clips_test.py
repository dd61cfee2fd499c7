"""Decoding: the right frames, and errors that name the file."""

import struct
import sys

import numpy as np
import pytest

from keras_larp import data

pytestmark = pytest.mark.once


def moving_clip(num_frames=24):
    return data.MovingShapes(1, num_frames, 48)[0]["video"]


@pytest.fixture
def files(shared_dir):
    folder = shared_dir / "data"
    return [
        *sorted(folder.glob("UCF-101/*/*.avi")),
        *sorted(folder.glob("kinetics/*")),
    ]


def test_preprocessing_gives_the_authors_frames(golden_dir, shared_dir):
    case = np.load(golden_dir / "clip_preprocessing/arrays.npz")
    path = shared_dir / "data" / str(case["path"])
    frames = data.read_clip(path, int(case["start_frame"]), 16)
    clip = 255.0 * data.preprocess_clip(frames, 128)
    assert np.abs(clip - case["frames"]).mean() < 1.5


def test_resizing_while_converting_changes_little(files):
    for path in files:
        expected = data.resize_shorter_side(data.read_frames(path, [9, 60]), 64)
        frames = data.read_frames(path, [9, 60], image_size=64)
        assert frames.shape == expected.shape
        assert np.abs(frames - expected.astype(float)).mean() < 3.0


def test_seeking_gives_the_frames_of_decoding_in_order(files):
    av = pytest.importorskip("av")
    assert len(files) == 4
    for path in files:
        with av.open(str(path)) as container:
            frames = [
                frame.to_ndarray(format="rgb24")
                for frame in container.decode(video=0)
            ]
        last = len(frames) - 1
        assert 0 <= data.count_frames(path) - len(frames) <= 2
        wanted = [last // 2, last // 2 + 1, last, last // 3, last // 3]
        received = data.read_frames(path, wanted)
        for frame, i in zip(received, wanted, strict=True):
            np.testing.assert_array_equal(frame, frames[i], err_msg=str(path))


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi"])
def test_written_video_reads_back(tmp_path, name):
    video = moving_clip()
    data.write_video(tmp_path / name, video)
    frames = data.read_clip(tmp_path / name, start=3, num_frames=8)
    assert frames.shape == (8, 48, 48, 3)
    assert np.abs(frames / 255.0 - video[3:11]).mean() < 0.03


def test_videos_of_phones_are_upright(tmp_path):
    """A phone held upright stores frames that are to be turned clockwise."""
    path = tmp_path / "clip.mp4"
    lying = np.zeros((4, 32, 48, 3), "uint8")
    lying[:, :, :24] = 255  # The left half, which is on top when upright.
    data.write_video(path, lying)

    def matrix(a, b, c, d):
        return struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)

    one = 1 << 16
    content = path.read_bytes()
    place = content.rindex(matrix(one, 0, 0, one))  # That of the track.
    turned = matrix(0, one, -one, 0)
    path.write_bytes(content[:place] + turned + content[place + len(turned) :])
    for size in (None, 16):
        frames = data.read_frames(path, [1], image_size=size)
        _, height, width, _ = frames.shape
        assert height / width == 1.5
        top, bottom = np.split(frames[0].mean(axis=(1, 2)), 2)
        assert top.mean() > 240 > 15 > bottom.mean()


def test_clip_past_the_end_repeats_the_last_frame(tmp_path):
    data.write_video(tmp_path / "clip.mp4", moving_clip(6))
    frames = data.read_clip(tmp_path / "clip.mp4", start=4, num_frames=4)
    np.testing.assert_array_equal(frames[2], frames[1])
    np.testing.assert_array_equal(frames[3], frames[1])


def test_frames_that_are_not_there(tmp_path):
    path = tmp_path / "clip.mp4"
    data.write_video(path, moving_clip(6))
    with pytest.raises(ValueError, match="numbered from 0 to 5"):
        data.read_frames(path, [0, 6])
    with pytest.raises(ValueError, match="`start` must be below"):
        data.read_clip(path, start=6)
    with pytest.raises(ValueError, match="at least one integer"):
        data.read_frames(path, [])


def test_file_whose_frames_do_not_decode(shared_dir):
    path = shared_dir / "data/broken/corrupted.mp4"
    with pytest.raises(data.VideoDecodeError, match="broken/corrupted.mp4"):
        data.read_clip(path, start=20)


def test_truncated_file(tmp_path):
    path = tmp_path / "clip.avi"
    data.write_video(path, moving_clip(48))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(data.VideoDecodeError, match="clip.avi"):
        data.read_clip(path)


def test_file_that_is_no_video(tmp_path):
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(data.VideoDecodeError, match="text.mp4"):
        data.read_clip(tmp_path / "text.mp4")
    with pytest.raises(data.VideoDecodeError, match="nowhere.mp4"):
        data.read_clip(tmp_path / "nowhere.mp4")


def test_file_without_frames(tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "empty.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.height, stream.width, stream.pix_fmt = 16, 16, "yuv420p"
        container.mux(stream.encode(None))
    with pytest.raises(data.VideoDecodeError, match="empty.mp4"):
        data.read_clip(path)


def test_missing_extra_is_named(tmp_path, monkeypatch):
    path = tmp_path / "clip.mp4"
    data.write_video(path, moving_clip(2))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match=r'pip install "keras-larp\[data\]"'):
        data.read_clip(path)
