"""Sampling: batches, guidance, key-value cache, compilation, options."""

import keras
import numpy as np
import pytest
from accelerator_tensor import AcceleratorTensor
from keras import ops
from tiny_models import (
    clips,
    random_generator,
    tiny_generator,
    tiny_tokenizer,
)

from keras_larp.backend import pack_kernel, packed_matmul
from keras_larp.models import ARVideoGenerator, token_sampler
from keras_larp.models.token_sampler import TokenSampler


def numpy(x):
    return ops.convert_to_numpy(x)


@pytest.mark.parametrize("interval", [-1, 3])
def test_growing_cache_matches_teacher_forcing(monkeypatch, interval):
    monkeypatch.setattr(token_sampler, "CACHE_GROWTH", 2)
    model, labels = random_generator(num_tokens=9), np.array([0, 2])
    scale, num_guided = 2.0, 9 if interval < 0 else interval + 2
    ids = model.generate(
        labels, guidance_scale=scale, guidance_interval=interval, temperature=0
    )
    conditional, unconditional = (
        numpy(model({"token_ids": ids, "class_ids": c}))
        for c in (labels, np.array([-1, -1]))
    )
    guided = unconditional + scale * (conditional - unconditional)
    logits = conditional.copy()
    logits[:, :num_guided] = guided[:, :num_guided]
    np.testing.assert_array_equal(numpy(ids), logits.argmax(-1))


@pytest.mark.parametrize("batch_size", [1, 3])
def test_samples_do_not_depend_on_batch_size_and_offset(batch_size):
    model, labels = random_generator(), [0, 1, 2, 0, 1]
    expected = numpy(model.generate(labels, seed=7))
    batches = list(
        model.generate(labels, seed=7, batch_size=batch_size, stream=True)
    )
    lengths = [len(batch) for batch in batches[:-1]]
    assert lengths == [batch_size] * (len(batches) - 1)
    np.testing.assert_array_equal(
        np.concatenate(list(map(numpy, batches))), expected
    )
    last = model.generate(
        labels[3:], seed=7, sample_offset=3, batch_size=batch_size
    )
    np.testing.assert_array_equal(numpy(last), expected[3:])


@pytest.mark.parametrize("interval", [-1, 2])
def test_guided_greedy_tokens_do_not_depend_on_batch_size(interval):
    model, labels = random_generator(), [0, 1, 2, 0, 1]
    options = {"temperature": 0, "guidance_scale": 2.0}
    options["guidance_interval"] = interval
    expected = numpy(model.generate(labels, **options))
    ids = model.generate(labels, batch_size=3, **options)
    np.testing.assert_array_equal(numpy(ids), expected)
    last = model.generate(labels[3:], sample_offset=3, batch_size=1, **options)
    np.testing.assert_array_equal(numpy(last), expected[3:])


def test_batch_is_doubled_within_guidance_interval_only(monkeypatch):
    loops, compile_function = [], token_sampler.compile_function

    def compile_recorded_function(model, function):
        compiled = compile_function(model, function)
        if function.__name__ != "advance":
            return compiled

        def recorded_function(tokens, current, caches, inputs, start, stop):
            loops.append((int(start), int(stop), caches[0][0].shape[0]))
            return compiled(tokens, current, caches, inputs, start, stop)

        return recorded_function

    monkeypatch.setattr(
        token_sampler, "compile_function", compile_recorded_function
    )
    model = tiny_generator(num_tokens=9, num_heads=1)
    model.generate([0, 2], guidance_scale=2.0, guidance_interval=3)
    # The first token is sampled before the loops.
    assert loops == [(1, 5, 4), (5, 9, 2)]
    loops.clear()
    model.generate([0, 2], guidance_scale=2.0)
    assert loops == [(1, 9, 4)]


def test_each_shape_is_compiled_once(monkeypatch):
    calls, sampling_step = [], TokenSampler._step

    def counted_step(self, *args):
        calls.append(args)
        return sampling_step(self, *args)

    # Called only while the compiler traces the function.
    monkeypatch.setattr(TokenSampler, "_step", counted_step)
    model = tiny_generator()
    model.generate([0, 1], seed=0, guidance_scale=1.5)
    count = len(calls)
    assert 0 < count < model.num_tokens
    # Neither a smaller last batch nor other values compile again.
    options = {"temperature": 0.5, "guidance_scale": 2.0}
    model.generate([2, 0, 1, 1, 2], seed=1, batch_size=2, **options)
    model.generate([1], known_tokens=np.zeros((1, 6), int), seed=1,
                   batch_size=2, **options)  # fmt: skip
    assert len(calls) == count
    model.generate([0, 1, 2], batch_size=3, guidance_scale=1.5)
    assert len(calls) > count


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_uses_half_precision_cache(monkeypatch, dtype):
    dtypes, decode = set(), TokenSampler._decode

    def recorded_decode(self, x, position, caches, *args):
        for tensor in (array for cache in caches for array in cache):
            dtypes.add(keras.backend.standardize_dtype(tensor.dtype))
        return decode(self, x, position, caches, *args)

    monkeypatch.setattr(TokenSampler, "_decode", recorded_decode)
    model, labels = random_generator(dtype=dtype), np.array([0, 2])
    ids = numpy(model.generate(labels, temperature=0))
    assert dtypes == {dtype.removeprefix("mixed_")}
    assert 0 <= ids.min() and ids.max() < model.vocab_size
    logits = numpy(model({"token_ids": ids, "class_ids": labels}))
    selected = np.take_along_axis(logits, ids[..., None], -1)[..., 0]
    # Rounding can flip near-ties.
    assert np.max(logits.max(-1) - selected) < 0.05 * logits.std()


def test_class_names(tmp_path):
    random_generator(class_names=["boxing", "pong", "tennis"]).save_to_preset(
        tmp_path / "preset"
    )
    model = ARVideoGenerator.from_preset(tmp_path / "preset")
    by_name = model.generate(["tennis", "boxing"], seed=0)
    by_id = model.generate([2, 0], seed=0)
    np.testing.assert_array_equal(numpy(by_name), numpy(by_id))
    with pytest.raises(ValueError, match="class 'ping'. Did you mean 'pong'"):
        model.generate(["ping"])
    with pytest.raises(ValueError, match="Its classes are boxing, pong, te"):
        model.generate(["xyz"])
    with pytest.raises(ValueError, match="'pong'. Its classes have no names"):
        tiny_generator().generate("pong")
    with pytest.raises(ValueError, match="2 names, num_classes=3"):
        tiny_generator(class_names=["boxing", "pong"])


def test_streaming_checks_arguments_immediately():
    for name, value in (("batch_size", 0), ("sample_offset", -1)):
        with pytest.raises(ValueError, match=f"Received: {name}={value}"):
            tiny_generator().generate([0], stream=True, **{name: value})


@pytest.mark.once
def test_different_seeds_draw_from_different_streams():
    seeds = [0, 1, 2**53, 2**53 + 1, 2**63, 2**63 + 1024, 2**64 - 1]
    model = tiny_generator()
    streams = {tuple(model._uniforms(s, np.arange(1))[0]) for s in seeds}
    assert len(streams) == len(seeds)


@pytest.mark.once
@pytest.mark.parametrize("seed", [1.0, 1.9, -1, 2**64, True, "1"])
def test_invalid_seeds_raise(seed):
    with pytest.raises(ValueError, match="`seed` must be an integer"):
        tiny_generator().generate([0], seed=seed)


def test_tiny_temperature_selects_the_most_likely_token():
    model = random_generator()
    expected = numpy(model.generate([0, 1], temperature=0))
    ids = model.generate([0, 1], temperature=1e-300, seed=0)
    np.testing.assert_array_equal(numpy(ids), expected)


def test_grouped_query_attention_matches_teacher_forcing():
    model = random_generator(num_heads=4, num_kv_heads=2)
    check_greedy_tokens_are_likeliest(model, np.array([1, 0]))


def test_compiled_sampler_uses_changed_weights():
    model = random_generator()
    before = numpy(model.generate([1, 0], temperature=0))
    for weight in model.trainable_variables:
        weight.assign(ops.flip(weight, axis=0))
    assert (check_greedy_tokens_are_likeliest(model, [1, 0]) != before).any()


def check_greedy_tokens_are_likeliest(model, labels):
    ids = model.generate(labels, temperature=0)
    logits = model({"token_ids": ids, "class_ids": np.array(labels)})
    np.testing.assert_array_equal(numpy(ids), numpy(logits).argmax(-1))
    return numpy(ids)


@pytest.mark.parametrize("units", [5, 6])
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_packed_matmul_matches_dense_layer(units, rows, dtype):
    layer = keras.layers.Dense(units, use_bias=False, dtype=dtype)
    layer.build((None, None, 4))
    x = np.random.default_rng(0).standard_normal((rows, 1, 4), "float32")
    x = ops.convert_to_tensor(x, dtype)
    received = packed_matmul(
        x, pack_kernel(ops.convert_to_tensor(layer.kernel))
    )
    assert keras.backend.standardize_dtype(received.dtype) == dtype
    tolerance = {"float32": 1e-4, "bfloat16": 1e-2}[dtype]
    np.testing.assert_allclose(
        *(numpy(ops.cast(y, "float32")) for y in (received, layer(x))),
        rtol=tolerance,
        atol=1e-2 * tolerance,
    )


def test_int8_quantization():
    model = random_generator()
    ids, labels = model.generate([0, 1], seed=0), np.array([0, 1])
    inputs = {"token_ids": ids, "class_ids": labels}
    exact = numpy(model(inputs))
    model.quantize("int8")
    error = numpy(model(inputs)) - exact
    assert 0 < np.std(error) < 0.1 * np.std(exact)
    ids = model.generate(labels, temperature=0)
    assert ids.shape == (2, model.num_tokens)


def test_known_tokens_are_kept_and_condition_later_tokens():
    model, labels = random_generator(), np.array([1, 0])
    unconstrained = numpy(model.generate(labels, temperature=0))
    known = np.full_like(unconstrained, -1)
    known[:, :2] = (unconstrained[:, :2] + 1) % model.vocab_size
    ids = numpy(model.generate(labels, temperature=0, known_tokens=known))
    logits = numpy(model({"token_ids": ids, "class_ids": labels}))
    np.testing.assert_array_equal(ids[:, :2], known[:, :2])
    np.testing.assert_array_equal(ids[:, 2:], logits.argmax(-1)[:, 2:])
    assert (ids[:, 2:] != unconstrained[:, 2:]).any()


@pytest.mark.parametrize("options", [{"num_tokens": 8}, {"vocab_size": 16}])
def test_mismatched_tokenizer_raises(options):
    model, tokenizer = tiny_generator(**options), tiny_tokenizer(prior=None)
    with pytest.raises(ValueError, match="Received.*6 tokens of 32 codes"):
        model.generate([0], tokenizer=tokenizer)


def test_known_classes():
    assert tiny_generator().known_classes == [0, 1, 2]
    assert tiny_generator(num_classes=1).known_classes == [-1]
    for options in ({"class_names": ["cat"]}, {"class_dropout": 0.0}):
        model = tiny_generator(num_classes=1, **options)
        assert model.known_classes == [0]


@pytest.mark.parametrize("token_id", [-2, 10**6])
def test_known_tokens_out_of_range_raise(token_id):
    model = tiny_generator()
    known = np.full((1, model.num_tokens), token_id)
    with pytest.raises(ValueError, match="known tokens"):
        model.generate([0], known_tokens=known)


def test_lists_of_clips_are_encoded():
    tokenizer = tiny_tokenizer(prior=None)
    expected = numpy(tokenizer.encode(clips(2)))
    tensors = [ops.convert_to_tensor(clip) for clip in clips(2)]
    for videos in (list(clips(2)), tensors):
        np.testing.assert_array_equal(numpy(tokenizer.encode(videos)), expected)


@pytest.mark.once
def test_ids_may_be_tensors_on_an_accelerator():
    model, known_tokens = random_generator(), np.full((2, 6), -1)
    expected = model.generate([1, 2], known_tokens=known_tokens, seed=0)
    for class_ids in (
        AcceleratorTensor([1, 2]),
        [AcceleratorTensor(1), AcceleratorTensor(2)],
    ):
        ids = model.generate(
            class_ids, known_tokens=AcceleratorTensor(known_tokens), seed=0
        )
        np.testing.assert_array_equal(numpy(ids), numpy(expected))


@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="tests PyTorch's autocast"
)
def test_autocast_changes_neither_tokens_nor_clips():
    import torch

    expected_model, model = random_generator(), random_generator()
    tokenizer = tiny_tokenizer(prior=None)
    expected = expected_model.generate([0, 1], seed=0, tokenizer=tokenizer)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        video = model.generate([0, 1], seed=0, tokenizer=tokenizer)
        token_ids = tokenizer.encode(clips())
    np.testing.assert_array_equal(numpy(video), numpy(expected))
    np.testing.assert_array_equal(
        numpy(token_ids), numpy(tokenizer.encode(clips()))
    )
