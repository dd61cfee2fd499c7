"""Loss terms that a subclass adds to a tokenizer."""

import keras
import numpy as np
import pytest
from keras import ops
from tiny_models import clips, tiny_discriminator

from keras_larp import models
from keras_larp.training.schedules import LinearRamp


@keras.saving.register_keras_serializable(package="custom_loss_test")
class MotionTokenizer(models.LARPTokenizer):
    def loss_terms(self, video, reconstruction, codes, training=False):
        terms = super().loss_terms(video, reconstruction, codes, training)
        motion = video[:, 1:] - video[:, :-1]
        reconstructed = reconstruction[:, 1:] - reconstruction[:, :-1]
        terms["motion_loss"] = ops.mean(ops.abs(motion - reconstructed))
        return terms


def motion_tokenizer(cls=MotionTokenizer):
    return cls(
        num_frames=4,
        image_size=16,
        patch_size=(2, 8, 8),
        num_tokens=6,
        codebook_size=32,
        code_dim=4,
        hidden_dim=16,
        num_heads=2,
        encoder_num_layers=1,
        decoder_num_layers=1,
        prior=None,
        seed=0,
    )


def motion_loss(model):
    video = clips()
    reconstruction = ops.convert_to_numpy(model(video))
    return np.abs(np.diff(video - reconstruction, axis=1)).mean()


@pytest.mark.parametrize("adversarial", [False, True])
def test_custom_term_is_weighted_and_logged(adversarial):
    model = motion_tokenizer()
    model.compile(
        loss_weights={"motion_loss": 0.5},
        discriminator=tiny_discriminator() if adversarial else None,
    )
    expected = motion_loss(model)
    logs = model.evaluate(clips(), verbose=0, return_dict=True)
    np.testing.assert_allclose(logs["motion_loss"], expected, rtol=1e-4)
    history = model.fit(
        clips(), validation_data=clips(), epochs=2, verbose=0
    ).history
    for prefix in ("", "val_"):
        logs = {
            name.removeprefix(prefix): values[-1]
            for name, values in history.items()
            if name.startswith(prefix)
        }
        total = logs["pixel_loss"] + 0.1 * logs["quantizer_loss"]
        total += 0.5 * logs["motion_loss"]
        total += 0.3 * logs["adversarial_loss"] if adversarial else 0.0
        np.testing.assert_allclose(logs["loss"], total, rtol=1e-5)


def test_custom_term_is_trained():
    def loss_after_training(weight):
        keras.utils.set_random_seed(0)
        model = motion_tokenizer()
        model.compile(
            keras.optimizers.Adam(1e-2),
            pixel_loss_weight=0.0,
            quantizer_loss_weight=0.0,
            loss_weights={"motion_loss": weight},
        )
        before = motion_loss(model)
        model.fit(clips(), batch_size=4, epochs=20, verbose=0)
        return motion_loss(model) / before

    assert loss_after_training(1.0) < 0.97
    assert loss_after_training(0.0) > 0.999


def test_custom_term_survives_saving(tmp_path):
    model = motion_tokenizer()
    ramp = LinearRamp(0.0, 1.0, num_steps=2)
    model.compile(loss_weights={"motion_loss": ramp})
    model.fit(clips(), batch_size=4, verbose=0)
    expected = model.evaluate(clips(), verbose=0, return_dict=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    received = loaded.evaluate(clips(), verbose=0, return_dict=True)
    assert received == pytest.approx(expected, rel=1e-5)
    total = received["pixel_loss"] + 0.1 * received["quantizer_loss"]
    total += 0.5 * received["motion_loss"]  # Halfway up the ramp.
    assert received["loss"] == pytest.approx(total, rel=1e-5)


def test_non_finite_custom_term_is_named():
    class NanTokenizer(models.LARPTokenizer):
        def loss_terms(self, video, *args, **kwargs):
            terms = super().loss_terms(video, *args, **kwargs)
            return {**terms, "nan_loss": ops.mean(video) * float("nan")}

    model = motion_tokenizer(NanTokenizer)
    model.compile(loss_weights={"nan_loss": 1.0}, max_skipped_steps=2)
    with pytest.raises(FloatingPointError, match="value: nan_loss"):
        model.fit(clips(), batch_size=1, verbose=0)


def test_terms_and_weights_must_match():
    model = motion_tokenizer()
    model.compile()
    with pytest.raises(ValueError, match="without a weight: motion_loss"):
        model.fit(clips(), verbose=0)
    # On JAX, a model whose first step fails has lost its weights.
    model = motion_tokenizer()
    model.compile(loss_weights={"motion_loss": 1.0, "optical_flow": 1.0})
    with pytest.raises(ValueError, match="did not return: optical_flow"):
        model.fit(clips(), verbose=0)
    with pytest.raises(ValueError, match="pixel_loss_weight"):
        model.compile(loss_weights={"pixel_loss": 1.0})


def test_terms_must_be_scalars_or_per_clip():
    class VectorTokenizer(models.LARPTokenizer):
        def loss_terms(self, video, *args, **kwargs):
            terms = super().loss_terms(video, *args, **kwargs)
            return {**terms, "mean": ops.mean(video, axis=(2, 3, 4))}

    model = motion_tokenizer(VectorTokenizer)
    model.compile(loss_weights={"mean": 1.0})
    # TensorFlow traces the step with an unknown batch size.
    size = None if keras.backend.backend() == "tensorflow" else 4
    with pytest.raises(ValueError, match=rf"mean with shape \({size}, 4\)"):
        model.fit(clips(), verbose=0)
