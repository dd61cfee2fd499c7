import keras
import numpy as np
from keras import ops

from keras_larp.models.token_sampler import TokenSampler
from keras_larp.utils.batching import pad_batch
from keras_larp.utils.checks import (
    check_boolean,
    check_integer,
    check_number,
)
from keras_larp.utils.input_checks import check_ids, has_values, to_array
from keras_larp.utils.suggestions import did_you_mean

# Lower temperatures select the most likely token: logits divided by them
# could overflow.
MIN_TEMPERATURE = 1e-6
MAX_GUIDANCE_SCALE = 1e6


class VideoGeneration:
    """Sampling methods of `ARVideoGenerator`."""

    def generate(
        self,
        class_ids=None,
        guidance_scale=1.0,
        guidance_interval=-1,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        seed=None,
        num_samples=None,
        tokenizer=None,
        batch_size=None,
        sample_offset=0,
        known_tokens=None,
        num_tokens=None,
        stream=False,
        verbose=0,
        condition_ids=None,
    ):
        """Generates tokens, or clips, autoregressively with a key-value cache.

        Sample `i` uses the random stream of `(seed, sample_offset + i)`. It
        depends neither on the batch size nor on the backend, so that samples
        can be distributed over several processes.

        Args:
            class_ids: Integer array `(B,)`, where negative ids mean "no
                class"; or a list of class names if the model has
                `class_names`. `None` generates `num_samples` clips without a
                class.
            guidance_scale: Float in [0, 1e6]. Scale of classifier-free
                guidance. If above 1, logits are
                `unconditional + scale * (conditional - unconditional)`;
                other values disable guidance. Defaults to 1.
            guidance_interval: Integer. Index of the last decoding step with
                guidance. Steps are counted from 0 after the first token,
                which is always guided. -1 guides all tokens. Defaults to -1.
            temperature: Non-negative float. Divides the logits; values below
                1e-6 select the most likely token. Defaults to 1.
            top_k: Integer. Samples from the `top_k` most likely tokens. 0
                disables it. Defaults to 0.
            top_p: Float in (0, 1]. Samples from the most likely tokens up to
                this cumulative probability. Defaults to 1.
            seed: Integer in [0, 2**64). `None` for a random seed; inside
                `jax.jit` and `tf.function`, it is drawn once per trace.
                Defaults to `None`.
            num_samples: Integer. Number of samples if `class_ids=None`.
            tokenizer: `LARPTokenizer`. Decodes the tokens to clips. `None`
                returns the tokens. Defaults to `None`.
            batch_size: Integer. Number of samples per batch. Defaults to all
                samples.
            sample_offset: Integer. Index of the first sample. Defaults to 0.
            known_tokens: Integer array `(B, num_tokens)`. Tokens to keep, and
                -1 where a token is to be sampled. `None` samples all tokens.
                Defaults to `None`.
            num_tokens: Integer. Number of tokens to sample, the first ones of
                the same call without `num_tokens`. `tokenizer` must be elastic
                to decode them. With `stream=True`, also an increasing list:
                each batch is yielded at each of these numbers. Defaults to
                `None`, all tokens.
            stream: Boolean. Whether to return an iterator that yields each
                batch when it is complete. Defaults to `False`.
            verbose: Integer. 1 shows a progress bar over batches. Defaults to
                0.
            condition_ids: Integer array `(B, num_tokens + 1)`. Replaces
                `class_ids` in frame prediction; see `encode_first_frames`.

        Returns:
            int32 tensor `(B, num_tokens)` in [0, vocab_size); with a
            tokenizer, float32 tensor `(B, T, H, W, C)` in [0, 1]. With
            `stream=True`, an iterator of such tensors for `batch_size`
            samples each (fewer in the last batch), one per batch and number of
            tokens.

        Raises:
            ValueError: If class or token ids are out of range, the tokenizer
                does not match or cannot decode `num_tokens`, or an option is
                invalid.

        Example:

        ```python
        generator = keras_larp.models.ARVideoGenerator(
            vocab_size=128, num_tokens=24, num_classes=5,
            hidden_dim=64, num_layers=2, num_heads=4,
        )
        token_ids = generator.generate([0, 4], seed=0)  # (2, 24)
        first_ids = generator.generate([0, 4], seed=0, num_tokens=6)  # (2, 6)
        ```
        """
        condition = self._check_condition(class_ids, condition_ids, num_samples)
        self._check_guidance(guidance_scale, guidance_interval)
        temperature = check_number("temperature", temperature)
        top_k = check_integer("top_k", top_k, 0)
        check_number("top_p", top_p, "(0, 1]")
        if seed is None:
            seed = int(np.random.SeedSequence().entropy % 2**63)
        seed = check_integer("seed", seed, 0, 2**64 - 1)
        sample_offset = check_integer("sample_offset", sample_offset, 0)
        check_boolean("stream", stream)
        lengths = self._check_num_tokens(num_tokens, stream)
        if tokenizer is not None:
            self.check_tokenizer(tokenizer, lengths[0])
        count = condition.shape[0]
        if not isinstance(count, int):
            raise ValueError(
                "Tracing `generate` needs a fixed number of samples. Set it "
                "in the shape of the traced function's arguments. "
                f"Received: a condition of shape {tuple(condition.shape)}"
            )
        if count < 1:
            raise ValueError("Expected at least one sample. Received: none")
        batch_size = count if batch_size is None else batch_size
        batch_size = check_integer("batch_size", batch_size, 1)
        known_tokens = self._check_known_tokens(known_tokens, count)
        num_guided = 0
        if guidance_scale > 1.0:
            num_guided = self.num_tokens
            if guidance_interval >= 0:
                # The first token, and the tokens of steps up to the interval.
                num_guided = min(num_guided, guidance_interval + 2)
        sampling = top_k, float(top_p), temperature < MIN_TEMPERATURE
        sampler = self._compiled_functions.get(
            ("sampler", *sampling), lambda: TokenSampler(self, *sampling)
        )

        def generate_batch(start):
            indices = np.arange(start, min(start + batch_size, count))
            padded = pad_batch(indices, batch_size)
            inputs = {
                "known_tokens": _rows(known_tokens, padded),
                "uniforms": ops.convert_to_tensor(
                    self._uniforms(seed, sample_offset + padded)
                ),
                "guidance_scale": ops.convert_to_tensor(
                    guidance_scale, "float32"
                ),
                "temperature": ops.convert_to_tensor(
                    temperature or 1.0, "float32"
                ),
            }
            for batch in sampler.prefixes(
                _rows(condition, padded), inputs, num_guided, lengths
            ):
                if tokenizer is not None:
                    batch = tokenizer.decode(batch)
                yield batch[: len(indices)]

        def generate_batches():
            starts = range(0, count, batch_size)
            bar = keras.utils.Progbar(len(starts), verbose=verbose)
            for i, start in enumerate(starts):
                yield from generate_batch(start)
                bar.update(i + 1)

        if stream:
            return generate_batches()
        batches = list(generate_batches())
        return batches[0] if len(batches) == 1 else ops.concatenate(batches)

    def _uniforms(self, seed, indices):
        """Uniform numbers `(B, num_tokens)`, one random stream per sample."""
        # A list of integers from 2**63 would become floating-point, so that
        # different seeds would share a stream.
        streams = [
            np.random.Generator(
                np.random.Philox(key=np.array([seed, i], "uint64"))
            )
            for i in indices.tolist()
        ]
        return np.stack([s.random(self.num_tokens, "float32") for s in streams])

    def _check_condition(self, class_ids, condition_ids, num_samples):
        """Returns int32 class ids `(B,)` or condition ids `(B, N + 1)`."""
        if self.conditioning == "frames":
            if condition_ids is None or class_ids is not None:
                raise ValueError(
                    "Frame prediction needs `condition_ids` and accepts no "
                    "`class_ids`; `predict_frames` computes them from frames. "
                    f"Received: class_ids={class_ids}, "
                    f"condition_ids={condition_ids}"
                )
            shape = (None, self.num_tokens + 1)
            return check_ids(
                condition_ids, "condition ids", self.vocab_size + 1, shape
            )
        if condition_ids is not None:
            raise ValueError(
                "`condition_ids` needs a generator with conditioning='frames'. "
                "Received: a class-conditional generator"
            )
        if class_ids is None:
            if num_samples is None:
                raise ValueError(
                    "Pass `class_ids`, or `num_samples` to generate without a "
                    "class. Received: class_ids=None, num_samples=None"
                )
            num_samples = check_integer("num_samples", num_samples, 1)
            class_ids = np.full((num_samples,), -1)
        class_ids = self._ids_from_names(class_ids)
        if not has_values(class_ids):
            return check_ids(class_ids, "class ids", self.num_classes, (None,))
        class_ids = to_array(class_ids, "class ids")
        unlabeled = class_ids == -1
        if unlabeled.any() and not self.class_dropout:
            raise ValueError(
                "Generation without a class needs a generator with "
                "class_dropout above 0. Received: class id -1 and "
                f"class_dropout={self.class_dropout}"
            )
        non_negative = np.where(unlabeled, 0, class_ids)
        check_ids(non_negative, "class ids", self.num_classes, (None,))
        return class_ids.astype("int32")

    def _ids_from_names(self, class_ids):
        """Replaces class names by class ids."""
        if isinstance(class_ids, str):
            class_ids = [class_ids]
        if hasattr(class_ids, "dtype"):
            return class_ids
        if not isinstance(class_ids, list | tuple | range):
            raise ValueError(
                "`class_ids` must be a list or an array of class ids or class "
                f"names. Received: class_ids={class_ids!r}"
            )
        names = self.class_names or []
        unknown = [
            value
            for value in class_ids
            if isinstance(value, str) and value not in names
        ]
        if unknown:
            hint = did_you_mean(unknown[0], names) or (
                f" Its classes are {', '.join(names)}."
                if names
                else " Its classes have no names; pass class ids."
            )
            raise ValueError(
                f"This generator has no class {unknown[0]!r}.{hint}"
            )
        return [
            names.index(value) if isinstance(value, str) else value
            for value in class_ids
        ]

    def _check_known_tokens(self, known_tokens, count):
        """Returns int32 tokens `(count, num_tokens)`, -1 if unknown."""
        shape = count, self.num_tokens
        if known_tokens is None:
            return np.full(shape, -1, "int32")
        if not has_values(known_tokens):
            return check_ids(
                known_tokens, "known tokens", self.vocab_size, shape
            )
        known_tokens = to_array(known_tokens, "known tokens")
        non_negative = np.where(known_tokens == -1, 0, known_tokens)
        check_ids(non_negative, "known tokens", self.vocab_size, shape)
        return known_tokens.astype("int32")

    def _check_num_tokens(self, num_tokens, stream):
        """Returns the numbers of tokens to yield, an increasing list."""
        if num_tokens is None:
            return [self.num_tokens]
        if not isinstance(num_tokens, list | tuple):
            return [check_integer("num_tokens", num_tokens, 1, self.num_tokens)]
        lengths = [
            check_integer("num_tokens", length, 1, self.num_tokens)
            for length in num_tokens
        ]
        if not lengths or lengths != sorted({*lengths}):
            raise ValueError(
                "A list of `num_tokens` must be increasing and not empty. "
                f"Received: num_tokens={num_tokens}"
            )
        if not stream:
            raise ValueError(
                "A list of `num_tokens` needs `stream=True`, which yields the "
                "tokens at each of these numbers. Received: "
                f"num_tokens={num_tokens}"
            )
        return lengths

    def _check_guidance(self, guidance_scale, guidance_interval):
        check_number(
            "guidance_scale", guidance_scale, f"[0, {MAX_GUIDANCE_SCALE:g}]"
        )
        check_integer("guidance_interval", guidance_interval, -1)
        if guidance_scale > 1.0 and (
            self.conditioning == "frames" or not self.class_dropout
        ):
            raise ValueError(
                "Guidance needs a class-conditional generator with "
                "class_dropout above 0. Received: "
                f"guidance_scale={guidance_scale}"
            )


def _rows(x, indices):
    """Rows of an array, or of a tensor in a trace, as an int32 tensor."""
    if has_values(x):
        return ops.convert_to_tensor(x[indices])
    return ops.take(ops.cast(x, "int32"), indices, axis=0)
