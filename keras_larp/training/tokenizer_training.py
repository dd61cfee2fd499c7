import keras
from keras import ops

from keras_larp.backend import optimizer_sharding
from keras_larp.backend.processes import broadcast
from keras_larp.losses.adversarial import ADVERSARIAL_LOSSES
from keras_larp.training.codebook_init import codebook_from_clips
from keras_larp.training.tokenizer_losses import PIXEL_LOSSES, TokenizerLosses
from keras_larp.training.tokenizer_metrics import TokenizerMetrics
from keras_larp.training.tokenizer_optimizer import TokenizerOptimizer
from keras_larp.training.trainable_model import (
    METRICS_REMEDY,
    TrainableModel,
    check_compile_arguments,
    get_optimizer,
)
from keras_larp.utils.checks import (
    check_callable,
    check_choice,
    check_instance,
    check_integer,
    check_number,
)
from keras_larp.utils.input_checks import (
    check_unit_range,
    check_video,
)

REMEDIES = {
    "loss": (
        "Select the loss terms by `pixel_loss`, `perceptual_model` and "
        "`discriminator`, or override `loss_terms` in a subclass."
    ),
    "metrics": METRICS_REMEDY,
    "weighted_metrics": METRICS_REMEDY,
}


class TokenizerTraining(TokenizerMetrics, TokenizerLosses, TrainableModel):
    """Training of a `LARPTokenizer`: `compile`, `fit` and the codebook.

    The order of a train step is in `keras_larp.training.step`.
    """

    INVALID_CLIPS = (
        "They have values outside of [0, 1]. Divide video in 0..255 by 255; "
        "map video in [-1, 1] by `(video + 1) / 2`."
    )

    def compile(
        self,
        optimizer="adam",
        prior_learning_rate_multiplier=1.0,
        pixel_loss="l1",
        pixel_loss_weight=1.0,
        motion_loss_weight=0.0,
        perceptual_model=None,
        perceptual_loss_weight=1.0,
        quantizer_loss_weight=0.1,
        prior_loss_weight=0.06,
        discriminator=None,
        discriminator_optimizer="adam",
        discriminator_every=5,
        discriminator_start=0,
        adversarial_loss="non_saturating_smooth",
        adversarial_loss_weight=0.3,
        adversarial_start=0,
        lecam_weight=1e-6,
        gradient_penalty_weight=0.0,
        temperature_schedule=None,
        total_steps=None,
        max_skipped_steps=50,
        loss_weights=None,
        **kwargs,
    ):
        """Configures the model for training.

        Each loss weight is a float, or a
        `keras.optimizers.schedules.LearningRateSchedule` of the step, such as
        `keras_larp.training.schedules.LinearRamp`.

        Args:
            optimizer: A `keras.optimizers.Optimizer` or its name. Defaults to
                `"adam"`.
            prior_learning_rate_multiplier: Float. Ratio of the prior's
                learning rate to the tokenizer's (50 in the paper). Defaults
                to 1.0.
            pixel_loss: String. `"l1"`, the mean absolute error used in the
                paper, or `"l2"`, the mean squared error, which learns small
                objects on a plain background sooner. Defaults to `"l1"`.
            pixel_loss_weight: Weight of the pixel loss. Defaults to 1.0.
            motion_loss_weight: Float. How much more a moving pixel counts in
                the pixel loss: `1 + motion_loss_weight` times as much as a
                still one. The weights of each clip are divided by their mean,
                so that the scale of the loss remains. Pixels move as defined
                by `keras_larp.metrics.moving_pixels`. Defaults to 0.0, equal
                weights.
            perceptual_model: Optional frozen model or layer that maps clips
                and reconstructions, both `(B, T, H, W, C)`, to distances
                `(B,)`, such as `LPIPS`. It is not saved with the tokenizer.
            perceptual_loss_weight: Weight of the mean perceptual distance.
                Defaults to 1.0.
            quantizer_loss_weight: Weight of the quantizer's commitment and
                codebook loss. Defaults to 0.1.
            prior_loss_weight: Weight of the prior's cross-entropy. Defaults
                to 0.06.
            discriminator: Optional `VideoDiscriminator`, or any Keras model
                that maps clips to logits `(B, 1)`.
            discriminator_optimizer: A `keras.optimizers.Optimizer` or its
                name. Its learning-rate schedule counts the discriminator's
                updates; to use a schedule over the steps of the run, wrap it
                in `keras_larp.training.schedules.StridedSchedule`. Defaults
                to `"adam"`.
            discriminator_every: Integer. The discriminator is updated every
                `discriminator_every` steps. Defaults to 5.
            discriminator_start: Integer. First step at which the
                discriminator may be updated. Defaults to 0.
            adversarial_loss: String. `"non_saturating_smooth"`,
                `"non_saturating"` or `"hinge"`; see
                `keras_larp.losses.discriminator_loss`. Defaults to
                `"non_saturating_smooth"`.
            adversarial_loss_weight: Weight of the tokenizer's adversarial
                loss. Defaults to 0.3.
            adversarial_start: Integer. First step at which the adversarial
                loss counts. Defaults to 0.
            lecam_weight: Float. Weight of the LeCam regularization of the
                discriminator. Defaults to 1e-6.
            gradient_penalty_weight: Float. Weight of the R1 gradient penalty
                of the discriminator. It cannot be combined with gradient
                checkpointing of the discriminator, through which PyTorch and
                TensorFlow compute no second derivative. Defaults to 0.0.
            temperature_schedule: Optional schedule of the quantizer's
                sampling temperature over the steps.
            total_steps: Integer. Number of steps of the run, for the ramp of
                scheduled sampling. Defaults to the number of steps of the
                call of `fit`.
            max_skipped_steps: Integer. A step whose loss or gradients are not
                finite is skipped and counted; this number of consecutive
                skipped steps stops `fit` with an error. Defaults to 50.
            loss_weights: Optional dictionary of the weights of further loss
                terms, by the names under which a subclass returns them from
                `loss_terms`. A weight of 0 logs a term without training on
                it.
            **kwargs: `run_eagerly`, `steps_per_execution`, `jit_compile`,
                `auto_scale_loss` of `keras.Model.compile`. On PyTorch,
                `jit_compile=True` compiles blocks and losses.

        Raises:
            ValueError: if a loss is unknown, if `motion_loss_weight` is
                negative, if the discriminator expects clips of another shape
                or does not support the R1 penalty, or if `loss`, `metrics` or
                `weighted_metrics` is given.
        """
        arguments = {
            name: value
            for name, value in locals().items()
            if name not in ("self", "kwargs", "__class__")
        }
        check_compile_arguments(kwargs, REMEDIES)
        check_choice("pixel_loss", pixel_loss, PIXEL_LOSSES)
        check_choice("adversarial_loss", adversarial_loss, ADVERSARIAL_LOSSES)
        check_number("motion_loss_weight", motion_loss_weight)
        check_integer("discriminator_every", discriminator_every, 1)
        check_integer("discriminator_start", discriminator_start, 0)
        check_integer("adversarial_start", adversarial_start, 0)
        check_integer("max_skipped_steps", max_skipped_steps, 1)
        if total_steps is not None:
            check_integer("total_steps", total_steps, 1)
        check_number("lecam_weight", lecam_weight)
        check_number("gradient_penalty_weight", gradient_penalty_weight)
        check_number(
            "prior_learning_rate_multiplier", prior_learning_rate_multiplier
        )
        _check_discriminator(
            discriminator, self.video_shape, gradient_penalty_weight
        )
        if perceptual_model is not None:
            check_callable("perceptual_model", perceptual_model)
        if temperature_schedule is not None:
            check_callable("temperature_schedule", temperature_schedule)
        weights = {
            "pixel_loss": pixel_loss_weight,
            "perceptual_loss": perceptual_loss_weight,
            "quantizer_loss": quantizer_loss_weight,
            "prior_loss": prior_loss_weight,
            "adversarial_loss": adversarial_loss_weight,
        }
        loss_weights = dict(loss_weights or {})
        if set(loss_weights) & set(weights):
            raise ValueError(
                "`loss_weights` is for the terms that a subclass adds. Pass "
                "the weights of the built-in terms by their own arguments, "
                "such as `pixel_loss_weight`. Received: "
                f"loss_weights={loss_weights}"
            )
        for name, weight in weights.items():
            _check_weight(f"{name}_weight", weight)
        for name, weight in loss_weights.items():
            _check_weight(f"loss_weights[{name!r}]", weight)
        optimizer = get_optimizer("optimizer", optimizer)
        discriminator_optimizer = (
            None
            if discriminator is None
            else get_optimizer(
                "discriminator_optimizer", discriminator_optimizer
            )
        )
        arguments |= {
            "optimizer": optimizer,
            "discriminator_optimizer": discriminator_optimizer,
        }
        self._own_compile_config = {**_serialize(arguments), **kwargs}

        self.pixel_loss = pixel_loss
        self.motion_loss_weight = motion_loss_weight
        self.loss_weights = {**weights, **loss_weights}
        self.custom_terms = list(loss_weights)
        self.discriminator_every = discriminator_every
        self.discriminator_start = discriminator_start
        self.adversarial_loss = adversarial_loss
        self.adversarial_start = adversarial_start
        self.lecam_weight = lecam_weight
        self.gradient_penalty_weight = gradient_penalty_weight
        self.temperature_schedule = temperature_schedule
        self.given_total_steps = total_steps
        self.max_skipped_steps = max_skipped_steps
        self.freeze(perceptual_model)
        self.lacks_perceptual_model = False
        self._prepare_training(discriminator)
        super().compile(
            optimizer=self._make_optimizer(
                optimizer,
                prior_learning_rate_multiplier,
                discriminator_optimizer,
            ),
            **kwargs,
        )
        # Creates all state now, so that a checkpoint can be restored.
        self.optimizer.build(self.model_trainable_variables)

    def _prepare_training(self, discriminator):
        names = ["pixel_loss", "quantizer_loss"]
        names += ["commitment_loss", "codebook_loss"]
        if self.quantizer.entropy_weight:
            names += ["entropy_loss"]
        if self.frozen_model() is not None:
            names += ["perceptual_loss"]
        if self.prior is not None:
            names += ["prior_loss", "prior_top1", "prior_top5"]
        self.logged_terms = [*names, *self.custom_terms]

        metrics = self.make_metrics(discriminator)
        self.prepare_training(
            # In the order in which they are computed.
            [
                "input_mean",
                "quantizer_loss",
                "pixel_loss",
                "perceptual_loss",
                "prior_loss",
                *self.custom_terms,
                "adversarial_loss",
            ],
            metrics.pop("term_metrics"),
            discriminator=discriminator,
            **metrics,
        )

    def _make_optimizer(self, optimizer, multiplier, discriminator_optimizer):
        optimizer = TokenizerOptimizer(
            optimizer, multiplier, discriminator_optimizer
        )
        discriminator, prior = self.discriminator, self.prior
        is_float16 = self.dtype_policy.name == "mixed_float16"
        if discriminator is not None and is_float16:
            optimizer.discriminator_optimizer = (
                keras.optimizers.LossScaleOptimizer(discriminator_optimizer)
            )
        optimizer_sharding.shard(optimizer)
        optimizer.build_groups(
            self.model_trainable_variables,
            [] if prior is None else prior.trainable_variables,
            [] if discriminator is None else discriminator.trainable_variables,
        )
        return optimizer

    def get_compile_config(self):
        return self._own_compile_config if self.compiled else None

    def compile_from_config(self, config):
        config = {
            name: keras.saving.deserialize_keras_object(value)
            for name, value in config.items()
        }
        lacks_perceptual_model = config.pop("had_perceptual_model", False)
        self.compile(**config)
        self.lacks_perceptual_model = lacks_perceptual_model

    @property
    def discriminator_optimizer(self):
        optimizer = self.optimizer
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            optimizer = optimizer.inner_optimizer
        return optimizer.discriminator_optimizer

    def fit(self, *args, **kwargs):
        """Trains on clips `(B, T, H, W, C)` or pairs of clips and labels.

        The arguments are those of `keras.Model.fit`; labels are ignored,
        except by `class_weight`. Sample weights multiply the losses of the
        clips and their contribution to moving averages of the codebook. The
        ramp of scheduled sampling spans all steps of this call, unless
        `total_steps` was passed to `compile`.

        Returns:
            A `keras.callbacks.History`.

        Raises:
            FloatingPointError: if `max_skipped_steps` consecutive steps were
                not finite.
            ValueError: if the model was not compiled, if the length of the
                data is needed and unknown, or if clips have another shape,
                dtype or range. Data sets are checked by their first batch.
        """
        return super().fit(*args, **kwargs)

    def check_batch(self, x, y):
        if isinstance(x, tuple | list):
            x = x[0]
        if x is not None:
            check_video(x, self.video_shape, self.size_multiple)
            # Large arrays need not be read completely.
            check_unit_range(x[:32], "fit, evaluate or predict")

    def before_fit(self, x, y, validation_data, num_steps):
        if self.lacks_perceptual_model:
            raise ValueError(
                "This tokenizer was trained with a perceptual loss, whose "
                "model is not saved with it. Pass the model again: "
                "`tokenizer.compile(perceptual_model=...)`. To continue "
                "without it, set `tokenizer.lacks_perceptual_model = False`."
            )
        if self.prior is None:
            return
        total_steps = self.given_total_steps
        if total_steps is None:
            if num_steps is None:
                raise ValueError(
                    "The length of this data set is unknown, but scheduled "
                    "sampling depends on the number of training steps. Pass "
                    "`steps_per_epoch` to `fit` or `total_steps` to `compile`."
                )
            past_steps = int(ops.convert_to_numpy(self.optimizer.iterations))
            total_steps = past_steps + num_steps
        self.training_state.total_steps.assign(max(total_steps, 1))

    def initialize_codebook(self, clips, num_clips=256, seed=0):
        """Initializes the codebook with k-means centers of latents.

        Call it before `fit`. A run that resumes from a checkpoint restores
        the codebook of the checkpoint.

        Args:
            clips: float `(B, T, H, W, C)` in [0, 1], or an iterable of
                such batches or of pairs of a batch and labels.
            num_clips: Integer. Number of clips to encode. Defaults to 256.
            seed: Integer. Seed of the clustering. Defaults to 0.

        Raises:
            ValueError: if there are no clips, or clips of another shape.

        Example:

        ```python
        tokenizer.initialize_codebook(train, num_clips=64)
        ```
        """
        codes = codebook_from_clips(self, clips, num_clips, 10, seed)
        # Each process of a job has read other clips.
        self.quantizer.set_codes(broadcast(codes))

    @property
    def forward_statistics(self):
        norm = self.code_norm
        return [] if norm is None else norm.non_trainable_variables

    def after_update(self, outputs):
        """Updates the codebook, if it is trained by moving averages."""
        self.quantizer.update(
            outputs.latents,
            outputs.token_ids,
            outputs.finite,
            outputs.sample_weight,
            outputs.token_mask,
        )


def _check_weight(name, weight):
    """Checks that a weight is a number or a schedule."""
    is_schedule = isinstance(
        weight, keras.optimizers.schedules.LearningRateSchedule
    )
    if not is_schedule:
        check_number(name, weight)


def _serialize(arguments):
    """The arguments of `compile` for JSON. Of the perceptual model, which is
    frozen and large, only whether there was one."""
    arguments = dict(arguments)
    had_one = arguments.pop("perceptual_model") is not None
    serialize = keras.saving.serialize_keras_object
    config = {name: serialize(value) for name, value in arguments.items()}
    return {**config, "had_perceptual_model": had_one}


def _check_discriminator(discriminator, video_shape, penalty_weight):
    if discriminator is not None:
        check_instance("discriminator", discriminator, keras.layers.Layer)
    expected = getattr(discriminator, "video_shape", video_shape)
    if tuple(expected) != tuple(video_shape):
        raise ValueError(
            "The discriminator must accept the tokenizer's clips of shape "
            f"{video_shape} (frames, height, width, channels). Received: a "
            f"discriminator of shape {expected}"
        )
    if penalty_weight and getattr(discriminator, "gradient_checkpointing", 0):
        raise ValueError(
            "The R1 penalty needs second derivatives, which PyTorch and "
            "TensorFlow cannot compute through rematerialized blocks. Use "
            "either the penalty or gradient checkpointing. Received: "
            f"gradient_penalty_weight={penalty_weight} and a discriminator "
            "with gradient_checkpointing=True"
        )
