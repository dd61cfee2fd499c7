"""Training with `fit`, saving and resuming."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops
from tiny_models import clips, tiny_generator, tiny_tokenizer


def numpy(x):
    return ops.convert_to_numpy(x)


def test_tokenizer_loss_decreases_in_fit():
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
    reason="Only PyTorch records gradients during the forward pass.",
)
def test_metrics_record_no_gradients(monkeypatch):
    model, recorded = tiny_tokenizer(), []
    model.compile()
    update_metrics = model.update_metrics

    def watch(outputs):
        recorded.append(outputs)
        update_metrics(outputs)

    monkeypatch.setattr(model, "update_metrics", watch)
    model.fit(clips(), batch_size=4, verbose=0)
    (outputs,) = recorded
    tensors = [*outputs.terms.values(), outputs.loss, outputs.latents]
    tensors += [outputs.input_mean, outputs.reconstruction]
    assert not any(tensor.requires_grad for tensor in tensors)


def test_prior_learning_rate_follows_the_optimizer():
    model = tiny_tokenizer()
    model.compile(keras.optimizers.SGD(0.5), 4.0)
    model.optimizer.learning_rate = 0.25
    model.fit(clips(), batch_size=4, verbose=0)
    rate = numpy(model.optimizer.prior_optimizer.learning_rate)
    np.testing.assert_allclose(rate, 1.0)


def test_resuming_from_a_keras_file_continues_exactly(tmp_path):
    video = clips()
    options = {"batch_size": 2, "verbose": 0, "shuffle": False}
    original = tiny_tokenizer(
        latent_norm="batch",
        quantizer={"ema_decay": 0.9, "reset_unused_after": 3},
    )
    original.compile(keras.optimizers.Adam(1e-2), 2.0, total_steps=8)
    original.fit(video, epochs=2, **options)
    original.save(tmp_path / "model.keras")
    expected = original.fit(video, epochs=4, initial_epoch=2, **options).history
    resumed = keras.saving.load_model(tmp_path / "model.keras")
    received = resumed.fit(video, epochs=4, initial_epoch=2, **options).history
    np.testing.assert_allclose(received["loss"], expected["loss"], rtol=1e-5)


def test_initialized_codebook_is_close_to_the_latents():
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


def test_weight_decay_applies_to_linear_kernels_only():
    model = tiny_generator()
    model.compile(keras.optimizers.AdamW(1e-2, weight_decay=0.1))
    decayed = [
        v.name
        for v in model.trainable_variables
        if model.optimizer._use_weight_decay(v)
    ]
    assert set(decayed) == {"kernel"}


def test_same_seed_generates_the_same_tokens_in_any_batch():
    model = tiny_generator()
    model.head.kernel.assign(keras.random.normal((16, 32), seed=1) * 0.2)
    full = numpy(model.generate([0, 1, 2], seed=5, guidance_scale=1.5))
    again = numpy(model.generate([0, 1, 2], seed=5, guidance_scale=1.5))
    part = numpy(model.generate([0], seed=5, guidance_scale=1.5))
    other = numpy(model.generate([0, 1, 2], seed=6, guidance_scale=1.5))
    np.testing.assert_array_equal(full, again)
    np.testing.assert_array_equal(full[:1], part)
    assert (full != other).any()


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
def test_tokenizers_with_each_latent_norm_train(norm):
    model = tiny_tokenizer(latent_norm=norm, prior=None)
    model.compile(keras.optimizers.Adam(1e-3))
    model.fit(clips(), batch_size=2, verbose=0)
    assert model.encode(clips()).shape == (4, 6)


class Stop(keras.callbacks.Callback):
    """Interrupts a run in the middle of an epoch, like a crash."""

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


def test_fit_before_compile_raises_the_error_of_keras():
    with pytest.raises(ValueError, match=r"call `compile\(\)` before"):
        tiny_tokenizer().fit(clips(), verbose=0)
    with pytest.raises(ValueError, match=r"call `compile\(\)` before"):
        tiny_generator().fit(clips(), np.zeros(4), tokenizer=tiny_tokenizer())


@pytest.mark.parametrize("kind", ["tokenizer", "generator"])
def test_fit_accepts_the_positional_arguments_of_keras(kind):
    model = {"tokenizer": tiny_tokenizer, "generator": tiny_generator}[kind]()
    model.compile()
    x, y, options = clips(8), None, {}
    if kind == "generator":
        y, options = np.zeros(8, "int32"), {"tokenizer": tiny_tokenizer()}
    epochs = []
    callback = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: epochs.append(epoch)
    )
    # x, y, batch_size, epochs, verbose, callbacks, validation_split,
    # validation_data, shuffle, class_weight, sample_weight, initial_epoch
    model.fit(
        x, y, 2, 3, 0, [callback], 0.25, None, False, None, None, 1, **options
    )
    assert epochs == [1, 2]
    # Two epochs of three batches.
    assert numpy(model.training_state.step) == 6
    if kind == "tokenizer":
        assert numpy(model.training_state.total_steps) == 6


def labeled_batches(labels):
    for label in labels:
        yield {
            "token_ids": np.zeros((2, 6), "int32"),
            "class_ids": np.full(2, label, "int32"),
        }


class LabeledBatches(keras.utils.PyDataset):
    def __init__(self, labels):
        super().__init__()
        self.batches = list(labeled_batches(labels))

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return (self.batches[index],)


@pytest.mark.parametrize(
    "data",
    [
        next(labeled_batches([-1])),
        LabeledBatches([-1, 0]),
        (clips(2), np.array([0, -1])),
    ],
    ids=["tokens", "dataset", "video"],
)
def test_unlabeled_clips_without_class_dropout_are_an_error(data):
    def fit(class_dropout, data, **options):
        generator = tiny_generator(class_dropout=class_dropout)
        generator.compile()
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        if y is not None:
            options["tokenizer"] = tiny_tokenizer()
        generator.fit(x, y, verbose=0, **options)
        return numpy(generator.training_state.step)

    assert fit(0.1, data) >= 1
    with pytest.raises(ValueError, match="class_dropout=0"):
        fit(0.0, data)
    labeled = next(labeled_batches([1]))
    assert fit(0.0, labeled) == 1
    if not isinstance(data, tuple):
        with pytest.raises(ValueError, match="class_dropout=0"):
            fit(0.0, labeled, validation_data=data)


@pytest.mark.skipif(
    keras.backend.backend() == "torch",
    reason="Keras has no `steps_per_execution` on PyTorch.",
)
def test_non_finite_steps_stop_a_run_with_steps_per_execution():
    model = tiny_tokenizer(prior=None)
    model.compile(max_skipped_steps=4, steps_per_execution=3)
    # `fit` checks the first batch of a data set.
    broken = np.full((1, *clips().shape[1:]), np.nan, "float32")
    batches = itertools.chain([clips(1)], itertools.repeat(broken))
    with pytest.raises(
        FloatingPointError, match="non-finite value: input_mean"
    ):
        model.fit(((x,) for x in batches), steps_per_epoch=32, verbose=0)
    # Checked at step 6, the first multiple of 3 with 4 skipped steps.
    assert numpy(model.training_state.skipped) == 5
