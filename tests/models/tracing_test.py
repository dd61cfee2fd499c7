"""Models inside other traced functions, and exported models."""

import keras
import numpy as np
import pytest
from keras import ops
from tiny_models import clips, tiny_generator, tiny_tokenizer

BACKEND = keras.backend.backend()
pytestmark = pytest.mark.skipif(
    BACKEND == "torch", reason="PyTorch runs functions eagerly"
)
IDS = np.array([[1, 5, 0, 31, 2, 2], [7, 3, 3, 9, 30, 4]], "int32")


def numpy(x):
    return ops.convert_to_numpy(x)


def trace(function):
    if BACKEND == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function)


def random_generator(**kwargs):
    model = tiny_generator(**kwargs)
    random = np.random.default_rng(0)
    model.head.kernel.assign(random.standard_normal(model.head.kernel.shape))
    return model


def test_decode_and_encode_in_a_trace():
    model = tiny_tokenizer(prior=None)
    for function, x in ((model.decode, IDS), (model.encode, clips())):
        x = ops.convert_to_tensor(x)
        traced = numpy(trace(function)(x))
        np.testing.assert_allclose(traced, numpy(function(x)), atol=1e-5)


def test_generate_in_a_trace():
    model, tokenizer = random_generator(), tiny_tokenizer(prior=None)

    def generate(class_ids, known_tokens):
        return model.generate(
            class_ids,
            guidance_scale=1.5,
            seed=0,
            batch_size=2,
            known_tokens=known_tokens,
            tokenizer=tokenizer,
        )

    known = np.full((3, 6), -1, "int32")
    known[:, 2] = 7
    inputs = ops.convert_to_tensor([2, -1, 0]), ops.convert_to_tensor(known)
    traced = numpy(trace(generate)(*inputs))
    np.testing.assert_allclose(traced, numpy(generate(*inputs)), atol=1e-5)


def test_fewer_tokens_in_a_trace():
    model = random_generator()
    generate = trace(lambda ids: model.generate(ids, seed=0, num_tokens=4))
    received = numpy(generate(ops.convert_to_tensor([2, 0])))
    expected = numpy(model.generate([2, 0], seed=0))
    np.testing.assert_array_equal(received, expected[:, :4])


def test_generate_from_condition_ids_in_a_trace():
    model = random_generator(conditioning="frames")
    ids = ops.convert_to_tensor(np.concatenate([IDS, [[32]] * 2], axis=1))

    def generate(condition_ids):
        return model.generate(condition_ids=condition_ids, seed=0)

    np.testing.assert_array_equal(
        numpy(trace(generate)(ids)), numpy(generate(ids))
    )


def test_shapes_are_checked_in_a_trace():
    decode = trace(tiny_tokenizer(prior=None).decode)
    with pytest.raises(ValueError, match="token ids of shape .*Received"):
        decode(ops.convert_to_tensor(IDS[:, :5]))


@pytest.mark.skipif(BACKEND != "tensorflow", reason="traces unknown shapes")
def test_generate_needs_a_fixed_number_of_samples():
    import tensorflow as tf

    signature = [tf.TensorSpec((None,), "int32")]
    generate = tf.function(tiny_generator().generate, signature)
    with pytest.raises(ValueError, match="fixed number of samples"):
        generate(tf.constant([1]))


def test_methods_are_exported(tmp_path):
    tf = pytest.importorskip("tensorflow")
    tokenizer, model = tiny_tokenizer(prior=None), random_generator()
    archive = keras.export.ExportArchive()
    archive.track(tokenizer)
    archive.track(model)
    spec = keras.InputSpec("int32", (None, 6))
    archive.add_endpoint("decode", tokenizer.decode, [spec])
    archive.add_endpoint(
        "generate",
        lambda class_ids: model.generate(class_ids, seed=0),
        [keras.InputSpec("int32", (2,))],
    )
    archive.write_out(tmp_path / "exported", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(
        loaded.decode(IDS), numpy(tokenizer.decode(IDS)), atol=1e-5
    )
    np.testing.assert_array_equal(
        loaded.generate(np.array([0, 2], "int32")),
        numpy(model.generate([0, 2], seed=0)),
    )
