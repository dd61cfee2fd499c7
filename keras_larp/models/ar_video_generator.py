import keras
import numpy as np
from keras import layers, ops

from keras_larp.layers.attention import grow_cache
from keras_larp.layers.causal_transformer_block import CausalTransformerBlock
from keras_larp.layers.checkpointing import run_block
from keras_larp.layers.few_rows import few_rows_dense
from keras_larp.layers.position_table import SequencePositions
from keras_larp.layers.sampling import draw_categorical, filtered_probabilities
from keras_larp.layers.seeded_dropout import seeded_dropout
from keras_larp.losses import token_cross_entropy
from keras_larp.models.checks import check_ids
from keras_larp.training import compile_function
from keras_larp.training.trainable_model import TrainableModel

SIZES = {  # layers, heads, width
    "llama-abs-S": (12, 6, 384),
    "llama-abs-B": (12, 12, 768),
    "llama-abs-L": (24, 16, 1024),
    "llama-abs-LP": (30, 20, 1280),
    "llama-abs-XL": (36, 20, 1280),
    "llama-abs-XXL": (48, 24, 1536),
    "llama-abs-XXXL": (48, 40, 2560),
}


# Steps of sampling between two growths of the key-value cache, at least.
CACHE_GROWTH = 64


@keras.saving.register_keras_serializable(package="keras_larp")
class ARVideoGenerator(TrainableModel):
    """An autoregressive generator of video tokens.

    A LLaMA-like decoder with absolute positions predicts a clip's tokens one
    by one, given a class or, for frame prediction, the tokens of a clip's
    first frames.

    Args:
        vocab_size: Integer, the tokenizer's number of codes.
        num_tokens: Integer, tokens a clip.
        num_classes: Integer, number of classes.
        hidden_dim: Integer, width.
        num_layers: Integer, transformer blocks.
        num_heads: Integer, attention heads; divides `hidden_dim`.
        num_kv_heads: Integer, heads of keys and values; defaults to
            `num_heads`.
        mlp_dim: Integer, width of the SwiGLU layers; see
            `CausalTransformerBlock`.
        condition: `"class"` or `"frames"`.
        class_dropout: Float, share of labels that training replaces by "no
            class"; guidance needs it above zero.
        token_dropout: Float, rate on the embedded sequence.
        dropout: Float, rate after attention and MLP.
        attention_dropout: Float, rate on attention weights.
        drop_path: Float, rate of stochastic depth in the last block; it
            rises linearly from zero in the first.
        learned_positions: Boolean, learned instead of sine-cosine positions.
        epsilon: Float, of the norms.
        gradient_checkpointing: Boolean, whether training computes the inside
            of each block a second time in place of keeping it.
        seed: Integer or `None`, seed of the class dropout.

    Call arguments:
        inputs: Dictionary of `token_ids`, int `(B, num_tokens)`, and
            `condition`: for classes int `(B,)`, negative for "no class"; for
            frame prediction int `(B, num_tokens + 1)`, token ids of the
            first frames' clip and the separator id `vocab_size`.
        training: Boolean, whether dropout acts.

    Returns:
        float32 `(B, num_tokens, vocab_size)`, logits of each token given the
        condition and all tokens before it.

    Example:

    ```python
    generator = keras_larp.models.ARVideoGenerator(
        vocab_size=128, num_tokens=24, num_classes=5,
        hidden_dim=64, num_layers=2, num_heads=4,
    )
    token_ids = generator.generate([0, 4], guidance_scale=1.25, seed=0)
    ```

    Reference:
        - [LARP](https://arxiv.org/abs/2410.21264), section 3.4
    """

    def __init__(
        self,
        vocab_size=8192,
        num_tokens=1024,
        num_classes=101,
        hidden_dim=1280,
        num_layers=30,
        num_heads=20,
        num_kv_heads=None,
        mlp_dim=None,
        condition="class",
        class_dropout=0.1,
        token_dropout=0.1,
        dropout=0.1,
        attention_dropout=0.0,
        drop_path=0.0,
        learned_positions=True,
        epsilon=1e-5,
        gradient_checkpointing=False,
        seed=None,
        **kwargs,
    ):
        self._options = {
            name: value
            for name, value in locals().items()
            if name not in ("self", "kwargs", "__class__")
        }
        super().__init__(**kwargs)
        if condition not in ("class", "frames"):
            raise ValueError(
                "`condition` must be 'class' or 'frames'. "
                f"Received: condition={condition!r}"
            )
        if min(vocab_size, num_tokens, num_classes, num_layers) < 1:
            raise ValueError(
                "Sizes must be positive. Received: "
                f"vocab_size={vocab_size}, num_tokens={num_tokens}, "
                f"num_classes={num_classes}, num_layers={num_layers}"
            )
        self.vocab_size = vocab_size
        self.num_tokens = num_tokens
        self.num_classes = num_classes
        self.hidden_dim = hidden_dim
        self.condition = condition
        self.class_dropout = class_dropout
        self.gradient_checkpointing = gradient_checkpointing
        self.condition_length = 1 if condition == "class" else num_tokens + 1
        self.sequence_length = self.condition_length + num_tokens - 1

        policy = self.dtype_policy
        self.seed_generator = keras.random.SeedGenerator(seed)

        def embedding(rows, name):
            return layers.Embedding(
                rows,
                hidden_dim,
                embeddings_initializer=keras.initializers.RandomNormal(
                    stddev=0.02
                ),
                dtype=policy,
                name=name,
            )

        # The last row of either table stands for no class, or separates the
        # first frames from the clip.
        self.class_embedding = None
        if condition == "class":
            rows = num_classes + (1 if class_dropout else 0)
            self.class_embedding = embedding(rows, "class_embedding")
        rows = vocab_size + (1 if condition == "frames" else 0)
        self.token_embedding = embedding(rows, "token_embedding")
        self.positions = SequencePositions(
            self.sequence_length,
            hidden_dim,
            learned=learned_positions,
            dtype=policy,
            name="positions",
        )
        self.input_dropout = seeded_dropout(token_dropout, dtype=policy)
        self.blocks = [
            CausalTransformerBlock(
                hidden_dim,
                num_heads,
                num_kv_heads=num_kv_heads,
                mlp_dim=mlp_dim,
                dropout=dropout,
                attention_dropout=attention_dropout,
                drop_path=float(drop_path * i / max(num_layers - 1, 1)),
                epsilon=epsilon,
                seed=seed,
                dtype=policy,
                name=f"block_{i}",
            )
            for i in range(num_layers)
        ]
        self.norm = layers.RMSNormalization(
            epsilon=epsilon, dtype=policy, name="norm"
        )
        self.head = layers.Dense(
            vocab_size,
            use_bias=False,
            kernel_initializer="zeros",
            dtype=policy,
            name="head",
        )
        self.build()

    @classmethod
    def from_size(cls, size, **kwargs):
        """A generator of a size by name: `llama-abs-S`, `-B`, `-L`, `-LP`
        (the paper's), `-XL`, `-XXL` or `-XXXL`."""
        if size not in SIZES:
            raise ValueError(
                f"Unknown size of a generator: {size!r}. "
                f"Expected one of: {', '.join(SIZES)}"
            )
        num_layers, num_heads, hidden_dim = SIZES[size]
        return cls(
            num_layers=num_layers,
            num_heads=num_heads,
            hidden_dim=hidden_dim,
            **kwargs,
        )

    def build(self, input_shape=None):
        if self.built:
            return
        if self.class_embedding is not None:
            self.class_embedding.build((None,))
        self.token_embedding.build((None, None))
        shape = (None, None, self.hidden_dim)
        for block in self.blocks:
            block.build(shape)
        self.norm.build(shape)
        self.head.build(shape)
        self.built = True
        self._generators = {}

    # Teacher-forced pass.

    def embed_condition(self, condition, training=False):
        """Condition to float `(B, condition_length, hidden_dim)`."""
        if self.condition == "frames":
            return self.token_embedding(condition)
        condition = ops.cast(condition, "int32")
        if training and self.class_dropout:
            uniform = keras.random.uniform(
                ops.shape(condition), seed=self.seed_generator
            )
            drop = uniform < self.class_dropout
            condition = ops.where(drop, self.num_classes, condition)
        condition = ops.where(condition < 0, self.num_classes, condition)
        return self.class_embedding(condition)[:, None]

    def call(self, inputs, training=False):
        token_ids, condition = inputs["token_ids"], inputs["condition"]
        if len(token_ids.shape) != 2 or token_ids.shape[1] != self.num_tokens:
            raise ValueError(
                f"Expected token ids of shape (batch, {self.num_tokens}). "
                f"Received: shape={tuple(token_ids.shape)}"
            )
        x = ops.concatenate(
            [
                self.embed_condition(condition, training),
                self.token_embedding(token_ids[:, :-1]),
            ],
            axis=1,
        )  # (B, C + N - 1, D)
        x = self.input_dropout(x, training=training) + self.positions.values()
        checkpoint = training and self.gradient_checkpointing
        for block in self.blocks:
            x = run_block(block, x, checkpoint, training=training)
        return self._logits(x[:, self.condition_length - 1 :])

    def _logits(self, x):
        return ops.cast(self.head(self.norm(x)), "float32")

    def compute_output_shape(self, input_shape):
        batch = input_shape["token_ids"][0]
        return (batch, self.num_tokens, self.vocab_size)

    # Training.

    def compile(self, optimizer="adamw", max_skipped_steps=50, **kwargs):
        """Prepares training.

        Args:
            optimizer: A `keras.optimizers.Optimizer` or its name. Its weight
                decay acts on linear kernels only.
            max_skipped_steps: Integer. A step whose loss or gradients are not
                finite is skipped and counted; so many in a row end `fit` with
                an error.
            **kwargs: `run_eagerly`, `steps_per_execution`, `jit_compile`,
                `auto_scale_loss` of `keras.Model.compile`.
        """
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
                dictionaries of `token_ids` and `condition`; with it they are
                pairs of clips `(B, T, H, W, C)` and labels `(B,)`.
        """
        self._set_tokenizer(tokenizer)
        return super().fit(*args, **kwargs)

    def evaluate(self, *args, tokenizer=None, **kwargs):
        """Loss and accuracies; the arguments are those of `fit`."""
        self._set_tokenizer(tokenizer)
        return super().evaluate(*args, **kwargs)

    def _set_tokenizer(self, tokenizer):
        if tokenizer is self.frozen_model():
            return
        if tokenizer is not None:
            if self.condition == "frames":
                raise ValueError(
                    "A generator for frame prediction trains on tokens. "
                    "Received: tokenizer with condition='frames'"
                )
            sizes = tokenizer.num_tokens, tokenizer.codebook_size
            if sizes != (self.num_tokens, self.vocab_size):
                raise ValueError(
                    f"The generator is for {self.num_tokens} tokens of "
                    f"{self.vocab_size} codes. Received: a tokenizer with "
                    f"{sizes[0]} tokens of {sizes[1]} codes"
                )
        self.freeze(tokenizer)

    def step_outputs(self, data, training):
        """Mean cross-entropy of a batch, top-1 and top-5 accuracy."""
        if self.frozen_model() is not None:
            if not isinstance(data, tuple | list) or len(data) < 2:
                raise ValueError(
                    "With a tokenizer, `fit` expects pairs of clips and "
                    f"labels. Received: {type(data).__name__}"
                )
            video, labels = data[0], data[1]
            token_ids = self.frozen_model().compute_codes(video)["token_ids"]
            data = {
                "token_ids": ops.stop_gradient(token_ids),
                "condition": labels,
            }
        elif isinstance(data, tuple | list):
            data = data[0]
        if not isinstance(data, dict) or set(data) != {
            "token_ids",
            "condition",
        }:
            raise ValueError(
                "Expected a dictionary of 'token_ids' and 'condition', or "
                "clips and labels with `fit(..., tokenizer=...)`. Received: "
                f"{sorted(data) if isinstance(data, dict) else type(data)}"
            )
        logits = self(data, training=training)
        token_ids = ops.cast(data["token_ids"], "int32")
        loss, top1, top5 = token_cross_entropy(logits, token_ids)
        return loss, {"loss": loss, "top1": top1, "top5": top5}

    def update_metrics(self, outputs):
        self.update_term_metrics(outputs)

    # Generation.

    def generate(
        self,
        condition=None,
        guidance_scale=1.0,
        guidance_interval=-1,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        seed=None,
        num_samples=None,
        decode=None,
        batch_size=None,
        first_sample=0,
        verbose=0,
    ):
        """Generates clips' tokens, one by one, with a key-value cache.

        Sample `i` draws from the random stream of `(seed, i)`: it depends
        neither on the batch size nor on the backend, and with `first_sample`
        a part of the samples can be made anywhere.

        Args:
            condition: int `(B,)`, class ids, negative for "no class"; or,
                for frame prediction, int `(B, num_tokens + 1)`. `None`
                for `num_samples` clips of no class.
            guidance_scale: Float; above 1, logits are
                `none + scale * (class - none)`.
            guidance_interval: Integer, guides the first token and those up
                to that step of the decoding; -1 guides all.
            temperature: Float, that logits are divided by; 0 takes the
                likeliest token.
            top_k: Integer, draws among so many tokens; 0 for all.
            top_p: Float in (0, 1], draws among the likeliest tokens with
                that probability.
            seed: Integer; another at each call where `None`.
            num_samples: Integer, for `condition=None`.
            decode: Optional `LARPTokenizer`; when given, clips are returned.
            batch_size: Integer, clips at a time; all at once where `None`.
            first_sample: Integer, number of the first of these samples.
            verbose: 0, or 1 for a progress bar of batches.

        Returns:
            int32 `(B, num_tokens)`, ids in [0, vocab_size); with `decode`,
            float32 `(B, T, H, W, C)` in [0, 1].

        Raises:
            ValueError: for labels out of range and impossible options.
        """
        batches = self.generate_batches(
            condition,
            guidance_scale=guidance_scale,
            guidance_interval=guidance_interval,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
            num_samples=num_samples,
            decode=decode,
            batch_size=batch_size,
            first_sample=first_sample,
            verbose=verbose,
        )
        batches = list(batches)
        return batches[0] if len(batches) == 1 else ops.concatenate(batches)

    def generate_batches(
        self,
        condition=None,
        guidance_scale=1.0,
        guidance_interval=-1,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        seed=None,
        num_samples=None,
        decode=None,
        batch_size=None,
        first_sample=0,
        verbose=0,
    ):
        """Yields what `generate` returns, batch by batch, as it is made.

        The arguments are those of `generate`. All batches have
        `batch_size` clips, the last fewer.
        """
        condition = self._check_condition(condition, num_samples)
        self._check_options(guidance_scale, temperature, top_k, top_p)
        count = len(condition)
        batch_size = count if batch_size is None else batch_size
        if count < 1 or batch_size < 1 or first_sample < 0:
            raise ValueError(
                "Expected at least one sample, batch_size >= 1 and "
                f"first_sample >= 0. Received: {count} samples, "
                f"batch_size={batch_size}, first_sample={first_sample}"
            )
        if seed is None:
            seed = int(np.random.SeedSequence().entropy % 2**63)
        guided = 0
        if guidance_scale > 1.0:
            guided = self.num_tokens
            if guidance_interval >= 0:
                guided = min(guided, guidance_interval + 2)
        function = self._compiled(guided, top_k, top_p, temperature == 0)

        def batch_from(start):
            # The last batch is filled up, so that nothing compiles again.
            samples = np.arange(start, start + batch_size)
            samples = np.minimum(samples, count - 1)
            token_ids = function(
                ops.convert_to_tensor(condition[samples]),
                ops.convert_to_tensor(
                    self._uniforms(seed, first_sample + samples)
                ),
                ops.convert_to_tensor(guidance_scale, "float32"),
                ops.convert_to_tensor(temperature or 1.0, "float32"),
            )
            batch = token_ids if decode is None else decode.decode(token_ids)
            return batch[: min(batch_size, count - start)]

        def batches():
            starts = range(0, count, batch_size)
            bar = keras.utils.Progbar(len(starts), verbose=verbose)
            for i, start in enumerate(starts):
                yield batch_from(start)
                bar.update(i + 1)

        # Not itself a generator function: it checks when it is called.
        return batches()

    def quantize(self, *args, **kwargs):
        """Makes the weights int8, as `keras.Model.quantize`; for sampling."""
        super().quantize(*args, **kwargs)
        self._generators = {}

    def _compiled(self, *options):
        """The compiled `_generate` with these static options."""
        if options not in self._generators:
            self._generators[options] = compile_function(
                self, lambda *args: self._generate(*args, *options)
            )
        return self._generators[options]

    def _uniforms(self, seed, samples):
        """float32 `(len(samples), num_tokens)` in [0, 1), a stream each."""
        streams = [
            np.random.Generator(np.random.Philox(key=[seed, int(i)]))
            for i in samples
        ]
        return np.stack([s.random(self.num_tokens, "float32") for s in streams])

    def _generate(
        self,
        condition,
        uniforms,
        guidance_scale,
        temperature,
        guided,
        top_k,
        top_p,
        greedy,
    ):
        """The tokens, as a function of tensors and static options.

        The first `guided` tokens are guided: conditioned and unconditioned
        sequences are one doubled batch, which is halved after them.
        """
        batch = condition.shape[0]

        def next_token(logits, step):
            if logits.shape[0] == 2 * batch:
                known, none = logits[:batch], logits[batch:]
                logits = none + guidance_scale * (known - none)
            if greedy:
                return ops.cast(ops.argmax(logits, axis=-1), "int32")
            probabilities = filtered_probabilities(
                logits, temperature, top_k, top_p
            )
            return draw_categorical(
                probabilities, ops.take(uniforms, step, axis=1)
            )

        def one_step(step, state):
            tokens, current, caches = state
            rows = caches[0][0].shape[0] // batch
            position = self.condition_length - 1 + step
            x = self.token_embedding(ops.tile(current, (rows,))[:, None])
            logits, caches = self._decode(x, position, caches, dense)
            current = next_token(logits, step)
            tokens = ops.slice_update(tokens, (0, step), current[:, None])
            return tokens, current, caches

        if guided:
            none = ops.full_like(condition, self.num_classes)
            condition = ops.concatenate([condition, none])
        caches = [
            block.empty_cache(condition.shape[0], self.condition_length)
            for block in self.blocks
        ]
        x = self.embed_condition(condition)
        logits, caches = self._decode(x, 0, caches)
        current = next_token(logits, 0)
        tokens = ops.zeros((batch, self.num_tokens), "int32")
        tokens = ops.slice_update(tokens, (0, 0), current[:, None])

        dense = [block.few_rows() for block in self.blocks]
        dense.append(few_rows_dense(self.head))
        start = 1
        for stop in _growth(self.num_tokens, guided):
            if guided and start == guided:
                caches = [(k[:batch], v[:batch]) for k, v in caches]
            length = self.condition_length + stop - 1
            caches = [grow_cache(cache, length) for cache in caches]
            tokens, current, caches = ops.fori_loop(
                start, stop, one_step, (tokens, current, caches)
            )
            start = stop
        return tokens

    def _decode(self, x, position, caches, dense=None):
        """Logits `(B, K)` behind the last of `x` `(B, n, D)`, whose first is
        at `position`, and the caches with these."""
        table = self.positions.values()
        start = (0, position, 0)
        x = x + ops.slice(table, start, (1, x.shape[1], self.hidden_dim))
        dense = dense or [None] * len(self.blocks) + [self.head]
        written = []
        for block, cache, fast in zip(
            self.blocks, caches, dense[:-1], strict=True
        ):
            x, cache = block(x, cache=cache, index=position, dense=fast)
            written.append(cache)
        logits = dense[-1](self.norm(x[:, -1:]))[:, 0]
        return ops.cast(logits, "float32"), written

    def _check_condition(self, condition, num_samples):
        if condition is None:
            if num_samples is None or self.condition == "frames":
                raise ValueError(
                    "Pass class ids, or `num_samples` for clips of no class; "
                    "frame prediction needs a condition. Received: "
                    f"condition=None, num_samples={num_samples}"
                )
            condition = np.full((num_samples,), -1)
        if self.condition == "frames":
            shape = (None, self.num_tokens + 1)
            return check_ids(
                condition, "condition ids", self.vocab_size + 1, shape
            )
        condition = np.asarray(condition)
        if (condition < 0).any() and not self.class_dropout:
            raise ValueError(
                "This generator was built with class_dropout=0 and knows no "
                "'no class'. Received: a negative class id"
            )
        named = np.where(condition < 0, 0, condition)
        check_ids(named, "class ids", self.num_classes, (None,))
        return condition.astype("int32")

    def _check_options(self, guidance_scale, temperature, top_k, top_p):
        if guidance_scale > 1.0 and (
            self.condition == "frames" or not self.class_dropout
        ):
            raise ValueError(
                "Guidance needs a class-conditional generator that was "
                "trained with class_dropout above 0. Received: "
                f"guidance_scale={guidance_scale}"
            )
        if temperature < 0 or top_k < 0 or not 0 < top_p <= 1:
            raise ValueError(
                "Expected temperature >= 0, top_k >= 0 and 0 < top_p <= 1. "
                f"Received: temperature={temperature}, top_k={top_k}, "
                f"top_p={top_p}"
            )

    def get_config(self):
        return {
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            **self._options,
        }


def _growth(num_tokens, guided):
    """Steps before which the cache grows, in order, and the last: a few for
    each clip, since each is compiled. Guidance ends at one of them."""
    every = max(CACHE_GROWTH, num_tokens // 8)
    stops = {*range(every, num_tokens, every), guided, num_tokens}
    return sorted(stop for stop in stops if stop > 1)
