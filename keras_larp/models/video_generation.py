import difflib
import warnings
from functools import partial

import keras
import numpy as np
from keras import ops

from keras_larp.backend import (
    compile_function,
    compile_loop,
    pack_kernel,
    packed_matmul,
)
from keras_larp.layers.attention import grow_cache
from keras_larp.layers.sampling import draw_categorical, filtered_probabilities
from keras_larp.utils.input_checks import check_ids

# Steps of sampling between two growths of the key-value cache, at least.
CACHE_GROWTH = 64


class VideoGeneration:
    """How an `ARVideoGenerator` makes video: `generate`, `predict_frames`."""

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
        stream=False,
        verbose=0,
        condition_ids=None,
    ):
        """Generates clips' tokens, one by one, with a key-value cache.

        Sample `i` draws from the random stream of `(seed, i)`: it depends
        neither on the batch size nor on the backend, and with `sample_offset`
        a part of the samples can be made anywhere.

        Args:
            class_ids: int `(B,)`, negative for "no class", or a list of
                class names if the model has `class_names`. `None` generates
                `num_samples` clips of no class.
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
            num_samples: Integer, for `class_ids=None`.
            tokenizer: Optional `LARPTokenizer`; if given, clips are returned.
            batch_size: Integer, clips at a time; all at once where `None`.
            sample_offset: Integer, number of the first of these samples.
            known_tokens: Optional int `(B, num_tokens)`, tokens that are to
                be kept, and -1 where one is to be drawn.
            stream: Boolean, whether batches are yielded as they are made.
            verbose: 0, or 1 for a progress bar of batches.
            condition_ids: int `(B, num_tokens + 1)`, for frame prediction
                instead of `class_ids`; see `encode_first_frames`.

        Returns:
            int32 `(B, num_tokens)`, ids in [0, vocab_size); with
            `tokenizer`,
            float32 `(B, T, H, W, C)` in [0, 1]. With `stream`, an iterator
            of these for `batch_size` clips, the last fewer.

        Raises:
            ValueError: for labels or tokens out of range, a tokenizer of
                other tokens and impossible options.
        """
        condition = self._check_condition(class_ids, condition_ids, num_samples)
        self._check_options(guidance_scale, temperature, top_k, top_p)
        if tokenizer is not None:
            self.check_tokenizer(tokenizer)
        count = len(condition)
        batch_size = count if batch_size is None else batch_size
        if count < 1 or batch_size < 1 or sample_offset < 0:
            raise ValueError(
                "Expected at least one sample, batch_size >= 1 and "
                f"sample_offset >= 0. Received: {count} samples, "
                f"batch_size={batch_size}, sample_offset={sample_offset}"
            )
        given = self._check_given(known_tokens, count)
        if seed is None:
            seed = int(np.random.SeedSequence().entropy % 2**63)
        guided = 0
        if guidance_scale > 1.0:
            guided = self.num_tokens
            if guidance_interval >= 0:
                guided = min(guided, guidance_interval + 2)
        function = self._compiled(guided, (top_k, top_p, temperature == 0))

        def batch_from(start):
            # The last batch is filled up, so that nothing compiles again.
            samples = np.arange(start, start + batch_size)
            samples = np.minimum(samples, count - 1)
            token_ids = function(
                ops.convert_to_tensor(condition[samples]),
                ops.convert_to_tensor(given[samples]),
                ops.convert_to_tensor(
                    self._uniforms(seed, sample_offset + samples)
                ),
                ops.convert_to_tensor(guidance_scale, "float32"),
                ops.convert_to_tensor(temperature or 1.0, "float32"),
            )
            batch = token_ids
            if tokenizer is not None:
                batch = tokenizer.decode(token_ids)
            return batch[: min(batch_size, count - start)]

        def batches():
            starts = range(0, count, batch_size)
            bar = keras.utils.Progbar(len(starts), verbose=verbose)
            for i, start in enumerate(starts):
                yield batch_from(start)
                bar.update(i + 1)

        if stream:
            return batches()
        made = list(batches())
        return made[0] if len(made) == 1 else ops.concatenate(made)

    def quantize(self, *args, **kwargs):
        """Makes the weights int8, as `keras.Model.quantize`; for sampling."""
        with warnings.catch_warnings():
            # Of layers that stay as they are, such as norms.
            warnings.filterwarnings("ignore", ".*not have a `quantize` method")
            super().quantize(*args, **kwargs)
        self._generators = {}

    def _compiled(self, guided, choice):
        """The compiled `_generate` with these static options."""
        key = guided, *choice
        if key not in self._generators:
            loop = compile_loop(partial(self._one_step, choice))
            self._generators[key] = compile_function(
                self, partial(self._generate, loop, guided, choice)
            )
        return self._generators[key]

    def _uniforms(self, seed, samples):
        """float32 `(len(samples), num_tokens)` in [0, 1), a stream each."""
        streams = [
            np.random.Generator(np.random.Philox(key=[seed, int(i)]))
            for i in samples
        ]
        return np.stack([s.random(self.num_tokens, "float32") for s in streams])

    def _generate(
        self,
        loop,
        guided,
        choice,
        condition,
        given,
        uniforms,
        guidance_scale,
        temperature,
    ):
        """The tokens, as a function of tensors and static options.

        The first `guided` tokens are guided: conditioned and unconditioned
        sequences are one doubled batch, which is halved after them.
        """
        batch = condition.shape[0]
        if guided:
            none = ops.full_like(condition, self.num_classes)
            condition = ops.concatenate([condition, none])
        stops = _growth(self.num_tokens, guided)
        length = self.condition_length + stops[0] - 1
        caches = [
            block.empty_cache(condition.shape[0], length)
            for block in self.blocks
        ]
        inputs = {
            "given": given,
            "uniforms": uniforms,
            "guidance_scale": guidance_scale,
            "temperature": temperature,
        }
        x = self.embed_condition(condition)
        logits, caches = self._decode(x, 0, caches)
        current = _next_token(choice, logits, 0, batch, inputs)
        tokens = ops.repeat(current[:, None], self.num_tokens, axis=1)

        inputs["kernels"] = [
            block.map_kernels(pack_kernel) for block in self.blocks
        ]
        if self.head.quantization_mode is None:
            kernel = ops.cast(self.head.kernel, self.compute_dtype)
            inputs["head"] = pack_kernel(kernel)
        start = 1
        for stop in stops:
            if guided and start == guided:
                rows = batch * self.blocks[0].num_kv_heads
                caches = [(k[:rows], v[:rows]) for k, v in caches]
            length = self.condition_length + stop - 1
            caches = [grow_cache(cache, length) for cache in caches]
            state = tokens, current, caches
            tokens, current, caches = loop(start, stop, state, inputs)
            start = stop
        return tokens

    def _one_step(self, choice, step, state, inputs):
        """Writes the token of a step."""
        tokens, current, caches = state
        batch = current.shape[0]
        rows = batch * self.blocks[0].num_kv_heads
        copies = caches[0][0].shape[0] // rows  # Of each clip: 2 if guided.
        x = self.token_embedding(ops.tile(current, (copies,))[:, None])
        position = self.condition_length - 1 + step
        logits, caches = self._decode(
            x, position, caches, inputs["kernels"], inputs.get("head")
        )
        current = _next_token(choice, logits, step, batch, inputs)
        here = ops.arange(self.num_tokens) == step
        return ops.where(here, current[:, None], tokens), current, caches

    def _decode(self, x, position, caches, kernels=None, head=None):
        """Logits `(B, K)` behind the last of `x` `(B, n, D)`, whose first is
        at `position`, and the caches with these."""
        places = position + ops.arange(x.shape[1])
        x = x + ops.take(self.positions.values(), places, axis=1)
        kernels = kernels or [None] * len(self.blocks)
        written = []
        for block, cache, own in zip(self.blocks, caches, kernels, strict=True):
            x, cache = block(
                x,
                cache=cache,
                index=position,
                matmul=packed_matmul,
                kernels=own,
            )
            written.append(cache)
        x = self.norm(x[:, -1:])
        logits = self.head(x) if head is None else packed_matmul(x, head)
        return ops.cast(logits[:, 0], "float32"), written

    def _check_condition(self, class_ids, condition_ids, num_samples):
        """Class ids int32 `(B,)`, or condition ids `(B, num_tokens + 1)`."""
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
                    "Pass `class_ids`, or `num_samples` for clips of no class. "
                    "Received: class_ids=None, num_samples=None"
                )
            class_ids = np.full((num_samples,), -1)
        class_ids = np.asarray(self._ids_from_names(class_ids))
        if (class_ids < 0).any() and not self.class_dropout:
            raise ValueError(
                "This generator was built with class_dropout=0 and has no "
                "embedding of 'no class'. Received: a negative class id"
            )
        known = np.where(class_ids < 0, 0, class_ids)
        check_ids(known, "class ids", self.num_classes, (None,))
        return class_ids.astype("int32")

    def _ids_from_names(self, class_ids):
        """Replaces class names by their ids."""
        if isinstance(class_ids, str):
            class_ids = [class_ids]
        if hasattr(class_ids, "dtype"):
            return class_ids
        names = self.class_names or []
        unknown = [
            value
            for value in class_ids
            if isinstance(value, str) and value not in names
        ]
        if unknown:
            close = difflib.get_close_matches(unknown[0], names)
            hint = (
                f"Did you mean {' or '.join(close)}?"
                if close
                else f"It has {', '.join(names) or 'no names of classes'}."
            )
            raise ValueError(
                f"This generator has no class {unknown[0]!r}. {hint}"
            )
        return [
            names.index(value) if isinstance(value, str) else value
            for value in class_ids
        ]

    def _check_given(self, known_tokens, count):
        """int32 `(count, num_tokens)`, -1 where a token is to be drawn."""
        shape = count, self.num_tokens
        if known_tokens is None:
            return np.full(shape, -1, "int32")
        given = np.asarray(ops.convert_to_numpy(known_tokens))
        named = np.where(given == -1, 0, given)
        check_ids(named, "given tokens", self.vocab_size, shape)
        return given.astype("int32")

    def _check_options(self, guidance_scale, temperature, top_k, top_p):
        if guidance_scale > 1.0 and (
            self.conditioning == "frames" or not self.class_dropout
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


def _next_token(choice, logits, step, batch, inputs):
    """The tokens int32 `(batch,)` that are chosen, or drawn, from logits."""
    top_k, top_p, greedy = choice
    if logits.shape[0] == 2 * batch:
        known, none = logits[:batch], logits[batch:]
        logits = none + inputs["guidance_scale"] * (known - none)
    if greedy:
        token_ids = ops.cast(ops.argmax(logits, axis=-1), "int32")
    else:
        probabilities = filtered_probabilities(
            logits, inputs["temperature"], top_k, top_p
        )
        uniforms = ops.take(inputs["uniforms"], step, axis=1)
        token_ids = draw_categorical(probabilities, uniforms)
    given = ops.take(inputs["given"], step, axis=1)
    return ops.where(given < 0, token_ids, given)


def _growth(num_tokens, guided):
    """Steps before which the cache grows, in order, and the last: a few for
    each clip, since each is compiled. Guidance ends at one of them."""
    every = max(CACHE_GROWTH, num_tokens // 8)
    stops = {*range(every, num_tokens, every), guided, num_tokens}
    return sorted(stop for stop in stops if stop > 1) or [1]
