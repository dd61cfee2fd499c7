"""Videos of any length and size, reconstructed from overlapping clips."""

import weakref

import keras
import numpy as np
import pytest
from damaged_files import quick
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import tiny_tokenizer

from keras_larp.models import reconstruct_video


class StubTokenizer:
    """Reconstructs clips by a function; its tokens are the clips."""

    video_shape = (4, 8, 8, 3)

    def __init__(self, reconstruct=lambda clips: clips):
        self.reconstruct = reconstruct
        self.batch_sizes = []

    def encode(self, video, num_tokens=None):
        self.batch_sizes.append(len(video))
        return keras.ops.convert_to_tensor(video)

    def decode(self, token_ids):
        return self.reconstruct(token_ids)


def random_video(*shape):
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)


def reconstructed(tokenizer, video, *args, **kwargs):
    return np.stack([*reconstruct_video(tokenizer, video, *args, **kwargs)])


@quick
@given(
    st.integers(1, 14),
    st.integers(1, 30),
    st.integers(1, 30),
    st.integers(0, 3),
    st.integers(0, 7),
    st.integers(1, 9),
)
def test_all_sizes_are_covered(
    num_frames, height, width, temporal_overlap, spatial_overlap, batch_size
):
    video = random_video(num_frames, height, width)
    options = (temporal_overlap, spatial_overlap, batch_size)
    actual = reconstructed(StubTokenizer(), video, *options)
    assert actual.dtype == np.uint8
    np.testing.assert_array_equal(actual, video)
    floats = video.astype("float32") / 255
    actual = reconstructed(StubTokenizer(), floats, *options)
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, floats, atol=1e-6)


@pytest.mark.parametrize("overlaps", [(0, 0), (1, 2), (2, 4), (3, 7)])
def test_constant_reconstructions_stay_constant(overlaps):
    tokenizer = StubTokenizer(lambda clips: 0.0 * clips + 0.3)
    video = random_video(11, 13, 21) / 255
    actual = reconstructed(tokenizer, video, *overlaps)
    np.testing.assert_allclose(actual, 0.3, atol=1e-6)


def test_consecutive_windows_are_blended():
    levels = iter([0.0, 1.0])  # of the reconstructions of two windows
    tokenizer = StubTokenizer(lambda clips: 0.0 * clips + next(levels))
    actual = reconstructed(tokenizer, random_video(6, 8, 8) / 255, 2)
    expected = [0, 0, np.sin(np.pi / 8) ** 2, np.cos(np.pi / 8) ** 2, 1, 1]
    np.testing.assert_allclose(actual.mean((1, 2, 3)), expected, atol=1e-6)


def test_adjacent_tiles_are_blended():
    levels = iter([0.0, 1.0])
    tokenizer = StubTokenizer(lambda clips: 0.0 * clips + next(levels))
    video = random_video(4, 8, 14) / 255
    actual = reconstructed(tokenizer, video, 0, 2, batch_size=1)
    columns = actual.mean((0, 1, 3))
    np.testing.assert_allclose(columns[:6], 0, atol=1e-6)
    np.testing.assert_allclose(columns[8:], 1, atol=1e-6)
    np.testing.assert_allclose(columns[6] + columns[7], 1, atol=1e-6)
    assert 0.1 < columns[6] < 0.2


def test_only_frames_of_two_windows_are_held():
    references, returned = [], 0

    def frames():
        for i in range(40):
            frame = random_video(8, 10)
            references.append(weakref.ref(frame))
            yield frame
            del frame
            assert i - returned <= 4
            assert sum(held() is not None for held in references) <= 8

    for _ in reconstruct_video(StubTokenizer(), frames(), 1):
        returned += 1
    assert returned == 40


@pytest.mark.parametrize("batch_size, expected", [(1, 1), (4, 3), (6, 6)])
def test_batches_have_one_size(batch_size, expected):
    tokenizer = StubTokenizer()
    video = random_video(9, 12, 20)  # Three windows of 2 x 3 tiles.
    reconstructed(tokenizer, video, 1, 1, batch_size)
    assert tokenizer.batch_sizes == [expected] * (3 * 6 // expected)


def test_incomplete_batches_are_padded():
    tokenizer = StubTokenizer()
    video = random_video(4, 8, 40)
    actual = reconstructed(tokenizer, video, 0, 0, batch_size=3)  # 5 tiles
    assert tokenizer.batch_sizes == [3, 3]
    np.testing.assert_array_equal(actual, video)


def test_video_of_the_trained_size_is_one_clip():
    tokenizer = tiny_tokenizer()
    video = random_video(4, 16, 16).astype("float32") / 255
    token_ids = tokenizer.encode(video[None])
    expected = keras.ops.convert_to_numpy(tokenizer.decode(token_ids))[0]
    actual = reconstructed(tokenizer, video)
    np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_number_of_tokens_of_an_elastic_tokenizer():
    tokenizer = tiny_tokenizer(token_dropout={})
    kernel = tokenizer.decoder.pixels.kernel  # initialized to zero
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    video = random_video(4, 16, 16).astype("float32") / 255
    token_ids = tokenizer.encode(video[None], num_tokens=2)
    expected = keras.ops.convert_to_numpy(tokenizer.decode(token_ids))[0]
    actual = reconstructed(tokenizer, video, num_tokens=2)
    np.testing.assert_allclose(actual, expected, atol=1e-6)
    complete = reconstructed(tokenizer, video)
    assert not np.allclose(actual, complete, atol=1e-3)


@pytest.mark.parametrize(
    "frames, message",
    [
        ([], "at least one frame"),
        (np.zeros((2, 8, 8, 1), "float32"), r"width, 3\).*\(8, 8, 1\)"),
        (np.zeros((2, 8, 8, 3), "int32"), "dtype=int32 for frame 0"),
        (
            [np.zeros((8, 8, 3)), np.zeros((8, 9, 3))],
            r"shape=\(8, 9, 3\), dtype=float64 for frame 1",
        ),
        (
            [np.zeros((8, 8, 3)), np.zeros((8, 8, 3), "uint8")],
            "dtype=uint8 for frame 1",
        ),
        (5, "iterable of frames.*frames=5"),
    ],
)
def test_invalid_frames(frames, message):
    with pytest.raises(ValueError, match=message):
        list(reconstruct_video(StubTokenizer(), frames))


def test_frames_beyond_the_unit_range_are_refused():
    with pytest.raises(ValueError, match="Divide video in 0..255 by 255"):
        reconstructed(tiny_tokenizer(), np.full((4, 16, 16, 3), 255.0))


def test_overlaps_must_be_smaller_than_a_clip():
    for name, maximum in (("temporal_overlap", 3), ("spatial_overlap", 7)):
        with pytest.raises(ValueError, match=f"`{name}` .* 0 to {maximum}"):
            reconstruct_video(StubTokenizer(), [], **{name: maximum + 1})
