"""Complete videos are read and written frame by frame, with their sound."""

import dataclasses
import fractions
import weakref

import numpy as np
import pytest

from keras_larp import data
from keras_larp.data.video import video_reader

av = pytest.importorskip("av")
pytestmark = pytest.mark.once

NAMES = [
    "UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi",
    "odd/video_90.mov",  # rotated
    "odd/sar_2x1.mp4",  # wide pixels
    "odd/iibbibb_editlist_videoonly.mp4",  # B-frames, hidden frames
]


def audio_duration(path):
    with av.open(path) as container:
        frames = container.decode(audio=0)
        return sum(frame.samples / frame.sample_rate for frame in frames)


@pytest.mark.parametrize("geometry", ["display", "stored"])
@pytest.mark.parametrize("name", NAMES)
def test_streamed_frames_are_those_that_are_read_by_index(
    shared_dir, name, geometry
):
    path = shared_dir / "data" / name
    frames = list(data.stream_frames(path, geometry))
    assert len(frames) == data.count_frames(path)
    indices = [0, len(frames) // 2, len(frames) - 1]
    expected = data.read_frames(path, indices, geometry=geometry)
    np.testing.assert_array_equal([frames[i] for i in indices], expected)


@pytest.mark.parametrize("num_missing", [2, 3])
def test_frames_that_were_never_coded(tmp_path, monkeypatch, num_missing):
    path = tmp_path / "a.mp4"
    data.write_video(path, data.MovingShapes(1, 8, 48).render(0))
    expected = [*data.stream_frames(path)]
    index = video_reader.index_frames(path)
    index = dataclasses.replace(index, num_frames=8 + num_missing)
    monkeypatch.setattr(video_reader, "index_frames", lambda _: index)
    if num_missing > 2:
        with pytest.raises(data.VideoDecodeError, match="only 8 of 11 frames"):
            list(data.stream_frames(path))
    else:
        expected += [expected[-1]] * num_missing
        np.testing.assert_array_equal([*data.stream_frames(path)], expected)


def test_damaged_frames_are_errors_after_the_intact_ones(shared_dir):
    path = shared_dir / "data/broken/corrupted.mp4"
    frames = data.stream_frames(path)
    assert next(frames).shape == (720, 1280, 3)
    with pytest.raises(data.VideoDecodeError, match="corrupted.mp4"):
        list(frames)


def test_streaming_a_missing_file(tmp_path):
    with pytest.raises(data.VideoDecodeError, match="No such file"):
        data.stream_frames(tmp_path / "a.mp4")
    with pytest.raises(data.VideoDecodeError, match="No such file"):
        data.frame_rate(tmp_path / "a.mp4")


def test_frame_rate_is_exact(shared_dir):
    folder = shared_dir / "data/UCF-101"
    names = ["ApplyEyeMakeup/v_ApplyEyeMakeup", "BaseballPitch/v_BaseballPitch"]
    rates = [data.frame_rate(folder / f"{n}_g01_c01.avi") for n in names]
    assert rates == [25, fractions.Fraction(30000, 1001)]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_variable_frame_rate_is_averaged(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=100)
        stream.height = stream.width = 32
        for pts in [0, 1, 2, 3, 10, 20, 30, 40]:
            pixels = np.full((32, 32, 3), pts, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = pts, fractions.Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert data.frame_rate(path) == fractions.Fraction(7, 40) * 100


def test_iterators_are_written_like_arrays(tmp_path):
    video = data.MovingShapes(1, 24, 47).render(0)
    for name in ("array", "iterator"):
        frames = iter(video) if name == "iterator" else video
        for suffix in (".mp4", ".gif"):
            data.write_video(tmp_path / f"{name}{suffix}", frames, 12.5)
            frames = iter(video) if name == "iterator" else video
    for suffix in (".mp4", ".gif"):
        array = (tmp_path / f"array{suffix}").read_bytes()
        assert (tmp_path / f"iterator{suffix}").read_bytes() == array


def test_written_frames_are_not_held(tmp_path):
    references = []

    def frames():
        for _ in range(60):
            frame = np.zeros((32, 32, 3), np.uint8)
            references.append(weakref.ref(frame))
            assert sum(held() is not None for held in references) <= 3
            yield frame
            del frame

    data.write_video(tmp_path / "a.mp4", frames())
    assert data.count_frames(tmp_path / "a.mp4") == 60


@pytest.mark.parametrize("rate", ["24000/1001", "359/12", "29999993/999983"])
def test_fractions_are_written_exactly(tmp_path, rate):
    rate = fractions.Fraction(rate)
    data.write_video(tmp_path / "a.mp4", np.zeros((50, 16, 16, 3)), rate)
    assert data.frame_rate(tmp_path / "a.mp4") == rate


@pytest.mark.parametrize(
    "frames, message",
    [
        ([], "at least one frame"),
        ([np.zeros((8, 8, 3)), np.zeros((8, 10, 3))], "(8, 10, 3) for frame 1"),
        ([np.zeros((8, 8))], "3 axes"),
    ],
)
def test_invalid_iterators_leave_no_file(tmp_path, frames, message):
    with pytest.raises(ValueError) as error:
        data.write_video(tmp_path / "a.mp4", iter(frames))
    assert message in str(error.value)
    assert not list(tmp_path.iterdir())


def test_errors_of_an_iterator_are_not_changed(tmp_path):
    def frames():
        yield np.zeros((8, 8, 3))
        raise data.VideoDecodeError("Frame 1 is damaged.")

    with pytest.raises(data.VideoDecodeError, match="^Frame 1 is damaged.$"):
        data.write_video(tmp_path / "a.mp4", frames())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name, codec",
    [
        ("UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi", "mp3float"),
        ("odd/video_desks.3gp", "aac"),
        ("odd/transparent.webm", "vorbis"),
    ],
)
def test_audio_is_copied(shared_dir, tmp_path, name, codec):
    path = shared_dir / "data" / name
    output = tmp_path / "a.mp4"
    video = np.zeros((10, 16, 16, 3))  # shorter than the sound
    data.write_video(output, video, data.frame_rate(path), audio_from=path)
    with av.open(output) as container:
        assert container.streams.audio[0].codec_context.name == codec
        audio, video = container.streams.audio[0], container.streams.video[0]
        assert audio.start_time == video.start_time == 0
    with av.open(path, metadata_errors="ignore") as container:
        packets = [p for p in container.demux(audio=0) if p.size]
    with av.open(output) as container:
        copied = [bytes(p) for p in container.demux(audio=0) if p.size]
    assert copied == [bytes(packet) for packet in packets]
    assert data.count_frames(output) == 10


def test_audio_that_starts_before_the_video_is_cut(shared_dir, tmp_path):
    path = shared_dir / "data/odd/Sony ILCE-7M3 (A7M3).mts"
    frames = (np.zeros((16, 16, 3), np.uint8) for _ in range(13))
    data.write_video(tmp_path / "a.mp4", frames, 25, audio_from=path)
    # It starts 80 ms before the first frame.
    with av.open(path) as container:
        audio, video = container.streams.audio[0], container.streams.video[0]
        assert (video.start_time - audio.start_time) / 90_000 == 0.08
    difference = audio_duration(path) - audio_duration(tmp_path / "a.mp4")
    assert difference == pytest.approx(0.08, abs=1e-3)


@pytest.mark.parametrize(
    "name, output, message",
    [
        ("odd/video_90.mov", "a.mp4", "video_90.mov, which has none"),
        ("odd/vp31.avi", "a.mp4", "cannot store the audio.*codec=metasound"),
        ("odd/video_desks.3gp", "a.gif", "GIF files have no sound"),
        ("odd/README.md", "a.mp4", "Cannot read the video"),
    ],
)
def test_audio_that_cannot_be_copied(
    shared_dir, tmp_path, name, output, message
):
    path = shared_dir / "data" / name
    with pytest.raises(ValueError, match=message):
        video = np.zeros((3, 16, 16, 3))
        data.write_video(tmp_path / output, video, audio_from=path)
    assert not list(tmp_path.iterdir())
