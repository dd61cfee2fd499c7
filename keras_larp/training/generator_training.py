import keras
import numpy as np
from keras import ops

from keras_larp.backend import optimizer_sharding
from keras_larp.backend.execution import apply_function
from keras_larp.backend.replicas import drop_padding
from keras_larp.layers.frame_condition import repeat_last_frame, with_separator
from keras_larp.losses import token_cross_entropy
from keras_larp.metrics.mean import Mean
from keras_larp.training.step_outputs import StepOutputs
from keras_larp.training.trainable_model import (
    METRICS_REMEDY,
    TrainableModel,
    check_compile_arguments,
    get_optimizer,
    unpack_batch,
)
from keras_larp.utils.checks import check_integer
from keras_larp.utils.input_checks import check_ids, to_array

REMEDIES = {
    "loss": "The loss of a generator is the cross-entropy of its tokens.",
    "loss_weights": "A generator has one loss.",
    "metrics": METRICS_REMEDY,
    "weighted_metrics": METRICS_REMEDY,
}


class GeneratorTraining(TrainableModel):
    """Training of an `ARVideoGenerator`: `compile`, `fit` and the loss.

    The order of a train step is in `keras_larp.training.step`.
    """

    INVALID_CLIPS = (
        "Their token ids or labels are out of range, and steps with such clips "
        "are skipped. Check that the data have the generator's `vocab_size` "
        "and `num_classes`, and that clips without a class (label -1) are "
        "given to a generator with a positive `class_dropout` only."
    )

    def compile(self, optimizer="adamw", max_skipped_steps=50, **kwargs):
        """Configures the model for training.

        Args:
            optimizer: A `keras.optimizers.Optimizer` or its name. Its weight
                decay applies to the kernels of linear layers only. Defaults
                to `"adamw"`.
            max_skipped_steps: Integer. A step whose loss or gradients are not
                finite is skipped and counted; this number of consecutive
                skipped steps stops `fit` with an error. Defaults to 50.
            **kwargs: `run_eagerly`, `steps_per_execution`, `jit_compile`,
                `auto_scale_loss` of `keras.Model.compile`. On PyTorch,
                `jit_compile=True` compiles blocks and losses.

        Raises:
            ValueError: if `loss`, `loss_weights`, `metrics` or
                `weighted_metrics` is given.
        """
        check_compile_arguments(kwargs, REMEDIES)
        check_integer("max_skipped_steps", max_skipped_steps, 1)
        optimizer = get_optimizer("optimizer", optimizer)
        self._own_compile_config = {
            "optimizer": keras.saving.serialize_keras_object(optimizer),
            "max_skipped_steps": max_skipped_steps,
            **kwargs,
        }
        self.max_skipped_steps = max_skipped_steps
        metrics = {name: Mean(name=name) for name in ("loss", "top1", "top5")}
        self.prepare_training(
            ["token_ids", self.condition_name, "loss"], metrics
        )
        if not optimizer.built:
            optimizer.exclude_from_weight_decay(
                [v for v in self.trainable_variables if v.name != "kernel"]
            )
        super().compile(optimizer=optimizer, **kwargs)
        optimizer_sharding.shard(self.optimizer)
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
        return [
            *self.term_metrics.values(),
            self.skipped_metric,
            self.invalid_metric,
        ]

    def fit(self, x=None, y=None, *args, tokenizer=None, **kwargs):
        """Trains on tokens, or on video through a frozen tokenizer.

        The other arguments are those of `keras.Model.fit`. `sample_weight` and
        `class_weight` multiply the losses of the clips.

        Args:
            tokenizer: Optional `LARPTokenizer`. Without it, the data are
                dictionaries of `token_ids`, int `(B, num_tokens)`, and
                `class_ids`, int `(B,)` (or, for frame prediction,
                `condition_ids`, int `(B, num_tokens + 1)`). With it, they are
                pairs of clips `(B, T, H, W, C)` and labels `(B,)`; for frame
                prediction, clips with or without labels.

        Returns:
            A `keras.callbacks.History`.

        Raises:
            FloatingPointError: if `max_skipped_steps` consecutive steps were
                not finite.
            ValueError: if the model was not compiled, if the tokenizer or
                token data set does not match the generator, if ids or labels
                are out of range, or if clips without a label (-1) are given to
                a generator with `class_dropout=0`. Data sets are checked by
                their metadata and first batch.
        """
        self._set_tokenizer(tokenizer)
        if isinstance(x, dict) and y is None and kwargs.get("class_weight"):
            # Keras converts class weights to sample weights by the labels.
            y = x.get("class_ids")
        return super().fit(x, y, *args, **kwargs)

    def evaluate(self, *args, tokenizer=None, **kwargs):
        """Returns loss and accuracies.

        The arguments are those of `fit`; `tokenizer` defaults to that of the
        last call of `fit`.
        """
        # `fit` calls this method without a tokenizer.
        if tokenizer is not None:
            self._set_tokenizer(tokenizer)
        return super().evaluate(*args, **kwargs)

    def needs_labels(self, x):
        return self.conditioning == "class" and not isinstance(x, dict)

    def check_batch(self, x, y):
        if isinstance(x, dict):
            token_ids, condition = (
                x.get("token_ids"),
                x.get(self.condition_name),
            )
            if token_ids is None or condition is None:
                self._raise_for_names(x)
            shape = (None, self.num_tokens)
            check_ids(token_ids, "token ids", self.vocab_size, shape)
        else:
            condition = y
            tokenizer = self.frozen_model()
            if tokenizer is not None:
                tokenizer.check_batch(x, None)
        if condition is None:
            return
        if self.conditioning == "class":
            self.check_class_ids(condition)
        elif isinstance(x, dict):
            shape = (None, self.num_tokens + 1)
            name = "condition ids"
            check_ids(condition, name, self.vocab_size + 1, shape)

    def check_class_ids(self, class_ids):
        """Checks labels, and that those without a class can be embedded."""
        class_ids = to_array(class_ids, "class ids")
        if np.issubdtype(class_ids.dtype, np.integer):
            unlabeled = class_ids == -1
            if unlabeled.any() and not self.class_dropout:
                raise ValueError(
                    "The data contain clips without a class (label -1), which "
                    "a generator with class_dropout=0 cannot be trained on: "
                    'it has no embedding of "no class". Use labeled clips, '
                    "or a generator with a positive `class_dropout`."
                )
            class_ids = np.where(unlabeled, 0, class_ids)
        check_ids(class_ids, "class ids", self.num_classes, (None,))

    def check_source(self, source):
        """Checks that a data set has this vocabulary and these classes."""
        for name in ("vocab_size", "num_tokens"):
            received = getattr(source, name, None)
            if received not in (None, getattr(self, name)):
                raise ValueError(
                    f"The tokens of the data set have {name}={received}, and "
                    f"the generator has {name}={getattr(self, name)}."
                )
        if self.conditioning != "class":
            return
        names = list(source.class_names)
        if len(names) > self.num_classes:
            raise ValueError(
                f"The data set has {len(names)} classes, and the generator "
                f"has num_classes={self.num_classes}."
            )
        pairs = zip(names, self.class_names or [], strict=False)
        differing = [f"{a!r} instead of {b!r}" for a, b in pairs if a != b]
        if differing:
            raise ValueError(
                "The classes of the data set differ from the generator's "
                f"`class_names`. Received: {', '.join(differing[:3])}"
            )
        self.check_class_ids(_labels(source))

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
                "Frame prediction needs at least one condition frame, and "
                "fewer than a clip has. Received: a generator with "
                f"num_condition_frames={self.num_condition_frames} and a "
                f"tokenizer with num_frames={num_frames}"
            )

    def step_outputs(self, data, training):
        """Computes the mean cross-entropy of a batch, top-1 and top-5
        accuracy.

        Args:
            data: A batch; see `fit`.
            training: Boolean.

        Returns:
            `StepOutputs`.
        """
        data, labels, sample_weight = unpack_batch(data)
        if self.frozen_model() is not None and not isinstance(data, dict):
            data = self._tokenize(data, labels)
        names = {"token_ids", self.condition_name}
        if not isinstance(data, dict) or set(data) != names:
            self._raise_for_names(data)
        token_ids, valid_tokens = _wrap_ids(data["token_ids"], self.vocab_size)
        condition, valid_condition = self._wrap_condition(
            data[self.condition_name]
        )
        logits = self(
            {"token_ids": token_ids, self.condition_name: condition},
            training=training,
        )
        loss, top1, top5 = apply_function(
            token_cross_entropy,
            logits,
            token_ids,
            *([] if sample_weight is None else [sample_weight]),
        )
        # Infinite if an id is invalid, as are then the loss and its gradients,
        # so that the step is skipped.
        checks = {
            "token_ids": 1.0 / ops.cast(ops.all(valid_tokens), "float32"),
            self.condition_name: 1.0
            / ops.cast(ops.all(valid_condition), "float32"),
        }
        for check in checks.values():
            loss = loss * check
        invalid = ops.logical_not(valid_tokens & valid_condition)  # (B,)
        return StepOutputs(
            loss=loss,
            terms={"top1": top1, "top5": top5, **checks},
            num_clips=ops.shape(drop_padding(token_ids))[0],
            invalid_clips=ops.sum(ops.cast(invalid, "float32")),
        )

    def _raise_for_names(self, data):
        received = type(data).__name__
        if isinstance(data, dict):
            given = sorted(n for n, value in data.items() if value is not None)
            received = f"a dictionary of {given}"
        raise ValueError(
            f"Expected a dictionary of {self.condition_name!r} and "
            "'token_ids', or clips and labels with `fit(..., tokenizer=...)`. "
            f"Received: {received}"
        )

    def _wrap_condition(self, condition):
        """`_wrap_ids` of labels or condition ids; see `fit`."""
        if self.conditioning == "frames":
            return _wrap_ids(condition, self.vocab_size + 1)
        class_ids, valid = _wrap_ids(condition, self.num_classes)
        if self.class_dropout:  # -1 means "no class".
            unlabeled = ops.equal(condition, -1)
            class_ids = ops.where(unlabeled, condition, class_ids)
            valid = valid | unlabeled
        return class_ids, valid

    def update_metrics(self, outputs):
        self.update_term_metrics(outputs)

    def _tokenize(self, video, labels):
        """Tokens and condition of a batch of video."""
        tokenizer = self.frozen_model()
        video = ops.convert_to_tensor(video)
        if self.conditioning == "frames":
            first = repeat_last_frame(video, self.num_condition_frames)
            both = ops.concatenate([video, first])
            ids = self._leading_ids(tokenizer, both)
            token_ids, condition = ops.split(ids, 2)
            condition = with_separator(condition, self.vocab_size)
        elif labels is not None:
            token_ids = self._leading_ids(tokenizer, video)
            condition = labels
        else:
            raise ValueError(
                "With a tokenizer, `fit` expects pairs of clips and labels. "
                "Received: clips without labels"
            )
        return {"token_ids": token_ids, self.condition_name: condition}

    def _leading_ids(self, tokenizer, video):
        """The tokens of clips. An elastic tokenizer may have more."""
        token_ids = tokenizer.compute_codes(video)["token_ids"]
        return ops.stop_gradient(token_ids[:, : self.num_tokens])


def _labels(source):
    """The labels of all videos of a source, or of the first clips of a
    `TokenSource`, which stores labels with the tokens."""
    if hasattr(source, "label"):
        return np.array([source.label(i) for i in range(len(source))])
    return np.array([source[i]["label"] for i in range(min(len(source), 64))])


def _wrap_ids(ids, size):
    """Makes ids safe to look up: out of range, some devices return NaN and
    others abort the process.

    Args:
        ids: int `(B, ...)`.
        size: Integer, the number of valid ids.

    Returns:
        int32 ids modulo `size`, and booleans `(B,)`, whether all ids of a clip
        are valid.
    """
    ids = ops.cast(ids, "int32")
    wrapped = ids % size
    valid = ops.equal(wrapped, ids)
    return wrapped, ops.all(valid, axis=tuple(range(1, len(ids.shape))))
