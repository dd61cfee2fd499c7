"""Training by `fit`, saving and resuming, on each backend."""

import keras
import numpy as np
import pytest
from keras import ops
from tiny_models import clips, tiny_generator, tiny_tokenizer


def numpy(x):
    return ops.convert_to_numpy(x)


def test_tokenizer_loss_falls_in_fit():
    model = tiny_tokenizer()
    model.compile(keras.optimizers.Adam(1e-2), 2.0)
    history = model.fit(clips(), batch_size=2, epochs=6, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert history["pixel_loss"][-1] < history["pixel_loss"][0]
    names = {"psnr", "codebook_usage", "perplexity", "prior_top1", "prior_top5"}
    assert names <= set(history)


def test_pixel_loss_is_l1_or_l2():
    model, video = tiny_tokenizer(prior=None), clips()
    error = numpy(model(video)) - video
    for kind, expected in (
        ("l1", np.abs(error).mean()),
        ("l2", np.square(error).mean()),
    ):
        model.compile(pixel_loss=kind)
        result = model.evaluate(video, verbose=0, return_dict=True)
        np.testing.assert_allclose(result["pixel_loss"], expected, rtol=1e-5)
    with pytest.raises(ValueError, match="pixel_loss='huber'"):
        model.compile(pixel_loss="huber")


def test_evaluate_is_deterministic():
    model = tiny_tokenizer()
    model.compile()
    first = model.evaluate(clips(), verbose=0)
    np.testing.assert_array_equal(model.evaluate(clips(), verbose=0), first)


@pytest.mark.skipif(
    keras.backend.backend() != "torch",
    reason="PyTorch alone records gradients as it computes",
)
def test_metrics_are_outside_of_the_graph(monkeypatch):
    model, recorded = tiny_tokenizer(), []
    model.compile()
    update_metrics = model.update_metrics

    def look(outputs):
        recorded.extend(k for k, v in outputs.items() if v.requires_grad)
        update_metrics(outputs)

    monkeypatch.setattr(model, "update_metrics", look)
    model.fit(clips(), batch_size=4, verbose=0)
    assert recorded == []


def test_prior_follows_the_learning_rate():
    model = tiny_tokenizer()
    model.compile(keras.optimizers.SGD(0.5), 4.0)
    model.optimizer.learning_rate = 0.25
    model.fit(clips(), batch_size=4, verbose=0)
    rate = numpy(model.optimizer.prior_optimizer.learning_rate)
    np.testing.assert_allclose(rate, 1.0)


def test_resuming_from_a_keras_file_continues_exactly(tmp_path):
    video = clips()
    options = {"batch_size": 2, "verbose": 0, "shuffle": False}
    whole = tiny_tokenizer(
        latent_norm="batch",
        quantizer={"ema_decay": 0.9, "reset_unused_after": 3},
    )
    whole.compile(keras.optimizers.Adam(1e-2), 2.0, total_steps=8)
    whole.fit(video, epochs=2, **options)
    whole.save(tmp_path / "model.keras")
    expected = whole.fit(video, epochs=4, initial_epoch=2, **options).history
    resumed = keras.saving.load_model(tmp_path / "model.keras")
    received = resumed.fit(video, epochs=4, initial_epoch=2, **options).history
    np.testing.assert_allclose(received["loss"], expected["loss"], rtol=1e-5)


def test_codebook_is_initialized_where_the_latents_are():
    def distance(model):
        codes = model.compute_codes(ops.convert_to_tensor(clips()))
        return float(numpy(codes["commitment_loss"]))

    model = tiny_tokenizer(seed=0)
    before = distance(model)
    labels = np.zeros(2)
    model.initialize_codebook([(clips()[:2], labels), (clips()[2:], labels)])
    assert distance(model) < 0.2 * before
    with pytest.raises(ValueError, match="no clips"):
        model.initialize_codebook([])


def test_generator_trains_on_video_through_a_frozen_tokenizer():
    tokenizer, generator = tiny_tokenizer(), tiny_generator()
    before = [numpy(w) for w in tokenizer.weights]
    generator.compile(keras.optimizers.AdamW(1e-2))
    labels = np.array([0, 1, 2, 0])
    history = generator.fit(
        clips(), labels, epochs=5, tokenizer=tokenizer, verbose=0
    ).history
    assert history["loss"][-1] < history["loss"][0]
    for old, new in zip(before, tokenizer.weights, strict=True):
        np.testing.assert_array_equal(old, numpy(new))
    frozen = {id(w) for w in tokenizer.weights}
    assert not frozen & {id(w) for w in generator.weights}


def test_generator_is_evaluated_on_video_and_on_tokens():
    tokenizer, generator = tiny_tokenizer(), tiny_generator()
    generator.compile()
    labels = np.array([0, 1, 2, 0])
    video = clips(), labels
    history = generator.fit(
        *video, tokenizer=tokenizer, validation_data=video, epochs=2, verbose=0
    ).history
    tokens = {"token_ids": tokenizer.encode(clips()), "class_ids": labels}
    for data in (clips(), labels), (tokens,):
        found = generator.evaluate(*data, verbose=0, return_dict=True)
        np.testing.assert_allclose(
            found["loss"], history["val_loss"][-1], rtol=1e-5
        )


def test_weight_decay_acts_on_linear_kernels_only():
    model = tiny_generator()
    model.compile(keras.optimizers.AdamW(1e-2, weight_decay=0.1))
    decayed = [
        v.name
        for v in model.trainable_variables
        if model.optimizer._use_weight_decay(v)
    ]
    assert set(decayed) == {"kernel"}


def test_same_seed_gives_the_same_tokens_in_any_batch():
    model = tiny_generator()
    model.head.kernel.assign(keras.random.normal((16, 32), seed=1) * 0.2)
    whole = numpy(model.generate([0, 1, 2], seed=5, guidance_scale=1.5))
    again = numpy(model.generate([0, 1, 2], seed=5, guidance_scale=1.5))
    part = numpy(model.generate([0], seed=5, guidance_scale=1.5))
    other = numpy(model.generate([0, 1, 2], seed=6, guidance_scale=1.5))
    np.testing.assert_array_equal(whole, again)
    np.testing.assert_array_equal(whole[:1], part)
    assert (whole != other).any()


def test_generate_decodes_to_video():
    video = tiny_generator().generate(
        num_samples=2, seed=0, tokenizer=tiny_tokenizer()
    )
    assert video.shape == (2, 4, 16, 16, 3)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_quantizer_and_losses_in_float32(policy):
    model = tiny_tokenizer(dtype=policy)
    model.compile(keras.optimizers.Adam(1e-3))
    history = model.fit(clips(), batch_size=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    codes = model.compute_codes(ops.convert_to_tensor(clips()))
    assert "float32" in str(codes["quantized"].dtype)


@pytest.mark.parametrize(
    "norm", ["none", "layer", "layer_joint", "batch", "batch_joint"]
)
def test_latent_norms_train(norm):
    model = tiny_tokenizer(latent_norm=norm, prior=None)
    model.compile(keras.optimizers.Adam(1e-3))
    model.fit(clips(), batch_size=2, verbose=0)
    assert model.encode(clips()).shape == (4, 6)


class Stop(keras.callbacks.Callback):
    """Ends a run as a crash does, in the middle of an epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations >= 5:
            raise InterruptedError


def test_resuming_from_a_backup_continues_exactly(tmp_path):
    video = clips()
    options = {"batch_size": 2, "verbose": 0, "shuffle": False, "epochs": 4}

    def fit(*callbacks):
        model = tiny_tokenizer(seed=0)
        model.compile(keras.optimizers.Adam(1e-2), total_steps=8)
        return model.fit(video, callbacks=list(callbacks), **options).history

    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / "backup")

    keras.utils.set_random_seed(0)
    expected = fit(backup())
    keras.utils.set_random_seed(0)
    with pytest.raises(InterruptedError):
        fit(backup(), Stop())
    received = fit(backup())
    assert 1 <= len(received["loss"]) < 4
    count = len(received["loss"])
    np.testing.assert_allclose(
        received["loss"], expected["loss"][-count:], rtol=1e-5
    )
