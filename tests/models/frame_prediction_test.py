"""Frame prediction, from video to video."""

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
    # A new generator hardly looks at its condition.
    random = np.random.default_rng(0)
    for weight in generator.trainable_variables:
        weight.assign(random.normal(size=weight.shape))
    return generator


def test_the_last_known_frame_is_repeated():
    video = clips()
    first = numpy(repeat_last_frame(ops.convert_to_tensor(video), 2))
    np.testing.assert_array_equal(first[:, :2], video[:, :2])
    np.testing.assert_array_equal(first[:, 2], video[:, 1])
    np.testing.assert_array_equal(first[:, 3], video[:, 1])


def lively_tokenizer():
    """One whose clips depend on its tokens."""
    tokenizer = tiny_tokenizer()
    tokenizer.decoder.pixels.kernel.assign(
        np.random.default_rng(1).normal(size=(16, 384))
    )
    return tokenizer


def test_predictions_depend_on_the_known_frames_alone():
    tokenizer, generator = lively_tokenizer(), frame_generator()
    video = clips(2)
    options = {"tokenizer": tokenizer, "seed": 0}
    expected = numpy(generator.predict_frames(video, **options))
    assert expected.shape == (2, 4, 16, 16, 3)
    assert 0 <= expected.min() < expected.max() <= 1
    # Shorter and other frames behind the known ones change nothing.
    received = numpy(generator.predict_frames(video[:, :2], **options))
    np.testing.assert_array_equal(received, expected)
    received = generator.predict_frames(video[:, :1], **options,
                                        num_condition_frames=1)  # fmt: skip
    assert not np.array_equal(numpy(received), expected)


def test_clips_are_encoded_once_and_in_parts(monkeypatch):
    tokenizer, generator = lively_tokenizer(), frame_generator()
    video, encoded = clips(3), []
    expected = generator.predict_frames(
        video.repeat(2, axis=0), tokenizer, seed=0
    )
    encode = tokenizer.encode
    monkeypatch.setattr(
        tokenizer, "encode", lambda x: encoded.append(len(x)) or encode(x)
    )
    received = generator.predict_frames(
        video, tokenizer, num_samples=2, batch_size=2, seed=0
    )
    assert encoded == [2, 2]  # The last is filled up.
    # Another token would change whole patches.
    np.testing.assert_allclose(numpy(received), numpy(expected), atol=1e-4)


def test_training_on_video_equals_training_on_its_tokens():
    tokenizer, video = tiny_tokenizer(), clips(4)
    ids = numpy(tokenizer.encode(video))
    first = video.copy()
    first[:, 2:] = video[:, 1:2]
    separator = np.full((4, 1), 32, "int32")
    condition = np.concatenate([numpy(tokenizer.encode(first)), separator], 1)
    tokens = {"token_ids": ids, "condition_ids": condition.astype("int32")}
    options = {"batch_size": 4, "epochs": 2, "shuffle": False, "verbose": 0}
    losses = []
    for data, through in ((tokens, None), (video, tokenizer)):
        keras.utils.set_random_seed(0)
        generator = frame_generator(seed=0)
        generator.compile(keras.optimizers.AdamW(1e-2))
        history = generator.fit(data, tokenizer=through, **options).history
        losses.append(history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_impossible_predictions_are_refused():
    tokenizer = tiny_tokenizer()
    with pytest.raises(ValueError, match="conditioning='frames'"):
        tiny_generator().predict_frames(clips(), tokenizer)
    for count in (0, 5):
        with pytest.raises(ValueError, match=f"frames={count} with 4 frames"):
            frame_generator().predict_frames(clips(), tokenizer, count)
    with pytest.raises(ValueError, match="Received: num_samples=0"):
        frame_generator().predict_frames(
            clips(), tokenizer, num_samples=0, batch_size=2
        )
    with pytest.raises(ValueError, match="Received.*6 tokens of 32 codes"):
        frame_generator(vocab_size=16).predict_frames(clips(), tokenizer)


@pytest.mark.parametrize("count", [0, 4])
def test_training_needs_frames_to_go_on_from_and_to_predict(count):
    generator = tiny_generator(
        conditioning="frames", num_condition_frames=count
    )
    generator.compile()
    with pytest.raises(ValueError, match=f"frames={count}.*num_frames=4"):
        generator.fit(clips(), tokenizer=tiny_tokenizer(), verbose=0)
