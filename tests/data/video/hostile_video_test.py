"""Files that are no videos, or would take too long to decode."""

import os
import socket

import numpy as np
import pytest
from damaged_files import (
    assert_reads_or_names,
    damaged_bytes,
    quick,
    time_limit,
)
from hypothesis import given
from hypothesis import strategies as st

from keras_larp import data
from keras_larp.cli import data_flags
from keras_larp.data.video import frame_index, video_limits

av = pytest.importorskip("av")
pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def default_limits(monkeypatch):
    for name in (video_limits._FRAME_PIXELS, video_limits._DECODED_PIXELS):
        monkeypatch.setenv(name, "1")  # Restores the variable afterwards.
        monkeypatch.delenv(name)


def write(path, height=32, width=48, num_frames=6, codec="mpeg4"):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.gop_size = height, width, 100
        for _ in range(num_frames):
            pixels = np.full((height, width, 3), 100, "uint8")
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_large_frames_are_refused_before_decoding(tmp_path):
    path = write(tmp_path / "large.mp4", 6000, 6000, 2)
    with time_limit(10):
        with pytest.raises(
            data.VideoDecodeError,
            match="large.mp4: its frames have 6000 x 6000 = 36,000,000 pixels, "
            "more than the limit of 35,389,440.*--max_frame_pixels",
        ):
            data.count_frames(path)


def test_limit_of_pixels_can_be_changed(tmp_path):
    path = write(tmp_path / "clip.mp4")
    data.set_video_limits(max_frame_pixels=32 * 48 - 1)
    with pytest.raises(data.VideoDecodeError, match="48 x 32 = 1,536 pixels"):
        data.count_frames(path)
    data.set_video_limits(max_frame_pixels=32 * 48)
    assert data.count_frames(path) == 6


def test_flags_change_the_limits(tmp_path):
    from absl import flags

    write(tmp_path / "clip.mp4")
    values = flags.FlagValues()
    data_flags.define(values, batch_size=1)
    values(["", f"--data={tmp_path}", "--max_frame_pixels=100"])
    source = data_flags.make_source(values, "train", 2, 32)
    with pytest.raises(data.VideoDecodeError, match="limit of 100"):
        source.num_frames(0)


def test_files_that_must_be_decoded_from_the_start_have_a_limit(tmp_path):
    path = write(tmp_path / "clip.mpg", codec="mpeg2video")
    assert data.count_frames(path) == 6
    data.set_video_limits(max_decoded_pixels=3 * 32 * 48)
    assert data.read_frames(path, [2]).shape == (1, 32, 48, 3)
    with pytest.raises(
        data.VideoDecodeError, match="clip.mpg: 4 frames.*--max_decoded_pixels"
    ):
        data.read_frames(path, [3])
    other = tmp_path / "other.mpg"
    path.rename(other)  # Without the cached index.
    with pytest.raises(data.VideoDecodeError, match="other.mpg: 6 frames"):
        data.count_frames(other)


def test_frames_after_a_keyframe_have_a_limit(tmp_path):
    path = write(tmp_path / "clip.mp4")
    data.set_video_limits(max_decoded_pixels=3 * 32 * 48)
    assert data.read_frames(path, [2]).shape == (1, 32, 48, 3)
    with pytest.raises(data.VideoDecodeError, match="clip.mp4: 4 frames"):
        data.read_frames(path, [3])


def test_number_of_packets_has_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(frame_index, "MAX_PACKETS", 5)
    path = write(tmp_path / "clip.mp4", num_frames=6)
    with pytest.raises(data.VideoDecodeError, match="more than 5 packets"):
        data.count_frames(path)


def test_worker_processes_have_the_same_limits(monkeypatch):
    data.set_video_limits(max_frame_pixels=123)
    assert os.environ["KERAS_LARP_MAX_FRAME_PIXELS"] == "123"
    monkeypatch.setenv("KERAS_LARP_MAX_FRAME_PIXELS", "8K")
    with pytest.raises(ValueError, match="MAX_FRAME_PIXELS.*'8K'"):
        video_limits.max_frame_pixels()


@pytest.mark.parametrize("limit", [0, -1, 1.5, "8K"])
def test_invalid_limits_are_refused(limit):
    with pytest.raises(ValueError, match="max_frame_pixels"):
        data.set_video_limits(max_frame_pixels=limit)
    with pytest.raises(ValueError, match="max_decoded_pixels"):
        data.set_video_limits(max_decoded_pixels=limit)


@pytest.mark.parametrize(
    "content",
    [
        "ffconcat version 1.0\nfile clip.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nclip.mp4\n"
        "#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" '
        'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"></MPD>',
    ],
    ids=["ffconcat", "m3u8", "sdp", "dash"],
)
@pytest.mark.parametrize("suffix", [".mp4", ".ffconcat", ".m3u8"])
def test_playlists_are_no_videos(content, suffix, tmp_path):
    write(tmp_path / "clip.mp4")
    path = tmp_path / f"list{suffix}"
    path.write_text(content)
    with (
        time_limit(10),
        pytest.raises(
            data.VideoDecodeError, match="list.*(Playlists|Invalid data)"
        ),
    ):
        data.count_frames(path)


def test_sequences_of_images_are_no_videos(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for i in range(2):
        image.new("RGB", (32, 32)).save(tmp_path / f"{i}.png")
    (tmp_path / "%d.png").write_bytes((tmp_path / "0.png").read_bytes())
    for name in ("0.png", "%d.png"):
        with pytest.raises(data.VideoDecodeError, match="still images"):
            data.count_frames(tmp_path / name)


def test_named_pipes_sockets_and_devices_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "socket.mp4"))
    for path, kind in (
        (tmp_path / "pipe.mp4", "named pipe"),
        (tmp_path / "socket.mp4", "socket"),
        ("/dev/zero", "device"),
    ):
        with (
            time_limit(5),
            pytest.raises(data.VideoDecodeError, match=f"{path}.*{kind}"),
        ):
            data.count_frames(path)
    server.close()


def test_addresses_are_no_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "clip.mp4")
    for path in ("concat:clip.mp4", "file:clip.mp4", "http://127.0.0.1/a.mp4"):
        with pytest.raises(data.VideoDecodeError, match="Cannot read"):
            data.count_frames(path)


@quick
@given(st.data())
def test_damaged_videos_raise_clear_errors(tmp_path_factory, data):
    path = write(tmp_path_factory.mktemp("video") / "clip.mp4")
    path.write_bytes(data.draw(damaged_bytes(path.read_bytes())))
    assert_reads_or_names(lambda: read_last_frame(path), path)


def read_last_frame(path):
    return data.read_frames(path, [data.count_frames(path) - 1])
