"""Decoding returns exact frames, and errors name the file."""

import struct
import sys

import numpy as np
import pytest

from keras_larp import data
from keras_larp.data.video import video_reader

pytestmark = pytest.mark.once


def moving_clip(num_frames=24):
    return data.MovingShapes(1, num_frames, 48).render(0)


@pytest.fixture
def files(shared_dir):
    folder = shared_dir / "data"
    return [
        *sorted(folder.glob("UCF-101/*/*.avi")),
        *sorted(folder.glob("kinetics/*")),
    ]


def test_preprocessing_matches_the_reference_implementation(
    golden_dir, shared_dir
):
    case = np.load(golden_dir / "clip_preprocessing/arrays.npz")
    path = shared_dir / "data" / str(case["path"])
    frames = data.read_clip(path, int(case["start_frame"]), 16)
    clip = 255.0 * data.preprocess_clip(frames, 128)
    assert np.abs(clip - case["frames"]).mean() < 1.5


def test_resizing_with_ffmpeg_is_close_to_pillow(files):
    for path in files:
        expected = data.resize_shorter_side(data.read_frames(path, [9, 60]), 64)
        frames = data.read_frames(path, [9, 60], image_size=64)
        assert frames.shape == expected.shape
        assert np.abs(frames - expected.astype(float)).mean() < 3.0


def test_seeking_returns_the_same_frames_as_sequential_decoding(files):
    assert len(files) == 4
    for path in files:
        frames = decode_all(path)
        last = len(frames) - 1
        assert 0 <= data.count_frames(path) - len(frames) <= 2
        indices = [last // 2, last // 2 + 1, last, last // 3, last // 3]
        received = data.read_frames(path, indices, geometry="stored")
        for frame, i in zip(received, indices, strict=True):
            np.testing.assert_array_equal(frame, frames[i], err_msg=str(path))


def write_with_b_frames(path, codec, max_b_frames=3, **options):
    """Writes 48 frames, by default three B-frames per reference frame."""
    av = pytest.importorskip("av")
    options |= {
        "bf": str(max_b_frames),
        "g": "24",
        "x265-params": "log-level=none",
    }
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.max_b_frames = max_b_frames
        noise = np.random.default_rng(0).integers(-9, 10, (48, 48, 64, 3))
        for pixels in (128 + np.cumsum(noise, 0)).clip(0, 255):
            frame = av.VideoFrame.from_ndarray(
                pixels.astype("uint8"), format="rgb24"
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def decode_all(path):
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        return [
            frame.to_ndarray(format="rgb24")
            for frame in container.decode(video=0)
        ]


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ("libx264", "clip.mp4"),
        ("libx265", "clip.mkv"),
        ("mpeg4", "clip.avi"),
        ("mpeg4", "clip.mp4"),
        ("libsvtav1", "clip.mp4"),
        ("libvpx-vp9", "clip.webm"),
        ("libx264", "clip.avi"),
    ],
)
def test_skipping_b_frames_does_not_change_the_others(tmp_path, codec, name):
    path = tmp_path / name
    write_with_b_frames(path, codec)
    frames = decode_all(path)
    generator = np.random.default_rng(0)
    requests = [
        [47],
        np.arange(40, 48),
        *(np.arange(start, start + 5) for start in range(0, 40, 3)),
        *(generator.permutation(48)[:6] for _ in range(12)),
    ]
    for indices in requests:
        received = data.read_frames(path, indices)
        for frame, i in zip(received, indices, strict=True):
            np.testing.assert_array_equal(frame, frames[i])


@pytest.mark.parametrize(
    ("codec", "name"),
    [("libx264", "clip.mp4"), ("mpeg4", "clip.avi"), ("libx265", "clip.mkv")],
)
def test_b_frames_that_were_not_requested_are_not_decoded(
    tmp_path, monkeypatch, codec, name
):
    write_with_b_frames(tmp_path / name, codec)
    decoded = count_decoded(monkeypatch)
    data.read_frames(tmp_path / name, [21])
    assert 3 <= len(decoded) <= 15


@pytest.mark.parametrize("start", [120, 121, 122])
def test_b_frames_of_packed_bitstreams_are_not_decoded(
    shared_dir, monkeypatch, start
):
    decoded = count_decoded(monkeypatch)
    folder = shared_dir / "data/UCF-101/ApplyEyeMakeup"
    path = folder / "v_ApplyEyeMakeup_g01_c01.avi"
    frames = data.read_frames(path, np.arange(start, start + 16))
    assert 50 <= len(decoded) <= 70
    expected = np.stack(decode_all(path)[start : start + 16])
    np.testing.assert_array_equal(frames, expected)


def count_decoded(monkeypatch):
    """Returns a list to which each decoded frame is appended.

    Decoding a file from the start fails.
    """
    av = pytest.importorskip("av")
    decoded, timestamp = [], video_reader._timestamp

    def record(item, index):
        if isinstance(item, av.VideoFrame):
            decoded.append(item)
        return timestamp(item, index)

    monkeypatch.setattr(video_reader, "_timestamp", record)
    monkeypatch.delattr(video_reader, "_decode_from_start")
    return decoded


def test_avi_with_a_dropped_b_frame(tmp_path):
    """A packet without a VOP outputs no frame, so that packet indices do not
    identify frames."""
    write_with_b_frames(tmp_path / "complete.avi", "mpeg4")

    def drop(i, packet):
        if i != 10:  # a B-frame
            return packet
        return with_content(packet, bytes(packet)[:4] + b"\xb0\x00\x00")

    copy_packets(tmp_path / "complete.avi", tmp_path / "clip.avi", drop)
    frames = decode_all(tmp_path / "clip.avi")
    assert len(frames) == 47
    for i in (5, 20, 30):
        received = data.read_frames(tmp_path / "clip.avi", [i])
        np.testing.assert_array_equal(received[0], frames[i])


def assert_read_as_decoded(path):
    frames = decode_all(path)
    for i in range(len(frames)):
        received = data.read_frames(path, [i])
        np.testing.assert_array_equal(received[0], frames[i])
    with pytest.raises(ValueError, match=f"from 0 to {len(frames) - 1}"):
        data.read_frames(path, [len(frames)])


def test_periodic_intra_refresh(tmp_path):
    path = tmp_path / "clip.mp4"
    write_with_b_frames(path, "libx264", **{"x264-params": "intra-refresh=1"})
    assert_read_as_decoded(path)


def copy_packets(source, target, change):
    """Copies a file and replaces each packet by `change(index, packet)`.

    A packet is dropped if `change` returns `None`.
    """
    av = pytest.importorskip("av")
    with av.open(str(source)) as original, av.open(str(target), "w") as copy:
        stream = copy.add_stream_from_template(original.streams.video[0])
        for i, packet in enumerate(original.demux(video=0)):
            packet = change(i, packet) if packet.size else None
            if packet is not None:
                packet.stream = stream
                copy.mux(packet)


def with_content(packet, content):
    """Returns a packet with the same timestamps."""
    av = pytest.importorskip("av")
    other = av.Packet(content)
    other.dts, other.pts = packet.dts, packet.pts
    other.time_base = packet.time_base
    return other


def test_file_that_starts_with_an_open_gop(tmp_path):
    """The first B-frames reference frames that were cut off."""
    original, path = tmp_path / "original.mp4", tmp_path / "clip.mkv"
    parameters = "open-gop=1:b-adapt=0:scenecut=0:keyint=24:min-keyint=24"
    write_with_b_frames(original, "libx264", **{"x264-params": parameters})
    keyframes = []

    def cut(i, packet):
        if i and packet.is_keyframe:
            keyframes.append(i)
        return packet if keyframes else None

    copy_packets(original, path, cut)
    assert keyframes and len(decode_all(path)) < 48 - keyframes[0]
    assert_read_as_decoded(path)


def test_file_with_decoding_timestamps_as_presentation_timestamps(tmp_path):
    original, path = tmp_path / "original.mp4", tmp_path / "clip.mp4"
    write_with_b_frames(original, "libx264")
    first = []

    def shift(i, packet):
        first.append(packet.dts)
        packet.pts = packet.dts = packet.dts - first[0]
        return packet

    copy_packets(original, path, shift)
    assert_read_as_decoded(path)


def test_file_with_all_frames_marked_as_keyframes(tmp_path):
    original, path = tmp_path / "original.mp4", tmp_path / "clip.mp4"
    write_with_b_frames(original, "mpeg4", max_b_frames=0, b="4M")

    def mark(i, packet):
        packet.is_keyframe = True
        return packet

    copy_packets(original, path, mark)
    assert_read_as_decoded(path)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi"])
def test_file_with_dropped_frames(tmp_path, name):
    original, path = tmp_path / "original.avi", tmp_path / name
    write_with_b_frames(original, "mpeg4", max_b_frames=0, b="4M")

    def drop(i, packet):
        if i not in (20, 30):
            return packet
        return with_content(packet, b"\x00\x00\x01\xb6\x50\x00\x00")

    copy_packets(original, path, drop)
    assert len(decode_all(path)) == 46
    assert_read_as_decoded(path)


def test_file_with_an_edit_list(tmp_path):
    original, path = tmp_path / "original.mp4", tmp_path / "clip.mp4"
    write_with_b_frames(original, "libx264")
    first = []

    def start_late(i, packet):
        first.append(packet.dts)
        packet.pts -= first[0] + 10 * packet.duration
        packet.dts -= first[0] + 10 * packet.duration
        return packet

    copy_packets(original, path, start_late)
    assert 0 < len(decode_all(path)) < 48
    assert_read_as_decoded(path)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi"])
def test_written_video_can_be_read(tmp_path, name):
    video = moving_clip()
    data.write_video(tmp_path / name, video)
    frames = data.read_clip(tmp_path / name, start=3, num_frames=8)
    assert frames.shape == (8, 48, 48, 3)
    assert np.abs(frames / 255.0 - video[3:11]).mean() < 0.03


def write_with_display_matrix(path, video, a, b, c, d):
    """Writes a file with a display matrix.

    The matrix maps a pixel (x, y) to (a x + c y, b x + d y).
    """

    def matrix(a, b, c, d):
        values = (round(value * (1 << 16)) for value in (a, b, c, d))
        a, b, c, d = values
        return struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)

    data.write_video(path, video)
    content = path.read_bytes()
    start = content.rindex(matrix(1, 0, 0, 1))  # the track's matrix
    end = start + 36
    path.write_bytes(content[:start] + matrix(a, b, c, d) + content[end:])


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        # Brightness: top left, top right, bottom left, bottom right.
        ((1, 0, 0, 1), (0, 80, 160, 240)),
        ((0, 1, -1, 0), (160, 0, 240, 80)),  # clockwise
        ((-1, 0, 0, -1), (240, 160, 80, 0)),
        ((0, -1, 1, 0), (80, 240, 0, 160)),  # counterclockwise
        ((-1, 0, 0, 1), (80, 0, 240, 160)),  # mirrored: front cameras
        ((1, 0, 0, -1), (160, 240, 0, 80)),
        ((0, 1, 1, 0), (0, 160, 80, 240)),
        ((0, -1, -1, 0), (240, 80, 160, 0)),
    ],
)
def test_display_matrix_is_applied(tmp_path, matrix, expected):
    path = tmp_path / "clip.mp4"
    stored = np.zeros((2, 32, 48, 3), "uint8")
    stored[:, :16, 24:], stored[:, 16:, :24] = 80, 160
    stored[:, 16:, 24:] = 240
    write_with_display_matrix(path, stored, *matrix)
    for size in (None, 16):
        frame = data.read_frames(path, [1], image_size=size)[0]
        height, width, _ = frame.shape
        assert width / height == (1.5 if matrix[0] else 2 / 3)
        corners = frame[[2, 2, -3, -3], [2, -3, 2, -3]].mean(axis=-1)
        np.testing.assert_allclose(corners, expected, atol=6)
    frame = data.read_frames(path, [1], geometry="stored")[0]
    assert np.abs(frame - stored[1].astype(float)).max() < 20


def test_sample_aspect_ratio_widens_frames(shared_dir):
    path = shared_dir / "data/odd/sar_2x1.mp4"
    frame = data.read_frames(path, [5])[0]
    assert frame.shape == (360, 1280, 3)
    stored = data.read_clip(path, 5, 1, geometry="stored")[0]
    assert stored.shape == (360, 640, 3)
    pairs = frame.reshape(360, 640, 2, 3).mean(axis=2)
    assert np.abs(pairs - stored).mean() < 3
    assert data.read_frames(path, [5], 90).shape == (1, 90, 320, 3)


def test_sample_aspect_ratio_precedes_rotation(shared_dir, tmp_path):
    """The ratio describes stored pixels."""
    av = pytest.importorskip("av")
    original = shared_dir / "data/odd/sar_2x1.mp4"
    path = tmp_path / "clip.mp4"
    with av.open(str(original)) as source, av.open(str(path), "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(90)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                copy.mux(packet)
    assert data.read_frames(path, [0]).shape == (1, 1280, 360, 3)


def test_implausible_sample_aspect_ratio(shared_dir, tmp_path):
    """Damaged headers may have one that would make frames fill the memory."""
    content = (shared_dir / "data/odd/sar_2x1.mp4").read_bytes()
    ratio = b"pasp" + struct.pack(">2I", 2, 1)
    assert content.count(ratio) == 1
    content = content.replace(ratio, b"pasp" + struct.pack(">2I", 9999, 1))
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(data.VideoDecodeError, match="9999.*geometry=.stored"):
        data.read_frames(path, [0])
    stored = data.read_frames(path, [0], geometry="stored")
    assert stored.shape == (1, 360, 640, 3)


def test_unknown_geometry(tmp_path):
    with pytest.raises(ValueError, match="`geometry` must be one of"):
        data.read_frames(tmp_path / "clip.mp4", [0], geometry="square")


def test_clip_past_the_end_repeats_the_last_frame(tmp_path):
    data.write_video(tmp_path / "clip.mp4", moving_clip(6))
    frames = data.read_clip(tmp_path / "clip.mp4", start=4, num_frames=4)
    np.testing.assert_array_equal(frames[2], frames[1])
    np.testing.assert_array_equal(frames[3], frames[1])


def test_frame_indices_out_of_range(tmp_path):
    path = tmp_path / "clip.mp4"
    data.write_video(path, moving_clip(6))
    with pytest.raises(ValueError, match="must be from 0 to 5"):
        data.read_frames(path, [0, 6])
    with pytest.raises(ValueError, match="`start` must be less than 6"):
        data.read_clip(path, start=6)
    with pytest.raises(ValueError, match="at least one integer"):
        data.read_frames(path, [])


def test_corrupted_file(shared_dir):
    path = shared_dir / "data/broken/corrupted.mp4"
    with pytest.raises(data.VideoDecodeError, match="broken/corrupted.mp4"):
        data.read_clip(path, start=20)


def test_truncated_file(tmp_path):
    path = tmp_path / "clip.avi"
    data.write_video(path, moving_clip(48))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(data.VideoDecodeError, match="clip.avi"):
        data.read_clip(path)


def test_file_that_is_not_a_video(tmp_path):
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(data.VideoDecodeError, match="text.mp4"):
        data.read_clip(tmp_path / "text.mp4")
    with pytest.raises(data.VideoDecodeError, match="nowhere.mp4"):
        data.read_clip(tmp_path / "nowhere.mp4")


@pytest.mark.parametrize("name", [300 * "x", "a\0b.mp4", ""])
def test_invalid_file_names(name):
    with pytest.raises(data.VideoDecodeError, match="Cannot read the video"):
        data.count_frames(name)


def test_file_without_frames(tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "empty.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.height, stream.width, stream.pix_fmt = 16, 16, "yuv420p"
        container.mux(stream.encode(None))
    with pytest.raises(data.VideoDecodeError, match="empty.mp4"):
        data.read_clip(path)


def test_missing_dependency_names_the_extra(tmp_path, monkeypatch):
    path = tmp_path / "clip.mp4"
    data.write_video(path, moving_clip(2))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match=r'pip install "keras-larp\[data\]"'):
        data.read_clip(path)
