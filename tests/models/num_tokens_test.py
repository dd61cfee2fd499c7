"""Generation of fewer tokens than a clip has."""

import keras
import numpy as np
import pytest
from keras import ops
from tiny_models import (
    clips,
    random_generator,
    tiny_generator,
    tiny_tokenizer,
)

from keras_larp.models import token_sampler
from keras_larp.models.token_sampler import TokenSampler


def numpy(x):
    return ops.convert_to_numpy(x)


def elastic_tokenizer(**kwargs):
    """An elastic tokenizer whose clips depend on their tokens."""
    tokenizer = tiny_tokenizer(
        token_dropout={"rate": 0.5}, prior=None, **kwargs
    )
    kernel = tokenizer.decoder.pixels.kernel
    kernel.assign(np.random.default_rng(1).normal(size=kernel.shape))
    return tokenizer


@pytest.fixture
def small_cache(monkeypatch):
    """Lets the cache grow at every other token."""
    monkeypatch.setattr(token_sampler, "CACHE_GROWTH", 2)


@pytest.fixture
def steps(monkeypatch):
    """Pairs of the first step and the end of each compiled loop."""
    loops, compile_function = [], token_sampler.compile_function

    def compile_recorded_function(model, function):
        compiled = compile_function(model, function)
        if function.__name__ != "advance":
            return compiled

        def recorded_function(*args):
            start, stop = args[-2:]
            loops.append((int(start), int(stop)))
            return compiled(*args)

        return recorded_function

    monkeypatch.setattr(
        token_sampler, "compile_function", compile_recorded_function
    )
    return loops


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"guidance_scale": 2.0},
        {"guidance_scale": 2.0, "guidance_interval": 2},
        {"temperature": 0},
        {"top_k": 3, "batch_size": 2, "sample_offset": 4},
    ],
    ids=str,
)
def test_fewer_tokens_are_the_first_ones(small_cache, options):
    model = random_generator(num_tokens=9)
    options = {"class_ids": [0, 2, 1], "seed": 3, **options}
    expected = numpy(model.generate(**options))
    for count in range(1, 10):
        ids = numpy(model.generate(num_tokens=count, **options))
        np.testing.assert_array_equal(ids, expected[:, :count])


def test_known_tokens_condition_fewer_tokens():
    model, known = random_generator(), np.full((2, 6), -1)
    known[:, [1, 5]] = 7
    options = {"known_tokens": known, "seed": 0}
    expected = numpy(model.generate([0, 1], **options))
    ids = numpy(model.generate([0, 1], num_tokens=4, **options))
    np.testing.assert_array_equal(ids, expected[:, :4])
    assert (ids[:, 1] == 7).all()


def test_no_more_steps_than_tokens_are_computed(small_cache, steps):
    model = random_generator(num_tokens=9)
    model.generate([0], seed=0, num_tokens=1)
    assert steps == []
    model.generate([0], seed=0, num_tokens=5)
    assert steps == [(1, 2), (2, 4), (4, 5)]


def test_other_numbers_of_tokens_do_not_compile_again(monkeypatch):
    calls, step = [], TokenSampler._step

    def counted_step(self, *args):
        calls.append(args)
        return step(self, *args)

    # Called only while the compiler traces the function.
    monkeypatch.setattr(TokenSampler, "_step", counted_step)
    model = tiny_generator()
    model.generate([0, 1], seed=0, num_tokens=4)
    count = len(calls)
    assert 0 < count < 4
    for num_tokens in (2, 5, 6):
        model.generate([0, 1], seed=0, num_tokens=num_tokens)
    list(model.generate([0, 1], seed=0, num_tokens=[3, 6], stream=True))
    assert len(calls) == count


def test_elastic_tokenizer_decodes_fewer_tokens():
    model, tokenizer = random_generator(), elastic_tokenizer()
    options = {"seed": 0, "num_tokens": 3}
    video = model.generate([0, 1], tokenizer=tokenizer, **options)
    expected = tokenizer.decode(model.generate([0, 1], **options))
    np.testing.assert_allclose(numpy(video), numpy(expected), atol=1e-5)
    assert np.std(numpy(video)) > 0.01


@pytest.mark.parametrize("guidance_interval", [-1, 1])
def test_stream_yields_each_batch_at_each_number_of_tokens(
    small_cache, steps, guidance_interval
):
    model, lengths = random_generator(num_tokens=9), [1, 3, 4, 9]
    options = {
        "class_ids": [0, 2, 1],
        "seed": 0,
        "batch_size": 2,
        "guidance_scale": 2.0,
        "guidance_interval": guidance_interval,
    }
    expected = numpy(model.generate(**options))
    steps.clear()
    batches = model.generate(num_tokens=lengths, stream=True, **options)
    for rows in (slice(0, 2), slice(2, 3)):
        for length in lengths:
            np.testing.assert_array_equal(
                numpy(next(batches)), expected[rows, :length]
            )
    assert next(batches, None) is None
    # Each step is computed once per batch.
    assert [step for loop in steps for step in range(*loop)] == 2 * [
        *range(1, 9)
    ]


def test_stream_of_clips_becomes_finer():
    model, tokenizer = random_generator(), elastic_tokenizer()
    full = numpy(model.generate([0, 1], seed=0))
    previews = model.generate(
        [0, 1], seed=0, tokenizer=tokenizer, num_tokens=[1, 3, 6], stream=True
    )
    for length, video in zip((1, 3, 6), previews, strict=True):
        expected = tokenizer.decode(full[:, :length])
        np.testing.assert_allclose(numpy(video), numpy(expected), atol=1e-5)


@pytest.mark.parametrize("num_tokens", [3, [3, 6]])
def test_fixed_tokenizer_is_refused_before_sampling(steps, num_tokens):
    options = {"num_tokens": num_tokens, "stream": isinstance(num_tokens, list)}
    with pytest.raises(ValueError, match="with_token_dropout.*num_tokens=3"):
        tiny_generator().generate(
            [0], tokenizer=tiny_tokenizer(prior=None), **options
        )
    assert steps == []


@pytest.mark.once
@pytest.mark.parametrize(
    ("num_tokens", "stream", "message"),
    [
        (0, False, "from 1 to 6. Received: num_tokens=0"),
        (7, False, "from 1 to 6. Received: num_tokens=7"),
        (2.0, False, "from 1 to 6. Received: num_tokens=2.0"),
        ("3", True, "from 1 to 6. Received: num_tokens='3'"),
        ([2, 7], True, "from 1 to 6. Received: num_tokens=7"),
        ([], True, r"increasing and not empty. Received: num_tokens=\[\]"),
        ([3, 2], True, "increasing"),
        ([2, 2], True, "increasing"),
        ([2, 3], False, "needs `stream=True`"),
    ],
)
def test_invalid_numbers_of_tokens_raise(num_tokens, stream, message):
    with pytest.raises(ValueError, match=message):
        tiny_generator().generate([0], num_tokens=num_tokens, stream=stream)


def frame_generator(**options):
    return random_generator(
        conditioning="frames",
        class_dropout=0.0,
        num_condition_frames=2,
        **options,
    )


def test_frames_are_predicted_from_fewer_tokens():
    model, tokenizer = frame_generator(), elastic_tokenizer()
    video = model.predict_frames(clips(2), tokenizer, seed=0, num_tokens=3)
    ids = model.generate(
        condition_ids=model.encode_first_frames(clips(2), tokenizer),
        seed=0,
        num_tokens=3,
    )
    expected = numpy(tokenizer.decode(ids))
    np.testing.assert_allclose(numpy(video), expected, atol=1e-5)


def test_generator_of_fewer_tokens_uses_an_elastic_tokenizer():
    tokenizer = elastic_tokenizer()
    model = random_generator(num_tokens=4)
    video = numpy(model.generate([0, 1], seed=0, tokenizer=tokenizer))
    expected = tokenizer.decode(model.generate([0, 1], seed=0))
    np.testing.assert_allclose(video, numpy(expected), atol=1e-5)
    with pytest.raises(ValueError, match="needs a tokenizer with 4 tokens"):
        model.generate([0], tokenizer=tiny_tokenizer(prior=None))
    with pytest.raises(ValueError, match="needs a tokenizer with 7 tokens"):
        tiny_generator(num_tokens=7).generate([0], tokenizer=tokenizer)


def test_frame_prediction_of_fewer_tokens_uses_an_elastic_tokenizer():
    tokenizer, model = elastic_tokenizer(), frame_generator(num_tokens=4)
    first = np.concatenate([clips(2)[:, :2], clips(2)[:, 1:2]], 1)
    first = np.concatenate([first, first[:, 1:2]], 1)
    ids = numpy(tokenizer.encode(first, num_tokens=4))
    received = model.encode_first_frames(clips(2), tokenizer)
    np.testing.assert_array_equal(received[:, :4], ids)
    np.testing.assert_array_equal(received[:, 4], 32)
    video = model.predict_frames(clips(2), tokenizer, seed=0)
    assert video.shape == (2, 4, 16, 16, 3)


@pytest.mark.parametrize("conditioning", ["class", "frames"])
def test_training_on_video_uses_the_first_tokens(conditioning):
    tokenizer, labels = elastic_tokenizer(), np.array([0, 1, 2, 0])
    options = {"num_tokens": 4, "conditioning": conditioning}
    options |= {"num_condition_frames": 2, "class_dropout": 0.0, "seed": 0}
    ids = numpy(tokenizer.encode(clips(4), num_tokens=4))
    tokens = {"token_ids": ids, "class_ids": labels}
    if conditioning == "frames":
        condition = tiny_generator(**options).encode_first_frames(
            clips(4), tokenizer
        )
        tokens = {"token_ids": ids, "condition_ids": condition}
    losses = []
    for data, arguments in (
        ((tokens,), {}),
        ((clips(4), labels), {"tokenizer": tokenizer}),
    ):
        keras.utils.set_random_seed(0)
        model = tiny_generator(**options)
        model.compile(keras.optimizers.AdamW(1e-2))
        history = model.fit(
            *data, batch_size=4, epochs=2, shuffle=False, verbose=0, **arguments
        )
        losses.append(history.history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
