"""Decoding: the right frames, and errors that name the file."""

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
    assert len(files) == 4
    for path in files:
        frames = decode_all(path)
        last = len(frames) - 1
        assert 0 <= data.count_frames(path) - len(frames) <= 2
        wanted = [last // 2, last // 2 + 1, last, last // 3, last // 3]
        received = data.read_frames(path, wanted)
        for frame, i in zip(received, wanted, strict=True):
            np.testing.assert_array_equal(frame, frames[i], err_msg=str(path))


def write_reordered(path, codec, num_reordered=3, **options):
    """48 frames, of which three of four are such that none builds on them."""
    av = pytest.importorskip("av")
    options |= {
        "bf": str(num_reordered),
        "g": "24",
        "x265-params": "log-level=none",
    }
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.max_b_frames = num_reordered
        noise = np.random.default_rng(0).integers(-9, 10, (48, 48, 64, 3))
        for picture in (128 + np.cumsum(noise, 0)).clip(0, 255):
            frame = av.VideoFrame.from_ndarray(
                picture.astype("uint8"), format="rgb24"
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
def test_skipping_frames_changes_none(tmp_path, codec, name):
    path = tmp_path / name
    write_reordered(path, codec)
    frames = decode_all(path)
    generator = np.random.default_rng(0)
    wanted = [
        [47],
        np.arange(40, 48),
        *(np.arange(start, start + 5) for start in range(0, 40, 3)),
        *(generator.permutation(48)[:6] for _ in range(12)),
    ]
    for numbers in wanted:
        received = data.read_frames(path, numbers)
        for frame, number in zip(received, numbers, strict=True):
            np.testing.assert_array_equal(frame, frames[number])


@pytest.mark.parametrize(
    ("codec", "name"),
    [("libx264", "clip.mp4"), ("mpeg4", "clip.avi"), ("libx265", "clip.mkv")],
)
def test_frames_that_none_builds_on_are_not_decoded(
    tmp_path, monkeypatch, codec, name
):
    write_reordered(tmp_path / name, codec)
    decoded = count_decoded(monkeypatch)
    data.read_frames(tmp_path / name, [21])
    assert 3 <= len(decoded) <= 15


@pytest.mark.parametrize("start", [120, 121, 122])
def test_packed_frames_that_none_builds_on_are_not_decoded(
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
    """A list that each frame which comes from a decoder is appended to; where
    one begins again to count them all, it fails."""
    av = pytest.importorskip("av")
    decoded, stamp = [], video_reader._stamp

    def remember(item, index):
        if isinstance(item, av.VideoFrame):
            decoded.append(item)
        return stamp(item, index)

    monkeypatch.setattr(video_reader, "_stamp", remember)
    monkeypatch.delattr(video_reader, "_decode_from_beginning")
    return decoded


def test_avi_with_a_dropped_frame_is_counted(tmp_path):
    """A packet without a picture gives no frame, so that packets do not tell
    which frame is which."""
    write_reordered(tmp_path / "whole.avi", "mpeg4")

    def drop(number, packet):
        if number != 10:  # an inner picture of reordered ones
            return packet
        return with_content(packet, bytes(packet)[:4] + b"\xb0\x00\x00")

    copy_packets(tmp_path / "whole.avi", tmp_path / "clip.avi", drop)
    frames = decode_all(tmp_path / "clip.avi")
    assert len(frames) == 47
    for number in (5, 20, 30):
        received = data.read_frames(tmp_path / "clip.avi", [number])
        np.testing.assert_array_equal(received[0], frames[number])


def assert_read_as_decoded(path):
    frames = decode_all(path)
    for number in range(len(frames)):
        received = data.read_frames(path, [number])
        np.testing.assert_array_equal(received[0], frames[number])
    with pytest.raises(ValueError, match=f"from 0 to {len(frames) - 1}"):
        data.read_frames(path, [len(frames)])


def test_picture_that_is_refreshed_bit_by_bit_is_whole(tmp_path):
    path = tmp_path / "clip.mp4"
    write_reordered(path, "libx264", **{"x264-params": "intra-refresh=1"})
    assert_read_as_decoded(path)


def copy_packets(source, target, change):
    """Copies a file, with each packet as `change` returns it, or without it
    where that is `None`."""
    av = pytest.importorskip("av")
    with av.open(str(source)) as whole, av.open(str(target), "w") as copy:
        stream = copy.add_stream_from_template(whole.streams.video[0])
        for number, packet in enumerate(whole.demux(video=0)):
            packet = change(number, packet) if packet.size else None
            if packet is not None:
                packet.stream = stream
                copy.mux(packet)


def with_content(packet, content):
    """A packet of the same times."""
    av = pytest.importorskip("av")
    other = av.Packet(content)
    other.dts, other.pts = packet.dts, packet.pts
    other.time_base = packet.time_base
    return other


def test_file_cut_within_pictures_that_build_on_each_other(tmp_path):
    """Its first pictures build on ones that are gone, and are never shown."""
    whole, path = tmp_path / "whole.mp4", tmp_path / "clip.mkv"
    parameters = "open-gop=1:b-adapt=0:scenecut=0:keyint=24:min-keyint=24"
    write_reordered(whole, "libx264", **{"x264-params": parameters})
    begun = []

    def cut(number, packet):
        if number and packet.is_keyframe:
            begun.append(number)
        return packet if begun else None

    copy_packets(whole, path, cut)
    assert begun and len(decode_all(path)) < 48 - begun[0]
    assert_read_as_decoded(path)


def test_file_with_times_of_decoding_for_those_of_showing(tmp_path):
    whole, path = tmp_path / "whole.mp4", tmp_path / "clip.mp4"
    write_reordered(whole, "libx264")
    first = []

    def shift(number, packet):
        first.append(packet.dts)
        packet.pts = packet.dts = packet.dts - first[0]
        return packet

    copy_packets(whole, path, shift)
    assert_read_as_decoded(path)


def test_file_whose_marks_call_all_pictures_whole(tmp_path):
    whole, path = tmp_path / "whole.mp4", tmp_path / "clip.mp4"
    write_reordered(whole, "mpeg4", num_reordered=0, b="4M")

    def mark(number, packet):
        packet.is_keyframe = True
        return packet

    copy_packets(whole, path, mark)
    assert_read_as_decoded(path)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi"])
def test_file_with_pictures_left_out(tmp_path, name):
    whole, path = tmp_path / "whole.avi", tmp_path / name
    write_reordered(whole, "mpeg4", num_reordered=0, b="4M")

    def leave_out(number, packet):
        if number not in (20, 30):
            return packet
        return with_content(packet, b"\x00\x00\x01\xb6\x50\x00\x00")

    copy_packets(whole, path, leave_out)
    assert len(decode_all(path)) == 46
    assert_read_as_decoded(path)


def test_file_of_which_an_edit_list_shows_a_part(tmp_path):
    whole, path = tmp_path / "whole.mp4", tmp_path / "clip.mp4"
    write_reordered(whole, "libx264")
    first = []

    def begin_late(number, packet):
        first.append(packet.dts)
        packet.pts -= first[0] + 10 * packet.duration
        packet.dts -= first[0] + 10 * packet.duration
        return packet

    copy_packets(whole, path, begin_late)
    assert 0 < len(decode_all(path)) < 48
    assert_read_as_decoded(path)


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
