import keras
from keras import ops

from keras_larp.backend import optimizer_sharding
from keras_larp.backend.clamp import clamp
from keras_larp.backend.processes import broadcast
from keras_larp.backend.replicas import (
    draw_uniforms,
    drop_padding,
    sum_over_replicas,
)
from keras_larp.backend.weighted_mean import weighted_mean
from keras_larp.losses.adversarial import ADVERSARIAL_LOSSES
from keras_larp.metrics import (
    PSNR,
    SSIM,
    CodeStatistics,
    MovingPSNR,
    moving_pixels,
)
from keras_larp.metrics.code_statistics import count_codes
from keras_larp.metrics.mean import Mean
from keras_larp.training.adversarial_terms import AdversarialTerms
from keras_larp.training.codebook_init import codebook_from_clips
from keras_larp.training.prior_loss import (
    prior_loss,
    prior_rounds,
    sampling_ratio,
)
from keras_larp.training.schedules import value_at
from keras_larp.training.step_outputs import (
    DiscriminatorOutputs,
    StepOutputs,
)
from keras_larp.training.tokenizer_optimizer import TokenizerOptimizer
from keras_larp.training.trainable_model import (
    METRICS_REMEDY,
    TrainableModel,
    check_compile_arguments,
    get_optimizer,
    unpack_batch,
)
from keras_larp.utils.checks import (
    check_callable,
    check_choice,
    check_instance,
    check_integer,
    check_number,
)
from keras_larp.utils.input_checks import (
    TOLERANCE,
    check_unit_range,
    check_video,
)

PIXEL_LOSSES = {"l1": ops.abs, "l2": ops.square}
REMEDIES = {
    "loss": (
        "Select the loss terms by `pixel_loss`, `perceptual_model` and "
        "`discriminator`, or override `loss_terms` in a subclass."
    ),
    "metrics": METRICS_REMEDY,
    "weighted_metrics": METRICS_REMEDY,
}


class TokenizerTraining(AdversarialTerms, TrainableModel):
    """Training of a `LARPTokenizer`: `compile`, `fit` and the loss terms.

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

        names = ["loss", *self.logged_terms]
        names += ["clip_codebook_usage", "batch_codebook_usage"]
        skipped_metric, discriminator_metrics = None, {}
        if discriminator is not None:
            names += ["adversarial_loss"]
            skipped_metric = keras.metrics.Sum("skipped_discriminator_steps")
            # 0, not NaN, before the first update of an epoch.
            discriminator_metrics = {
                name: keras.metrics.Mean(name=name)
                for name in DiscriminatorOutputs.TERMS
                if name != "gradient_penalty" or self.gradient_penalty_weight
            }
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
            {name: Mean(name=name) for name in names},
            discriminator=discriminator,
            discriminator_metrics=discriminator_metrics,
            skipped_discriminator_metric=skipped_metric,
            psnr_metric=PSNR(),
            moving_psnr_metric=MovingPSNR() if self.num_frames > 1 else None,
            # A frame must be as large as the 11 x 11 filter of SSIM.
            ssim_metric=SSIM() if self.image_size >= 11 else None,
            code_metric=CodeStatistics(self.codebook_size),
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

    @property
    def metrics(self):
        if not self.compiled:
            return []
        metrics = [
            *self.term_metrics.values(),
            *self.discriminator_metrics.values(),
            self.psnr_metric,
            self.moving_psnr_metric,
            self.ssim_metric,
            self.code_metric,
            self.skipped_metric,
            self.invalid_metric,
            self.skipped_discriminator_metric,
        ]
        return [metric for metric in metrics if metric is not None]

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

    # The loss, as functions of tensors.

    def step_outputs(self, data, training):
        """Computes the loss of a batch and everything that is measured.

        In training, codes are sampled and the prior runs its rounds of
        scheduled sampling; the train step adds the adversarial loss.
        Otherwise the nearest codes are used and the prior is teacher-forced,
        so that nothing is random.

        Args:
            data: A batch of clips, or a pair of clips and labels.
            training: Boolean.

        Returns:
            `StepOutputs`.
        """
        video, _, sample_weight = unpack_batch(data)
        # `train_on_batch` passes NumPy arrays.
        video = ops.convert_to_tensor(video)
        step = self.num_updates(training)
        temperature = None
        if training and self.temperature_schedule is not None:
            temperature = self.temperature_schedule(step)
        codes = self.compute_codes(video, training, temperature, sample_weight)
        codes["sample_weight"] = sample_weight
        reconstruction = ops.cast(
            self.reconstruct(
                codes["quantized"],
                training,
                codes.get("num_kept"),
                video_size=tuple(video.shape[1:4]),
            ),
            "float32",
        )
        video = ops.cast(video, "float32")
        terms = self.loss_terms(video, reconstruction, codes, training)
        terms = {name: ops.cast(t, "float32") for name, t in terms.items()}
        terms = self._reduce_terms(terms, sample_weight)
        loss = sum(
            value_at(weight, step) * terms[name]
            for name, weight in self.loss_weights.items()
            if name in terms
        )
        discriminator = None
        if self.discriminator is not None and not training:
            adversarial_loss, adversarial_terms = self.adversarial_terms(
                reconstruction,
                ops.convert_to_tensor(self.training_state.step),
                training=False,
                sample_weight=sample_weight,
            )
            loss = loss + adversarial_loss
            terms = {**terms, **adversarial_terms}
            discriminator = self._discriminator_outputs(
                video, reconstruction, sample_weight
            ).average_over_replicas()
        return StepOutputs(
            loss=loss,
            terms=terms,
            num_clips=ops.shape(drop_padding(video))[0],
            input_mean=ops.mean(video),
            video=video,
            reconstruction=reconstruction,
            latents=codes["latents"],
            token_ids=codes["token_ids"],
            sample_weight=sample_weight,
            token_mask=codes.get("token_mask"),
            invalid_clips=_count_invalid_clips(video),
            discriminator=discriminator,
        )

    def loss_terms(self, video, reconstruction, codes, training=False):
        """The terms of the loss, unweighted. Override it to add terms.

        Each term is multiplied by its weight and added to the loss, and
        logged under its name. The adversarial loss is not among them: it is
        added by the train step.

        A subclass adds a term to the dictionary that `super()` returns, and
        its weight is passed to `compile(loss_weights=...)`. It can also
        replace a term, such as `terms["pixel_loss"]`. An added term is a
        scalar, or `(B,)` with one value per clip, which training with
        `sample_weight` needs; the built-in terms are scalars, weighted by
        `codes["sample_weight"]`.

        Args:
            video: float32 `(B, T, H, W, C)`, the input clips in [0, 1].
            reconstruction: float32 `(B, T, H, W, C)`, not clipped to [0, 1].
            codes: Dictionary, the outputs of `compute_codes`, with
                `quantized` and `latents`, both `(B, N, d)`, `token_ids`,
                int32 `(B, N)`, and `sample_weight`, float32 `(B,)` or `None`;
                and, if token dropout is active, `num_kept`, int32 `(B,)`, and
                `token_mask`, float32 `(B, N)`.
            training: Boolean. Whether this is a train step. Defaults to
                `False`.

        Returns:
            Dictionary of float32 scalars: `pixel_loss`, `quantizer_loss`,
            `perceptual_loss` with a perceptual model, `prior_loss` with a
            prior; and scalars that are only logged: `commitment_loss`,
            `codebook_loss`, `entropy_loss`, `prior_top1` and `prior_top5`.

        Example:

        ```python
        class MotionTokenizer(keras_larp.models.LARPTokenizer):
            def loss_terms(self, video, reconstruction, codes, training=False):
                terms = super().loss_terms(
                    video, reconstruction, codes, training
                )
                motion = video[:, 1:] - video[:, :-1]
                received = reconstruction[:, 1:] - reconstruction[:, :-1]
                error = keras.ops.abs(received - motion)
                terms["motion_loss"] = keras.ops.mean(error)
                return terms

        tokenizer = MotionTokenizer(num_frames=8, image_size=32)
        tokenizer.compile("adam", loss_weights={"motion_loss": 0.5})
        ```
        """
        sample_weight = codes.get("sample_weight")
        error = PIXEL_LOSSES[self.pixel_loss](reconstruction - video)
        if self.motion_loss_weight:
            error = error * motion_weights(video, self.motion_loss_weight)
        terms = {
            "pixel_loss": weighted_mean(error, sample_weight),
            "quantizer_loss": codes["loss"],
            "commitment_loss": codes["commitment_loss"],
            "codebook_loss": codes["codebook_loss"],
        }
        if self.quantizer.entropy_weight:
            terms["entropy_loss"] = codes["entropy_loss"]
        if self.frozen_model() is not None:
            distances = self.frozen_model()(video, reconstruction)
            terms["perceptual_loss"] = weighted_mean(distances, sample_weight)
        if self.prior is not None:
            loss, top1, top5 = self.prior_terms(codes, training)
            terms["prior_loss"] = loss
            terms["prior_top1"], terms["prior_top5"] = top1, top5
        return terms

    def _reduce_terms(self, terms, sample_weight):
        """Checks the terms of a subclass, and averages those per clip."""
        unweighted = [n for n in terms if n not in self.logged_terms]
        if unweighted:
            raise ValueError(
                "`loss_terms` returned terms without a weight. Pass "
                "`loss_weights` to `compile`, with 0 for a term that is only "
                f"logged. Terms without a weight: {', '.join(unweighted)}"
            )
        missing = [n for n in self.custom_terms if n not in terms]
        if missing:
            raise ValueError(
                "`loss_weights` has weights of terms that `loss_terms` did "
                f"not return: {', '.join(missing)}"
            )
        for name, term in terms.items():
            if len(term.shape) > 1:
                raise ValueError(
                    "Loss terms must be scalars, or have one value per clip. "
                    f"Received: {name} with shape {tuple(term.shape)}"
                )
            is_scalar = not len(term.shape)
            if (
                is_scalar
                and name in self.custom_terms
                and sample_weight is not None
            ):
                raise ValueError(
                    "With `sample_weight` or `class_weight`, `loss_terms` must "
                    "return one value per clip, shape (batch,), for the terms "
                    f"that it adds. Received: {name} with shape ()"
                )
        return {
            name: weighted_mean(term, sample_weight)
            if len(term.shape)
            else term
            for name, term in terms.items()
        }

    def prior_terms(self, codes, training):
        """The prior's loss, top-1 and top-5 accuracy on quantized latents."""
        ratio = 1.0
        if training and self.prior_scheduled_sampling:
            ratio = sampling_ratio(
                ops.convert_to_tensor(self.optimizer.iterations) + 1,
                self.training_state.total_steps,
                self.prior_max_sampling_ratio,
                self.prior_sampling_peak_fraction,
            )
        shape = (ops.shape(codes["quantized"])[0], self.num_tokens - 1)

        def draw():
            return draw_uniforms(shape, self.seed_generator)

        rounds, _ = prior_rounds(
            self.prior,
            self.quantizer.codebook(),
            codes["quantized"],
            num_rounds=self.prior_num_rounds if training else 1,
            replaced=draw() < ratio if training else None,
            draw_uniforms=draw,
            gradient_before_last=self.prior_gradient_all_rounds,
            temperature=self.prior_temperature,
            training=training,
        )
        return prior_loss(
            rounds,
            codes["token_ids"],
            self.prior_average_rounds,
            codes.get("sample_weight"),
            codes.get("token_mask"),
        )

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

    def update_metrics(self, outputs):
        """Adds a step to all metrics.

        Args:
            outputs: The `StepOutputs` of the step.
        """
        ids, mask = outputs.token_ids, outputs.token_mask
        if mask is not None:
            # Dropped tokens use no code that the first token does not use.
            ids = ops.where(mask > 0, ids, ids[:, :1])
            mask = drop_padding(mask)
        usage_by_clip = codebook_usage(ids, self.codebook_size)
        counts = sum_over_replicas(count_codes(ids, self.codebook_size))
        usage = {
            "clip_codebook_usage": ops.mean(usage_by_clip),
            "batch_codebook_usage": ops.mean(ops.cast(counts > 0, "float32")),
        }
        self.update_term_metrics(
            outputs.replace(terms={**outputs.terms, **usage})
        )
        if outputs.discriminator is not None:
            self._update_discriminator_metrics(outputs)
        finite, video = outputs.finite, drop_padding(outputs.video)
        reconstruction = drop_padding(outputs.reconstruction)
        reconstruction = clamp(reconstruction, 0.0, 1.0)
        reconstruction = ops.where(finite, reconstruction, video)
        weight = ops.cast(finite, "float32")
        weight = ops.broadcast_to(weight, ops.shape(video)[:1])
        self.psnr_metric.update_state(video, reconstruction, weight)
        if self.moving_psnr_metric is not None:
            self.moving_psnr_metric.update_state(video, reconstruction, weight)
        if self.ssim_metric is not None:
            self.ssim_metric.update_state(video, reconstruction, weight)
        self.code_metric.update_state(drop_padding(ids), mask)

    def _update_discriminator_metrics(self, outputs):
        due, updated = outputs.discriminator.due, outputs.discriminator.updated
        self.skipped_discriminator_metric.update_state(
            (due - updated) / self.num_replicas
        )
        finite = outputs.finite
        weight = ops.cast(finite, "float32") * updated
        weight = weight * ops.cast(outputs.num_clips, "float32")
        zero = ops.zeros(())
        for name, metric in self.discriminator_metrics.items():
            value = ops.where(finite, outputs.discriminator.terms[name], zero)
            metric.update_state(value, weight)


def _check_weight(name, weight):
    """Checks that a weight is a number or a schedule."""
    is_schedule = isinstance(
        weight, keras.optimizers.schedules.LearningRateSchedule
    )
    if not is_schedule:
        check_number(name, weight)


def motion_weights(video, motion_loss_weight):
    """Weights of pixels in the pixel loss, with a mean of 1 in each clip.

    They are normalized per clip, not per batch, so that the loss remains a
    mean over clips, on several devices too.

    Args:
        video: float32 `(B, T, H, W, C)`.
        motion_loss_weight: Float, see `TokenizerTraining.compile`.

    Returns:
        float32 `(B, T, H, W, 1)`.
    """
    moving = ops.cast(moving_pixels(video), "float32")
    weights = 1.0 + motion_loss_weight * moving
    return weights / ops.mean(weights, axis=(1, 2, 3, 4), keepdims=True)


def _count_invalid_clips(video):
    """Number of clips with values outside of [0, 1], or NaN."""
    axes = tuple(range(1, len(video.shape)))
    low, high = ops.min(video, axis=axes), ops.max(video, axis=axes)  # (B,)
    valid = (low >= -TOLERANCE) & (high <= 1.0 + TOLERANCE)
    return ops.sum(1.0 - ops.cast(valid, "float32"))


def codebook_usage(token_ids, codebook_size):
    """Fraction of the codebook that occurs in each row of token ids.

    Args:
        token_ids: int `(R, n)`.
        codebook_size: Integer.

    Returns:
        float32 `(R,)`, in (0, 1].
    """
    ordered = ops.sort(token_ids, axis=1)
    changes = ops.cast(ordered[:, 1:] != ordered[:, :-1], "float32")
    return (1.0 + ops.sum(changes, axis=1)) / codebook_size


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
