"""Bits and pixels of clips that FFmpeg's codecs encode."""

import numpy as np
import pytest

from keras_larp import data
from keras_larp.data.video import video_codecs
from keras_larp.data.video.video_codecs import encode_with_codec

pytestmark = pytest.mark.once
CODECS = ["h264", "av1"]


@pytest.fixture(scope="module")
def clip():
    source = data.MovingShapes(1, num_frames=8, image_size=64)
    return np.rint(source.render(0) * 255).astype("uint8")


def mse(clip, decoded):
    return np.mean((clip.astype("float32") - decoded) ** 2)


@pytest.mark.parametrize("codec", CODECS)
def test_lower_rates_have_fewer_bits_and_larger_errors(clip, codec):
    results = [encode_with_codec(clip, codec, crf) for crf in (20, 40, 51)]
    bits = [num_bits for num_bits, _ in results]
    errors = [mse(clip, decoded) for _, decoded in results]
    assert bits == sorted(bits, reverse=True)
    assert len(set(bits)) == 3
    assert errors == sorted(errors)
    for _, decoded in results:
        assert decoded.shape == clip.shape
        assert decoded.dtype == np.uint8
    # 4:2:0 limits the quality of colored edges.
    assert errors[0] < 100


@pytest.mark.parametrize("codec", CODECS)
def test_frames_are_in_order(codec):
    levels = np.array([0, 200, 30, 160, 60, 120, 90, 250], "uint8")
    clip = np.broadcast_to(levels[:, None, None, None], (8, 64, 64, 3))
    _, decoded = encode_with_codec(np.ascontiguousarray(clip), codec, 10)
    means = decoded.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(means, levels, atol=6)


@pytest.mark.parametrize("codec", CODECS)
def test_equal_clips_have_equal_bits(clip, codec):
    first, second = (encode_with_codec(clip, codec, 35) for _ in range(2))
    assert first[0] == second[0]
    np.testing.assert_array_equal(first[1], second[1])


def test_settings_of_x264_do_not_count(clip):
    packet = b"\0\0\0\1\x67ab" + b"\0\0\1\x06" + 700 * b"x" + b"\0\0\1\x65cd"
    assert video_codecs._num_sei_bytes(packet) == 4 + 1 + 700
    assert encode_with_codec(clip, "h264", 51)[0] < 8 * 600


@pytest.mark.parametrize(
    "change",
    [
        {"codec": "mpeg2"},
        {"crf": 52},
        {"crf": -1},
        {"crf": 1.5},
        {"clip": np.zeros((8, 64, 64, 3), "float32")},
        {"clip": np.zeros((8, 63, 64, 3), "uint8")},
        {"clip": np.zeros((64, 64, 3), "uint8")},
    ],
)
def test_invalid_arguments(clip, change):
    arguments = {"clip": clip, "codec": "h264", "crf": 30, **change}
    with pytest.raises(ValueError, match="Received"):
        encode_with_codec(**arguments)


def test_missing_codec_is_named(clip, monkeypatch):
    codec = video_codecs._Codec("libnothing", "h264", {}, 51)
    monkeypatch.setitem(video_codecs.CODECS, "h264", codec)
    with pytest.raises(ImportError, match="no codec libnothing"):
        encode_with_codec(clip, "h264", 30)
