"""Valid files with unusual properties are read, and damaged ones skipped."""

import random
import shutil

import keras
import numpy as np
import pytest
from tiny_models import tiny_tokenizer

from keras_larp import data
from keras_larp.data.video.frame_index import index_frames

av = pytest.importorskip("av")
pytestmark = pytest.mark.once

# Numbers of frames that FFmpeg decodes.
NUM_FRAMES = {
    "hopper.gif": 1,
    "video_desks.3gp": 71,
    "roadtrip-vp92-10bit.webm": 72,
    "Sony ILCE-7M3 (A7M3).mts": 13,
    "vp31.avi": 320,
    "sar_2x1.mp4": 150,
    "transparent.webm": 150,
    "newtonscradle.gif": 36,
    "video_90.mov": 3,
    "h264_10bits.mp4": 30,
    "sample_partially_fragmented.mp4": 30,
    "iibbibb_editlist_videoonly.mp4": 12,
}


@pytest.fixture
def odd_dir(shared_dir):
    return shared_dir / "data/odd"


def decode(path, indices):
    """Returns frames as stored in the file, decoded in sequence."""
    with av.open(str(path), metadata_errors="ignore") as container:
        frames = list(container.decode(video=0))
    return len(frames), [
        frames[i].reformat(format="rgb24", interpolation="BILINEAR")
        for i in indices
    ]


@pytest.mark.parametrize("name", NUM_FRAMES)
def test_all_frames_are_read(odd_dir, name):
    path, count = odd_dir / name, NUM_FRAMES[name]
    assert data.count_frames(path) == count
    indices = [count - 1, 0, count // 2]
    num_decoded, expected = decode(path, indices)
    assert num_decoded == count
    frames = data.read_frames(path, indices, geometry="stored")
    for frame, other in zip(frames, expected, strict=True):
        np.testing.assert_array_equal(frame, other.to_ndarray())
    if count > 1:
        complete = data.read_frames(path, range(count), image_size=16)
        assert len(complete) == count


def test_all_odd_files_are_listed(odd_dir):
    names = {path.name for path in odd_dir.iterdir()} - {"README.md"}
    assert names == set(NUM_FRAMES)


def test_training_on_all_odd_files_skips_only_the_broken_one(
    odd_dir, shared_dir, tmp_path
):
    for name in NUM_FRAMES:
        (tmp_path / name).symlink_to(odd_dir / name)
    broken = shared_dir / "data/broken/corrupted.mp4"
    (tmp_path / broken.name).symlink_to(broken)
    source = data.VideoFolder(tmp_path)
    assert len(source) == len(NUM_FRAMES) + 1
    dataset = data.video_dataset(
        source,
        num_frames=4,
        image_size=16,
        batch_size=4,
        repeat=False,
        on_error="skip",
    )
    model = tiny_tokenizer()
    model.compile(keras.optimizers.Adam())
    history = model.fit(dataset, epochs=1, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert int(model.optimizer.iterations) == len(NUM_FRAMES) / 4
    (error,) = dataset.skipped
    assert "corrupted.mp4" in error


def test_hidden_vp9_frames_do_not_prevent_seeking(odd_dir):
    index = index_frames(odd_dir / "roadtrip-vp92-10bit.webm")
    assert index.timestamps is not None


def write(path, codec="libx264", num_frames=48, container=None, **options):
    with av.open(str(path), "w", options=container or {}) as file:
        stream = file.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(num_frames):
            pixels = np.full((48, 64, 3), 5 * i, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


def test_hidden_vp8_frames(tmp_path):
    write(tmp_path / "original.webm", "libvpx", **{"auto-alt-ref": "0"})
    path = tmp_path / "clip.webm"
    with (
        av.open(str(tmp_path / "original.webm")) as original,
        av.open(str(path), "w") as copy,
    ):
        stream = copy.add_stream_from_template(original.streams.video[0])
        for i, packet in enumerate(original.demux(video=0)):
            if packet.size:
                content = bytearray(packet)
                if i in (20, 30, 31):
                    content[0] &= ~0x10  # `show_frame`
                hidden = av.Packet(bytes(content))
                hidden.pts, hidden.dts = packet.pts, packet.dts
                hidden.time_base = packet.time_base
                hidden.is_keyframe = packet.is_keyframe
                hidden.stream = stream
                copy.mux(hidden)
    assert data.count_frames(path) == 45
    _, expected = decode(path, range(45))
    for i in (19, 20, 21, 44):
        frame = data.read_frames(path, [i])[0]
        np.testing.assert_array_equal(frame, expected[i].to_ndarray())


def test_edit_list_that_ends_early(tmp_path):
    """FFmpeg does not output packets of frames after the edit."""
    path = tmp_path / "clip.mp4"
    write(path, bf="0", g="6")
    content = bytearray(path.read_bytes())
    start = content.index(b"elst") + 12  # `segment_duration` in milliseconds
    content[start : start + 4] = (500).to_bytes(4, "big")
    path.write_bytes(content)
    num_frames, _ = decode(path, [])
    assert num_frames < 20
    assert data.count_frames(path) == num_frames


def test_mp4_that_is_truncated_between_two_frames(tmp_path):
    path = tmp_path / "clip.mp4"
    write(path, container={"movflags": "faststart"}, bf="0")
    with av.open(str(path)) as container:
        packets = [packet.pos for packet in container.demux() if packet.size]
    path.write_bytes(path.read_bytes()[: packets[30]])
    with pytest.raises(data.VideoDecodeError, match="declares 48 frames"):
        data.count_frames(path)


def test_relative_path_with_a_colon(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data.write_video("a:b.mp4", np.zeros((3, 16, 16, 3)))
    assert data.read_clip("a:b.mp4", num_frames=3).shape == (3, 16, 16, 3)


def test_codec_without_decoder(tmp_path):
    path = tmp_path / "clip.mp4"
    write(path)
    content = path.read_bytes()
    start = content.rindex(b"avc1")
    path.write_bytes(content[:start] + b"zzzz" + content[start + 4 :])
    with pytest.raises(data.VideoDecodeError, match="clip.mp4.*no decoder"):
        data.count_frames(path)


def test_gif_without_an_image(odd_dir, tmp_path):
    content = (odd_dir / "hopper.gif").read_bytes()
    path = tmp_path / "clip.gif"
    path.write_bytes(content[:800] + b";")
    with pytest.raises(data.VideoDecodeError, match="clip.gif"):
        data.read_frames(path, [0])


@pytest.mark.parametrize("name", sorted(NUM_FRAMES))
def test_damaged_files_raise_no_other_error(odd_dir, tmp_path, name):
    generator = random.Random(name)
    content = (odd_dir / name).read_bytes()
    path = tmp_path / f"clip{(odd_dir / name).suffix}"
    for num_bytes in (1, 10, 100):
        damaged = bytearray(content)
        for _ in range(num_bytes):
            limit = generator.choice([500, len(content)])
            damaged[generator.randrange(limit)] = generator.randrange(256)
        if num_bytes == 10:
            del damaged[generator.randrange(len(damaged)) :]
        path.write_bytes(damaged)
        try:
            frames = data.read_frames(path, [data.count_frames(path) - 1])
        except data.VideoDecodeError as error:
            assert str(path) in str(error)
        else:
            assert frames.dtype == np.uint8
    shutil.copy(odd_dir / name, path)
    assert data.count_frames(path) == NUM_FRAMES[name]
