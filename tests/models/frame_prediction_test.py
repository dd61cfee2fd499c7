"""Frame prediction: continuing clips from their first frames."""

import keras
import numpy as np
import pytest
from keras import ops
from tiny_models import clips, tiny_generator, tiny_tokenizer

from keras_larp.layers.frame_condition import repeat_last_frame


def numpy(x):
    return ops.convert_to_numpy(x)


def frame_generator(**options):
    generator = tiny_generator(
        conditioning="frames",
        class_dropout=0.0,
        num_condition_frames=2,
        **options,
    )
    # A newly initialized generator hardly depends on its condition.
    random = np.random.default_rng(0)
    for weight in generator.trainable_variables:
        weight.assign(random.normal(size=weight.shape))
    return generator


def test_repeat_last_frame():
    video = clips()
    received = numpy(repeat_last_frame(ops.convert_to_tensor(video), 2))
    np.testing.assert_array_equal(received[:, :2], video[:, :2])
    np.testing.assert_array_equal(received[:, 2], video[:, 1])
    np.testing.assert_array_equal(received[:, 3], video[:, 1])


def random_tokenizer():
    """A tokenizer whose clips depend on their tokens."""
    tokenizer = tiny_tokenizer()
    tokenizer.decoder.pixels.kernel.assign(
        np.random.default_rng(1).normal(size=(16, 384))
    )
    return tokenizer


def test_predictions_depend_on_condition_frames_only():
    tokenizer, generator = random_tokenizer(), frame_generator()
    video = clips(2)
    options = {"tokenizer": tokenizer, "seed": 0}
    expected = numpy(generator.predict_frames(video, **options))
    assert expected.shape == (2, 4, 16, 16, 3)
    assert 0 <= expected.min() < expected.max() <= 1
    # Frames after the condition frames are ignored.
    received = numpy(generator.predict_frames(video[:, :2], **options))
    np.testing.assert_array_equal(received, expected)
    received = generator.predict_frames(video[:, :1], **options,
                                        num_condition_frames=1)  # fmt: skip
    assert not np.array_equal(numpy(received), expected)


def test_clips_are_encoded_once_and_in_batches(monkeypatch):
    tokenizer, generator = random_tokenizer(), frame_generator()
    video, batch_sizes = clips(3), []
    expected = generator.predict_frames(
        video.repeat(2, axis=0), tokenizer, seed=0
    )
    encode = tokenizer.encode
    monkeypatch.setattr(
        tokenizer, "encode", lambda x: batch_sizes.append(len(x)) or encode(x)
    )
    received = generator.predict_frames(
        video, tokenizer, num_samples=2, batch_size=2, seed=0
    )
    assert batch_sizes == [2, 2]  # The last batch is padded.
    # A different token would change all pixels of a patch.
    np.testing.assert_allclose(numpy(received), numpy(expected), atol=1e-4)


def test_training_on_video_matches_training_on_tokens():
    tokenizer, video = tiny_tokenizer(), clips(4)
    ids = numpy(tokenizer.encode(video))
    known = video.copy()
    known[:, 2:] = video[:, 1:2]
    separator = np.full((4, 1), 32, "int32")
    condition = np.concatenate([numpy(tokenizer.encode(known)), separator], 1)
    tokens = {"token_ids": ids, "condition_ids": condition.astype("int32")}
    options = {"batch_size": 4, "epochs": 2, "shuffle": False, "verbose": 0}
    losses = []
    for data, data_tokenizer in ((tokens, None), (video, tokenizer)):
        keras.utils.set_random_seed(0)
        generator = frame_generator(seed=0)
        generator.compile(keras.optimizers.AdamW(1e-2))
        history = generator.fit(
            data, tokenizer=data_tokenizer, **options
        ).history
        losses.append(history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_invalid_arguments_raise():
    tokenizer = tiny_tokenizer()
    with pytest.raises(ValueError, match="conditioning='frames'"):
        tiny_generator().predict_frames(clips(), tokenizer)
    for count, message in ((0, "integer >= 1"), (5, "frames=5 with 4 frames")):
        with pytest.raises(ValueError, match=message):
            frame_generator().predict_frames(clips(), tokenizer, count)
    with pytest.raises(ValueError, match="Received: num_samples=0"):
        frame_generator().predict_frames(
            clips(), tokenizer, num_samples=0, batch_size=2
        )
    with pytest.raises(ValueError, match="Received.*6 tokens of 32 codes"):
        frame_generator(vocab_size=16).predict_frames(clips(), tokenizer)


def test_number_of_condition_frames_out_of_range_raises_in_fit():
    generator = tiny_generator(conditioning="frames", num_condition_frames=4)
    generator.compile()
    with pytest.raises(ValueError, match="frames=4.*num_frames=4"):
        generator.fit(clips(), tokenizer=tiny_tokenizer(), verbose=0)
