"""Clips of other sizes than the tokenizer was created with."""

import itertools

import keras
import numpy as np
import pytest
from golden_case import assert_close, golden_video, load_case
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from tiny_models import clips, tiny_tokenizer

from keras_larp import data, layers
from keras_larp.layers.position_table import GridPositions


@pytest.fixture(scope="module")
def tokenizer():
    model = tiny_tokenizer(seed=0)
    # The kernel is initialized to zero, which decodes to gray clips.
    kernel = model.decoder.pixels.kernel
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    return model


def video(frames, height, width, batch=2):
    generator = np.random.default_rng(0)
    return generator.random((batch, frames, height, width, 3), "float32")


def to_numpy(x):
    return ops.convert_to_numpy(x)


def test_fewer_frames_match_the_reference(golden_dir, tmp_path):
    model, case = load_case(golden_dir, "tokenizer_frame_patches", tmp_path)
    expected = np.load(golden_dir / "tokenizer_fewer_frames/arrays.npz")
    frames = int(expected["num_frames"])
    clip = golden_video(case["video_shape"])[:, :frames]
    token_ids = model.encode(clip)
    np.testing.assert_array_equal(to_numpy(token_ids), expected["token_ids"])
    assert_close(model(clip), expected["reconstruction"])
    decoded = model.decode(token_ids, video_size=clip.shape[1:4])
    assert_close(decoded, np.clip(expected["reconstruction"], 0, 1))


@settings(deadline=None, max_examples=12)
@given(
    size=st.tuples(
        st.sampled_from([1, 2, 4, 6]),
        st.sampled_from([8, 16, 24]),
        st.sampled_from([8, 16, 24]),
    )
)
def test_clips_of_any_allowed_size(tokenizer, size):
    clip = video(*size)
    token_ids = tokenizer.encode(clip)
    assert tuple(token_ids.shape) == (2, 6)
    decoded = to_numpy(tokenizer.decode(token_ids, video_size=size))
    assert decoded.shape == clip.shape
    called = to_numpy(tokenizer(ops.convert_to_tensor(clip)))
    np.testing.assert_allclose(decoded, np.clip(called, 0, 1), atol=1e-5)


def test_own_size_is_the_default(tokenizer):
    token_ids = tokenizer.encode(clips())
    np.testing.assert_array_equal(
        to_numpy(tokenizer.decode(token_ids, video_size=(4, 16, 16))),
        to_numpy(tokenizer.decode(token_ids)),
    )


def test_image_is_encoded_as_a_repeated_frame(tokenizer):
    image = video(1, 16, 16)
    token_ids = tokenizer.encode(image)
    repeated = tokenizer.encode(np.repeat(image, 2, axis=1))
    np.testing.assert_array_equal(to_numpy(token_ids), to_numpy(repeated))
    np.testing.assert_array_equal(
        to_numpy(tokenizer.decode(token_ids, video_size=(1, 16, 16))),
        to_numpy(tokenizer.decode(token_ids, video_size=(2, 16, 16)))[:, :1],
    )


@pytest.mark.parametrize(
    "size", [(3, 16, 16), (4, 12, 16), (4, 16, 20), (4, 4, 4)]
)
def test_size_that_is_no_multiple_of_the_patch(tokenizer, size):
    with pytest.raises(ValueError, match="other multiples of 2, 8, 8 frames"):
        tokenizer.encode(video(*size))
    token_ids = np.zeros((1, 6), "int32")
    with pytest.raises(ValueError, match=r"multiple of \(2, 8, 8\)"):
        tokenizer.decode(token_ids, video_size=size)


@pytest.mark.parametrize(
    "size", [16, (16, 16), (4.0, 16, 16), (0, 16, 16), "large", [[4], 16, 16]]
)
def test_invalid_video_size(tokenizer, size):
    with pytest.raises(ValueError, match="video_size"):
        tokenizer.decode(np.zeros((1, 6), "int32"), video_size=size)


def test_both_patch_sizes_divide_a_clip():
    model = tiny_tokenizer(decoder_patch_size=(4, 4, 8))
    assert model.size_multiple == (4, 8, 8)
    with pytest.raises(ValueError, match="other multiples of 4, 8, 8"):
        model.encode(video(2, 16, 16))
    assert model.decode(model.encode(video(1, 8, 8)), (1, 8, 8)).shape == (
        *(2, 1, 8, 8, 3),
    )


def test_prefix_of_an_elastic_tokenizer_decodes_to_any_size():
    model = tiny_tokenizer(token_dropout={"rate": 0.5})
    clip = video(2, 8, 24)
    prefix = model.encode(clip, num_tokens=2)
    assert model.decode(prefix, video_size=(2, 8, 24)).shape == clip.shape
    rows = model.encode(clip, target_psnr=5.0)
    assert model.decode(rows, video_size=(2, 8, 24)).shape == clip.shape


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_other_sizes_in_half_precision(dtype):
    model = tiny_tokenizer(
        dtype=dtype, learned_patch_positions=True, learned_patch_queries=True
    )
    clip = video(6, 24, 8)
    decoded = model.decode(model.encode(clip), video_size=(6, 24, 8))
    assert decoded.shape == clip.shape
    assert np.isfinite(to_numpy(decoded)).all()


def test_training_on_several_sizes():
    model = tiny_tokenizer(seed=0)
    model.compile("adam", total_steps=10)
    losses = []
    for size in [(4, 16, 16), (2, 16, 24), (1, 16, 16), (4, 16, 16)]:
        logs = model.train_on_batch(video(*size), return_dict=True)
        losses.append(logs["loss"])
    assert np.isfinite(losses).all()


SIZES = [(4, 16), (2, 24), (6, 16), (1, 24)]


@pytest.mark.parametrize("with_labels", [True, False])
def test_fit_compiles_one_step_per_size(with_labels):
    model = tiny_tokenizer(seed=0, prior=None)
    model.compile("adam")
    traced, compute_codes = [], model.compute_codes

    def record(video, *args, **kwargs):
        traced.append(tuple(video.shape[1:3]))
        return compute_codes(video, *args, **kwargs)

    model.compute_codes = record
    source = data.MovingShapes(6, num_frames=6, image_size=24)
    dataset = data.video_dataset(
        source, batch_size=2, clip_sizes=SIZES, with_labels=with_labels
    )
    history = model.fit(
        dataset, validation_data=dataset, epochs=8, verbose=0
    ).history
    assert np.isfinite(history["loss"]).all()
    assert np.isfinite(history["val_loss"]).all()
    assert set(traced) == set(SIZES)
    if keras.backend.backend() != "torch":  # PyTorch compiles no steps.
        # `evaluate` starts from the first batch each time.
        validation = itertools.islice(dataset, dataset.steps_per_epoch)
        evaluated = {
            (batch[0] if with_labels else batch).shape for batch in validation
        }
        assert len(traced) == len(SIZES) + len(evaluated)


# Positions.


def test_fixed_positions_of_fewer_frames_are_those_of_the_first():
    positions = GridPositions((4, 3, 2), 8)
    table = to_numpy(positions.values())
    fewer = to_numpy(positions.values((2, 3, 2)))
    np.testing.assert_array_equal(fewer, table[:, : 2 * 3 * 2])


def test_fixed_positions_of_more_frames_continue():
    more = to_numpy(GridPositions((2, 3, 2), 8).values((4, 3, 2)))
    np.testing.assert_allclose(
        more, to_numpy(GridPositions((4, 3, 2), 8).values()), atol=1e-6
    )


def test_fixed_rows_and_columns_are_scaled():
    # Two points at the centers of the halves of four: positions 0.5 and 2.5.
    table = layers.sincos_3d((1, 2, 1), 8, base_grid=(1, 4, 1))
    time = layers.sincos_1d(1, 8)
    rows = layers.sincos_1d(np.array([0.5, 2.5]), 4)
    np.testing.assert_allclose((table - time)[:, 4:], rows, atol=1e-6)


def test_learned_positions_are_interpolated():
    positions = GridPositions((2, 2, 1), 4, learned=True)
    time = np.array([[1, 1, 1, 1], [5, 5, 5, 5]], "float32")
    rows = np.array([[0, 10, 20, 30], [100, 110, 120, 130]], "float32")
    positions.tables[0].assign(time)
    positions.tables[1].assign(rows)
    positions.tables[2].assign(np.zeros((1, 4), "float32"))
    table = to_numpy(positions.values((1, 4, 1)))[0]
    # Rows at 0 (clipped), 0.25, 0.75 and 1 (clipped); the first time index.
    weights = np.array([0, 0.25, 0.75, 1])[:, None]
    expected = 1 + rows[0] + weights * (rows[1] - rows[0])
    np.testing.assert_allclose(table, expected, rtol=1e-6)
    longer = to_numpy(positions.values((4, 2, 1)))[0]
    expected = 1 + 4 * np.repeat([0, 0.25, 0.75, 1], 2)
    np.testing.assert_allclose(longer[:, 0], expected + [0, 100] * 4)


def test_table_of_a_grid_is_created_once():
    positions = GridPositions((2, 2, 2), 8)
    first = positions.values((2, 3, 4))
    assert set(positions._fixed) == {(2, 2, 2), (2, 3, 4)}
    table = positions._fixed[2, 3, 4]
    np.testing.assert_array_equal(
        to_numpy(positions.values((2, 3, 4))), to_numpy(first)
    )
    assert positions._fixed[2, 3, 4] is table
