import keras
from keras import ops

from keras_larp.backend.execution import apply_function
from keras_larp.layers.frame_condition import repeat_last_frame, with_separator
from keras_larp.losses import token_cross_entropy
from keras_larp.training.trainable_model import TrainableModel
from keras_larp.utils.checks import check_integer


class GeneratorTraining(TrainableModel):
    """How an `ARVideoGenerator` is trained: `compile`, `fit` and its loss."""

    def compile(self, optimizer="adamw", max_skipped_steps=50, **kwargs):
        """Prepares training.

        Args:
            optimizer: A `keras.optimizers.Optimizer` or its name. Its weight
                decay acts on linear kernels only.
            max_skipped_steps: Integer. A step whose loss or gradients are not
                finite is skipped and counted; so many in a row end `fit` with
                an error.
            **kwargs: `run_eagerly`, `steps_per_execution`, `jit_compile`,
                `auto_scale_loss` of `keras.Model.compile`. On PyTorch
                `jit_compile=True` compiles blocks and losses.
        """
        check_integer("max_skipped_steps", max_skipped_steps, 1)
        optimizer = keras.optimizers.get(optimizer)
        self._own_compile_config = {
            "optimizer": keras.saving.serialize_keras_object(optimizer),
            "max_skipped_steps": max_skipped_steps,
            **kwargs,
        }
        self.max_skipped_steps = max_skipped_steps
        metrics = {
            name: keras.metrics.Mean(name=name)
            for name in ("loss", "top1", "top5")
        }
        self.prepare_training(["loss"], metrics)
        if not optimizer.built:
            optimizer.exclude_from_weight_decay(
                [v for v in self.trainable_variables if v.name != "kernel"]
            )
        super().compile(optimizer=optimizer, **kwargs)
        self.optimizer.build(self.trainable_variables)

    def get_compile_config(self):
        return self._own_compile_config if self.compiled else None

    def compile_from_config(self, config):
        config = dict(config)
        config["optimizer"] = keras.saving.deserialize_keras_object(
            config["optimizer"]
        )
        self.compile(**config)

    @property
    def metrics(self):
        if not self.compiled:
            return []
        return [*self.term_metrics.values(), self.skipped_metric]

    def fit(self, *args, tokenizer=None, **kwargs):
        """Trains on tokens, or on video through a frozen tokenizer.

        As `keras.Model.fit`.

        Args:
            tokenizer: Optional `LARPTokenizer`. Without it the data are
                dictionaries of `token_ids` and `class_ids` (or
                `condition_ids`); with it they are
                pairs of clips `(B, T, H, W, C)` and labels `(B,)`, or, for
                frame prediction, clips with or without labels.
        """
        self._set_tokenizer(tokenizer)
        return super().fit(*args, **kwargs)

    def evaluate(self, *args, tokenizer=None, **kwargs):
        """Loss and accuracies; the arguments are those of `fit`, whose
        tokenizer counts where none is given."""
        # `fit` itself evaluates, and does not know of tokenizers.
        if tokenizer is not None:
            self._set_tokenizer(tokenizer)
        return super().evaluate(*args, **kwargs)

    def _set_tokenizer(self, tokenizer):
        if tokenizer is self.frozen_model():
            return
        if tokenizer is not None:
            self.check_tokenizer(tokenizer)
            self._check_condition_frames(tokenizer.num_frames)
        self.freeze(tokenizer)

    def _check_condition_frames(self, num_frames):
        if self.conditioning != "frames":
            return
        if not 0 < self.num_condition_frames < num_frames:
            raise ValueError(
                "Frame prediction goes on from at least one frame, and from "
                "fewer than a clip has. Received: a generator with "
                f"num_condition_frames={self.num_condition_frames} and a "
                f"tokenizer with num_frames={num_frames}"
            )

    def step_outputs(self, data, training):
        """Mean cross-entropy of a batch, top-1 and top-5 accuracy."""
        if isinstance(data, tuple | list) and isinstance(data[0], dict):
            data = data[0]
        elif self.frozen_model() is not None and not isinstance(data, dict):
            data = self._tokens_of(data)
        names = {"token_ids", self.condition_name}
        if not isinstance(data, dict) or set(data) != names:
            raise ValueError(
                f"Expected a dictionary of {sorted(names)}, or "
                "clips and labels with `fit(..., tokenizer=...)`. Received: "
                f"{sorted(data) if isinstance(data, dict) else type(data)}"
            )
        logits = self(data, training=training)
        token_ids = ops.cast(data["token_ids"], "int32")
        loss, top1, top5 = apply_function(
            token_cross_entropy, logits, token_ids
        )
        return loss, {"loss": loss, "top1": top1, "top5": top5}

    def update_metrics(self, outputs):
        self.update_term_metrics(outputs)

    def _tokens_of(self, data):
        """What a batch of video is as tokens and condition."""
        tokenizer = self.frozen_model()
        has_labels = isinstance(data, tuple | list) and len(data) > 1
        video = data[0] if isinstance(data, tuple | list) else data
        video = ops.convert_to_tensor(video)
        if self.conditioning == "frames":
            first = repeat_last_frame(video, self.num_condition_frames)
            both = ops.concatenate([video, first])
            ids = tokenizer.compute_codes(both)["token_ids"]
            token_ids, condition = ops.split(ops.stop_gradient(ids), 2)
            condition = with_separator(condition, self.vocab_size)
        elif has_labels:
            ids = tokenizer.compute_codes(video)["token_ids"]
            token_ids, condition = ops.stop_gradient(ids), data[1]
        else:
            raise ValueError(
                "With a tokenizer, `fit` expects pairs of clips and labels. "
                f"Received: {type(data).__name__}"
            )
        return {"token_ids": token_ids, self.condition_name: condition}
