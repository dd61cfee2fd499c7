"""How samples are made, whatever the batches, the cache and the weights."""

import keras
import numpy as np
import pytest
from keras import ops
from tiny_models import tiny_generator, tiny_tokenizer

from keras_larp.backend import pack_kernel, packed_matmul
from keras_larp.models import ARVideoGenerator, video_generation


def numpy(x):
    return ops.convert_to_numpy(x)


def lively_generator(**kwargs):
    """One whose logits depend on all that was drawn before."""
    keras.utils.set_random_seed(1)
    model = tiny_generator(num_layers=2, **kwargs)
    draw = np.random.default_rng(2)
    for weight in model.trainable_variables:
        weight.assign(0.3 * draw.standard_normal(weight.shape, "float32"))
    return model


@pytest.mark.parametrize("interval", [-1, 3])
def test_a_growing_cache_gives_what_teacher_forcing_gives(
    monkeypatch, interval
):
    monkeypatch.setattr(video_generation, "CACHE_GROWTH", 2)
    model, labels = lively_generator(num_tokens=9), np.array([0, 2])
    scale, guided = 2.0, 9 if interval < 0 else interval + 2
    ids = model.generate(
        labels, guidance_scale=scale, guidance_interval=interval, temperature=0
    )
    known, none = (
        numpy(model({"token_ids": ids, "class_ids": c}))
        for c in (labels, np.array([-1, -1]))
    )
    logits = known.copy()
    logits[:, :guided] = (none + scale * (known - none))[:, :guided]
    np.testing.assert_array_equal(numpy(ids), logits.argmax(-1))


@pytest.mark.parametrize("batch_size", [1, 3])
def test_batches_and_parts_give_the_samples_of_one_batch(batch_size):
    model, labels = lively_generator(), [0, 1, 2, 0, 1]
    whole = numpy(model.generate(labels, seed=7))
    parts = list(
        model.generate(labels, seed=7, batch_size=batch_size, stream=True)
    )
    assert [len(p) for p in parts[:-1]] == [batch_size] * (len(parts) - 1)
    np.testing.assert_array_equal(
        np.concatenate(list(map(numpy, parts))), whole
    )
    part = model.generate(
        labels[3:], seed=7, sample_offset=3, batch_size=batch_size
    )
    np.testing.assert_array_equal(numpy(part), whole[3:])


@pytest.mark.parametrize("interval", [-1, 2])
def test_guided_greedy_tokens_do_not_depend_on_batches_and_parts(interval):
    model, labels = lively_generator(), [0, 1, 2, 0, 1]
    options = {"temperature": 0, "guidance_scale": 2.0}
    options["guidance_interval"] = interval
    whole = numpy(model.generate(labels, **options))
    ids = model.generate(labels, batch_size=3, **options)
    np.testing.assert_array_equal(numpy(ids), whole)
    part = model.generate(labels[3:], sample_offset=3, batch_size=1, **options)
    np.testing.assert_array_equal(numpy(part), whole[3:])


def test_guidance_doubles_the_batch_up_to_its_interval_alone(monkeypatch):
    rows, compile_loop = [], video_generation.compile_loop

    def watched(body):
        loop = compile_loop(body)

        def watching(start, stop, state, inputs):
            rows.append((start, stop, len(state[-1][0][0])))
            return loop(start, stop, state, inputs)

        return watching

    monkeypatch.setattr(video_generation, "compile_loop", watched)
    model = tiny_generator(num_tokens=9, num_heads=1)
    model.generate([0, 2], guidance_scale=2.0, guidance_interval=3)
    # The first token is made before the loops, these up to step 4.
    assert rows == [(1, 5, 4), (5, 9, 2)]
    rows.clear()
    model.generate([0, 2], guidance_scale=2.0)
    assert rows == [(1, 9, 4)]


def test_a_shape_is_compiled_once(monkeypatch):
    calls, one_step = [], ARVideoGenerator._one_step

    def counted(self, *args):
        calls.append(args)
        return one_step(self, *args)

    # Runs while XLA traces it, or PyTorch records it, and never else.
    monkeypatch.setattr(ARVideoGenerator, "_one_step", counted)
    model = tiny_generator()
    model.generate([0, 1], seed=0, guidance_scale=1.5)
    count = len(calls)
    assert 0 < count < model.num_tokens
    # The last batch is short; values may differ.
    options = {"temperature": 0.5, "guidance_scale": 2.0}
    model.generate([2, 0, 1, 1, 2], seed=1, batch_size=2, **options)
    model.generate([1], known_tokens=np.zeros((1, 6), int), seed=1,
                   batch_size=2, **options)  # fmt: skip
    assert len(calls) == count
    model.generate([0, 1, 2], batch_size=3, guidance_scale=1.5)
    assert len(calls) > count


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_keeps_a_half_cache_and_takes_likely_tokens(
    monkeypatch, dtype
):
    found, decode = set(), ARVideoGenerator._decode

    def watched(self, x, position, caches, *args):
        for tensor in (array for cache in caches for array in cache):
            found.add(keras.backend.standardize_dtype(tensor.dtype))
        return decode(self, x, position, caches, *args)

    monkeypatch.setattr(ARVideoGenerator, "_decode", watched)
    model, labels = lively_generator(dtype=dtype), np.array([0, 2])
    ids = numpy(model.generate(labels, temperature=0))
    assert found == {dtype.removeprefix("mixed_")}
    assert 0 <= ids.min() and ids.max() < model.vocab_size
    logits = numpy(model({"token_ids": ids, "class_ids": labels}))
    chosen = np.take_along_axis(logits, ids[..., None], -1)[..., 0]
    # Rounding may take the other of two that are as likely.
    assert np.max(logits.max(-1) - chosen) < 0.05 * logits.std()


def test_classes_are_asked_for_by_name(tmp_path):
    lively_generator(class_names=["boxing", "pong", "tennis"]).save_to_preset(
        tmp_path / "preset"
    )
    model = ARVideoGenerator.from_preset(tmp_path / "preset")
    by_name = model.generate(["tennis", "boxing"], seed=0)
    by_id = model.generate([2, 0], seed=0)
    np.testing.assert_array_equal(numpy(by_name), numpy(by_id))
    with pytest.raises(ValueError, match="no class 'ping'. Did you mean pong"):
        model.generate(["ping"])
    with pytest.raises(ValueError, match="'pong'. It has no names of classes"):
        tiny_generator().generate("pong")
    with pytest.raises(ValueError, match="2 names, num_classes=3"):
        tiny_generator(class_names=["boxing", "pong"])


def test_wrong_batches_are_refused_at_once():
    for options in ({"batch_size": 0}, {"sample_offset": -1}):
        with pytest.raises(ValueError, match="Received: 1 samples"):
            tiny_generator().generate([0], stream=True, **options)


def test_heads_share_keys_and_values_in_the_cache():
    model = lively_generator(num_heads=4, num_kv_heads=2)
    check_greedy_tokens_are_likeliest(model, np.array([1, 0]))


def test_weights_that_changed_are_used_by_what_was_compiled():
    model = lively_generator()
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
def test_product_of_few_rows_is_the_dense_layer(units, rows, dtype):
    layer = keras.layers.Dense(units, use_bias=False, dtype=dtype)
    layer.build((None, None, 4))
    x = np.random.default_rng(0).standard_normal((rows, 1, 4), "float32")
    x = ops.convert_to_tensor(x, dtype)
    received = packed_matmul(
        x, pack_kernel(ops.convert_to_tensor(layer.kernel))
    )
    assert keras.backend.standardize_dtype(received.dtype) == dtype
    rounding = {"float32": 1e-4, "bfloat16": 1e-2}[dtype]
    np.testing.assert_allclose(
        *(numpy(ops.cast(y, "float32")) for y in (received, layer(x))),
        rtol=rounding,
        atol=1e-2 * rounding,
    )


def test_int8_weights_give_close_logits_and_sample():
    model = lively_generator()
    ids, labels = model.generate([0, 1], seed=0), np.array([0, 1])
    inputs = {"token_ids": ids, "class_ids": labels}
    exact = numpy(model(inputs))
    model.quantize("int8")
    error = numpy(model(inputs)) - exact
    assert 0 < np.std(error) < 0.1 * np.std(exact)
    ids = model.generate(labels, temperature=0)
    assert ids.shape == (2, model.num_tokens)


def test_given_tokens_are_kept_and_what_follows_goes_on_from_them():
    model, labels = lively_generator(), np.array([1, 0])
    free = numpy(model.generate(labels, temperature=0))
    given = np.full_like(free, -1)
    given[:, :2] = (free[:, :2] + 1) % model.vocab_size
    ids = numpy(model.generate(labels, temperature=0, known_tokens=given))
    logits = numpy(model({"token_ids": ids, "class_ids": labels}))
    np.testing.assert_array_equal(ids[:, :2], given[:, :2])
    np.testing.assert_array_equal(ids[:, 2:], logits.argmax(-1)[:, 2:])
    assert (ids[:, 2:] != free[:, 2:]).any()


@pytest.mark.parametrize("other", [{"num_tokens": 8}, {"vocab_size": 16}])
def test_a_tokenizer_of_other_tokens_is_refused(other):
    model, tokenizer = tiny_generator(**other), tiny_tokenizer(prior=None)
    with pytest.raises(ValueError, match="Received.*6 tokens of 32 codes"):
        model.generate([0], tokenizer=tokenizer)


def test_a_generator_without_classes_knows_no_class_alone():
    assert tiny_generator().known_classes == [0, 1, 2]
    assert tiny_generator(num_classes=1).known_classes == [-1]
    for options in ({"class_names": ["cat"]}, {"class_dropout": 0.0}):
        model = tiny_generator(num_classes=1, **options)
        assert model.known_classes == [0]


@pytest.mark.parametrize("wrong", [-2, 10**6])
def test_given_tokens_out_of_range_are_refused(wrong):
    model = tiny_generator()
    given = np.full((1, model.num_tokens), wrong)
    with pytest.raises(ValueError, match="given tokens"):
        model.generate([0], known_tokens=given)
