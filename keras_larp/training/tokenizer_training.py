import keras
from keras import ops

from keras_larp.backend.clamp import clamp_max, clamp_min
from keras_larp.losses.adversarial import check_kind
from keras_larp.metrics import PSNR, SSIM, CodeStatistics
from keras_larp.training.adversarial_terms import (
    DISCRIMINATOR_TERMS,
    AdversarialTerms,
)
from keras_larp.training.codebook_init import codebook_from_clips
from keras_larp.training.prior_loss import (
    prior_loss,
    prior_rounds,
    sampling_ratio,
)
from keras_larp.training.schedules import value_at
from keras_larp.training.tokenizer_optimizer import TokenizerOptimizer
from keras_larp.training.trainable_model import TrainableModel, count_steps
from keras_larp.utils.checks import check_integer

# What may not be finite, in the order in which it is computed.
_TERMS = ["clips", "quantizer_loss", "pixel_loss", "perceptual_loss"]
_TERMS += ["prior_loss", "adversarial_loss"]
PIXEL_LOSSES = {"l1": ops.abs, "l2": ops.square}


class TokenizerTraining(AdversarialTerms, TrainableModel):
    """How a `LARPTokenizer` is trained: `compile`, `fit` and the loss terms.

    The order of a step is in `keras_larp.training.step`.
    """

    def compile(
        self,
        optimizer="adam",
        prior_learning_rate_multiplier=1.0,
        pixel_loss="l1",
        pixel_loss_weight=1.0,
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
        **kwargs,
    ):
        """Prepares training.

        Every loss weight is a float or a
        `keras.optimizers.schedules.LearningRateSchedule` of the step, such as
        `keras_larp.training.schedules.LinearRamp`.

        Args:
            optimizer: A `keras.optimizers.Optimizer` or its name.
            prior_learning_rate_multiplier: Float, learning rate of the prior
                over the tokenizer's (50 in the paper).
            pixel_loss: `"l1"`, the mean absolute error of the paper, or
                `"l2"`, the mean squared error, which learns small
                objects on a plain ground sooner.
            pixel_loss_weight: Weight of the pixel loss.
            perceptual_model: Optional frozen model or layer that maps clips
                and reconstructions, both `(B, T, H, W, C)`, to distances
                `(B,)`, such as `LPIPS`. It is not saved with the tokenizer.
            perceptual_loss_weight: Weight of its mean.
            quantizer_loss_weight: Weight of commitment and codebook loss.
            prior_loss_weight: Weight of the prior's cross-entropy.
            discriminator: Optional `VideoDiscriminator`, or any Keras model
                of clips that returns logits `(B, 1)`.
            discriminator_optimizer: A `keras.optimizers.Optimizer` or its
                name. A learning-rate schedule of it counts its own updates;
                `keras_larp.training.schedules.StridedSchedule` makes one of the
                run's steps.
            discriminator_every: Integer, the discriminator is trained on
                every so-many-th step.
            discriminator_start: Integer, steps before it is trained.
            adversarial_loss: `"non_saturating_smooth"`, `"non_saturating"`
                or `"hinge"`; see `keras_larp.losses.discriminator_loss`.
            adversarial_loss_weight: Weight of the tokenizer's adversarial
                loss.
            adversarial_start: Integer, steps before that loss counts.
            lecam_weight: Float, of the LeCam regularization of the
                discriminator.
            gradient_penalty_weight: Float, of its R1 penalty. Not with
                gradient checkpointing of the discriminator, through which
                PyTorch and TensorFlow have no second derivative.
            temperature_schedule: Optional schedule that gives the quantizer's
                temperature at each step.
            total_steps: Integer, steps of the whole run, for the ramp of
                scheduled sampling. Taken from `fit` where `None`.
            max_skipped_steps: Integer. A step whose loss or gradients are not
                finite is skipped and counted; so many in a row end `fit` with
                an error.
            **kwargs: `run_eagerly`, `steps_per_execution`, `jit_compile`,
                `auto_scale_loss` of `keras.Model.compile`. On PyTorch
                `jit_compile=True` compiles blocks and losses.

        Raises:
            ValueError: for an unknown loss, or a discriminator for other
                clips or that R1 cannot be taken of.
        """
        arguments = {
            name: value
            for name, value in locals().items()
            if name not in ("self", "kwargs", "__class__")
        }
        if pixel_loss not in PIXEL_LOSSES:
            raise ValueError(
                f"`pixel_loss` must be one of {', '.join(PIXEL_LOSSES)}. "
                f"Received: pixel_loss={pixel_loss!r}"
            )
        check_kind(adversarial_loss)
        check_integer("discriminator_every", discriminator_every, 1)
        check_integer("max_skipped_steps", max_skipped_steps, 1)
        _check_discriminator(
            discriminator, self.video_shape, gradient_penalty_weight
        )
        optimizer = keras.optimizers.get(optimizer)
        if discriminator is None:
            discriminator_optimizer = None
        discriminator_optimizer = keras.optimizers.get(discriminator_optimizer)
        arguments |= {
            "optimizer": optimizer,
            "discriminator_optimizer": discriminator_optimizer,
        }
        self._own_compile_config = {**_serialized(arguments), **kwargs}

        self.pixel_loss = pixel_loss
        self.loss_weights = {
            "pixel_loss": pixel_loss_weight,
            "perceptual_loss": perceptual_loss_weight,
            "quantizer_loss": quantizer_loss_weight,
            "prior_loss": prior_loss_weight,
            "adversarial_loss": adversarial_loss_weight,
        }
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
        # All state is made now, so that a checkpoint can be restored.
        self.optimizer.build(self.generator_variables)

    def _prepare_training(self, discriminator):
        names = ["loss", "pixel_loss", "quantizer_loss"]
        names += ["commitment_loss", "codebook_loss"]
        if self.quantizer.entropy_weight:
            names += ["entropy_loss"]
        if self.frozen_model() is not None:
            names += ["perceptual_loss"]
        if self.prior is not None:
            names += ["prior_loss", "prior_top1", "prior_top5"]
        if discriminator is not None:
            names += ["adversarial_loss", *DISCRIMINATOR_TERMS]
            if not self.gradient_penalty_weight:
                names.remove("gradient_penalty")
        names += ["clip_codebook_usage", "batch_codebook_usage"]
        metrics = {name: keras.metrics.Mean(name=name) for name in names}
        self.prepare_training(
            _TERMS,
            metrics,
            discriminator=discriminator,
            skipped_turns_metric=(
                keras.metrics.Sum("skipped_discriminator_steps")
                if discriminator is not None
                else None
            ),
            psnr_metric=PSNR(),
            # Frames must hold the filter of 11 x 11 pixels.
            ssim_metric=SSIM() if self.image_size >= 11 else None,
            code_metric=CodeStatistics(self.codebook_size),
        )

    def _make_optimizer(self, optimizer, multiplier, discriminator_optimizer):
        optimizer = TokenizerOptimizer(
            optimizer, multiplier, discriminator_optimizer
        )
        judge, prior = self.discriminator, self.prior
        if judge is not None and self.dtype_policy.name == "mixed_float16":
            optimizer.discriminator_optimizer = (
                keras.optimizers.LossScaleOptimizer(discriminator_optimizer)
            )
        optimizer.build_groups(
            self.generator_variables,
            [] if prior is None else prior.trainable_variables,
            [] if judge is None else judge.trainable_variables,
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
        own = [self.psnr_metric, self.ssim_metric, self.code_metric]
        own += [self.skipped_metric, self.skipped_turns_metric]
        metrics = [*self.term_metrics.values(), *own]
        return [metric for metric in metrics if metric is not None]

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        *args,
        initial_epoch=0,
        steps_per_epoch=None,
        **kwargs,
    ):
        """Trains on clips `(B, T, H, W, C)` or pairs of clips and labels.

        As `keras.Model.fit`; the labels are not used. The ramp of scheduled
        sampling spans all steps of this call, unless `compile` was given
        `total_steps`.

        Raises:
            ValueError: where the length of the run is needed and not known.
            FloatingPointError: where too many steps in a row were not finite.
        """
        if self.compiled and self.lacks_perceptual_model:
            raise ValueError(
                "This tokenizer was trained with a perceptual loss, whose "
                "model is not saved with it. Pass it once more: "
                "`tokenizer.compile(perceptual_model=...)`, or go on without "
                "it: `tokenizer.lacks_perceptual_model = False`."
            )
        if self.compiled and self.prior is not None:
            steps = self.given_total_steps
            if steps is None:
                steps = count_steps(
                    x, epochs, initial_epoch, steps_per_epoch, batch_size
                )
                if steps is None:
                    raise ValueError(
                        "The length of this data set is not known, and "
                        "scheduled sampling needs the length of the run. Pass "
                        "`steps_per_epoch` to `fit` or `total_steps` to "
                        "`compile`."
                    )
                steps += int(ops.convert_to_numpy(self.optimizer.iterations))
            self.training_state.total_steps.assign(max(steps, 1))
        return super().fit(
            x,
            y,
            batch_size,
            epochs,
            *args,
            initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch,
            **kwargs,
        )

    def initialize_codebook(self, clips, num_clips=256, seed=0):
        """Makes cluster centres (k-means) of the latents of some clips the
        codes, so that training begins with codes where the latents are.

        Call it before `fit`; a run that goes on from a checkpoint takes the
        codes of that.

        Args:
            clips: float `(B, T, H, W, C)` in [0, 1], or an iterable of
                such batches or of pairs of a batch and labels.
            num_clips: Integer, how many of them to look at.
            seed: Integer, seed of the clustering.

        Raises:
            ValueError: where there are no clips, or clips of another shape.

        Example:

        ```python
        tokenizer.initialize_codebook(train, num_clips=64)
        ```
        """
        codes = codebook_from_clips(self, clips, num_clips, 10, seed)
        self.quantizer.set_codes(codes)

    # The terms of the loss, as functions of tensors.

    def step_outputs(self, data, training):
        """The loss of a batch, and all that is measured of it.

        In training, codes are sampled, the prior goes through its rounds of
        scheduled sampling, and the step adds the adversarial loss. Otherwise
        codes are the nearest and the prior is teacher-forced, so that nothing
        is random.
        """
        video = data[0] if isinstance(data, tuple | list) else data
        # `train_on_batch` hands on NumPy arrays.
        video = ops.convert_to_tensor(video)
        step = self.optimizer.iterations
        temperature = None
        if training and self.temperature_schedule is not None:
            temperature = self.temperature_schedule(step)
        codes = self.compute_codes(video, training, temperature)
        reconstruction = ops.cast(
            self.reconstruct(codes["quantized"], training), "float32"
        )
        video = ops.cast(video, "float32")
        outputs = {
            "video": video,
            "clips": ops.mean(video),
            "reconstruction": reconstruction,
            "latents": codes["latents"],
            "token_ids": codes["token_ids"],
            "pixel_loss": ops.mean(
                PIXEL_LOSSES[self.pixel_loss](reconstruction - video)
            ),
            "quantizer_loss": codes["loss"],
            "commitment_loss": codes["commitment_loss"],
            "codebook_loss": codes["codebook_loss"],
            "entropy_loss": codes["entropy_loss"],
        }
        if self.frozen_model() is not None:
            distances = self.frozen_model()(video, reconstruction)
            outputs["perceptual_loss"] = ops.mean(distances)
        if self.prior is not None:
            names = "prior_loss", "prior_top1", "prior_top5"
            terms = self.prior_terms(codes, training)
            outputs |= dict(zip(names, terms, strict=True))
        loss = sum(
            value_at(weight, step) * outputs[name]
            for name, weight in self.loss_weights.items()
            if name in outputs
        )
        if self.discriminator is not None and not training:
            added, terms = self.adversarial_terms(reconstruction)
            loss = loss + added
            outputs |= {**terms, **self._judgement(video, reconstruction)}
            outputs["discriminator_updates"] = ops.ones(())
        return loss, {**outputs, "loss": loss}

    @property
    def forward_statistics(self):
        norm = self.code_norm
        return [] if norm is None else norm.non_trainable_variables

    def after_update(self, outputs):
        self.quantizer.update(
            outputs["latents"], outputs["token_ids"], outputs["finite"]
        )

    def prior_terms(self, codes, training):
        """The prior's loss, top-1 and top-5 accuracy on quantized codes."""
        ratio = 1.0
        if training and self.prior_scheduled_sampling:
            ratio = sampling_ratio(
                ops.convert_to_tensor(self.optimizer.iterations) + 1,
                self.training_state.total_steps,
                self.prior_max_sampling_ratio,
                self.prior_sampling_peak_fraction,
            )
        shape = (ops.shape(codes["quantized"])[0], self.num_tokens - 1)

        def draw_uniforms():
            return keras.random.uniform(shape, seed=self.seed_generator)

        rounds, _ = prior_rounds(
            self.prior,
            self.quantizer.codebook(),
            codes["quantized"],
            num_rounds=self.prior_num_rounds if training else 1,
            replaced=draw_uniforms() < ratio if training else None,
            draw_uniforms=draw_uniforms,
            gradient_before_last=self.prior_gradient_all_rounds,
            temperature=self.prior_temperature,
            training=training,
        )
        return prior_loss(rounds, codes["token_ids"], self.prior_average_rounds)

    def update_metrics(self, outputs):
        ids = outputs["token_ids"]
        outputs |= {
            "clip_codebook_usage": ops.mean(
                codebook_usage(ids, self.codebook_size)
            ),
            "batch_codebook_usage": codebook_usage(
                ops.reshape(ids, (1, -1)), self.codebook_size
            )[0],
        }
        # Of a step without an update of the discriminator, nothing is
        # measured.
        updates = outputs.get("discriminator_updates", ops.zeros(()))
        if self.skipped_turns_metric is not None:
            turns = outputs.get("discriminator_turns", updates)
            self.skipped_turns_metric.update_state(turns - updates)
        outputs["weights"] = dict.fromkeys(DISCRIMINATOR_TERMS, updates)
        self.update_term_metrics(outputs)
        finite, video = outputs["finite"], outputs["video"]
        clipped = clamp_max(clamp_min(outputs["reconstruction"], 0.0), 1.0)
        clipped = ops.where(finite, clipped, video)
        weight = ops.cast(finite, "float32")
        weight = ops.broadcast_to(weight, ops.shape(video)[:1])
        self.psnr_metric.update_state(video, clipped, weight)
        if self.ssim_metric is not None:
            self.ssim_metric.update_state(video, clipped, weight)
        self.code_metric.update_state(ids)


def codebook_usage(token_ids, codebook_size):
    """Share of the codes that occurs in each row of ids `(R, n)`: `(R,)`."""
    ordered = ops.sort(token_ids, axis=1)
    changes = ops.cast(ordered[:, 1:] != ordered[:, :-1], "float32")
    return (1.0 + ops.sum(changes, axis=1)) / codebook_size


def _serialized(arguments):
    """The arguments of `compile` as JSON; the perceptual model, which is
    frozen and large, only as the fact that there was one."""
    arguments = dict(arguments)
    had_one = arguments.pop("perceptual_model") is not None
    serialize = keras.saving.serialize_keras_object
    config = {name: serialize(value) for name, value in arguments.items()}
    return {**config, "had_perceptual_model": had_one}


def _check_discriminator(discriminator, video_shape, penalty_weight):
    expected = getattr(discriminator, "video_shape", video_shape)
    if tuple(expected) != tuple(video_shape):
        raise ValueError(
            f"The discriminator must take the tokenizer's clips, {video_shape} "
            f"(frames, height, width, channels). Received: one for {expected}"
        )
    if penalty_weight and getattr(discriminator, "gradient_checkpointing", 0):
        raise ValueError(
            "The R1 penalty is a gradient's gradient, which PyTorch and "
            "TensorFlow cannot take of blocks that are computed twice. "
            f"Received: gradient_penalty_weight={penalty_weight} and a "
            "discriminator with gradient_checkpointing=True; leave one of "
            "them out."
        )
