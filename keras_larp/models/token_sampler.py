"""Sampling of the tokens of a batch, with a key-value cache."""

from keras import ops

from keras_larp.backend import (
    compile_function,
    compile_loop,
    pack_kernel,
    packed_matmul,
)
from keras_larp.layers.attention import grow_cache
from keras_larp.layers.sampling import draw_categorical, filtered_probabilities

# Minimum number of sampling steps between two growths of the key-value cache.
CACHE_GROWTH = 64


class TokenSampler:
    """Samples the tokens of batches from an `ARVideoGenerator`.

    Python code runs between the growths of the key-value cache only. The
    steps in between are compiled once for each batch size and length of the
    cache. Neither depends on the number of tokens to sample, so that fewer
    tokens are the first ones of more tokens, bit by bit.

    Args:
        generator: `ARVideoGenerator`.
        top_k: Integer; see `generate`.
        top_p: Float; see `generate`.
        greedy: Boolean. Whether to select the most likely token.
    """

    def __init__(self, generator, top_k, top_p, greedy):
        self.generator = generator
        self.top_k = top_k
        self.top_p = top_p
        self.greedy = greedy
        loop = compile_loop(self._step)

        def advance(tokens, current, caches, inputs, start, stop):
            return loop(start, stop, (tokens, current, caches), inputs)

        self._begin = compile_function(generator, self._sample_first)
        self._advance = compile_function(generator, advance)

    def prefixes(self, condition, inputs, num_guided, lengths):
        """Yields the first tokens of a batch, at one length after the other.

        Guidance processes conditional and unconditional sequences as one batch
        of doubled size; the unconditional half is dropped after `num_guided`
        tokens.

        Args:
            condition: int32 tensor, `class_ids` `(B,)` or `condition_ids`
                `(B, num_tokens + 1)`.
            inputs: Dictionary of tensors: `known_tokens`, int32
                `(B, num_tokens)`, -1 if unknown; `uniforms`, float32
                `(B, num_tokens)`; `guidance_scale` and `temperature`, scalars.
            num_guided: Integer. Number of tokens with guidance.
            lengths: Increasing list of integers, the numbers of tokens.

        Yields:
            int32 tensors `(B, length)`.
        """
        generator = self.generator
        if num_guided:
            no_class = ops.full_like(condition, generator.num_classes)
            condition = ops.concatenate([condition, no_class])  # (2 * B,)
        (tokens, current, caches), kernels = self._begin(condition, inputs)
        inputs = {**inputs, **kernels}
        rows = current.shape[0] * generator.blocks[0].num_kv_heads
        growth_steps = _cache_growth_steps(generator.num_tokens, num_guided)
        start = 1
        for stop in sorted({*growth_steps, *lengths}):
            if start == num_guided:
                caches = [(k[:rows], v[:rows]) for k, v in caches]
            if start < stop:
                # The cache is as long as without a pause at this length.
                end = next(step for step in growth_steps if step >= stop)
                length = generator.condition_length + end - 1
                caches = [grow_cache(cache, length) for cache in caches]
                tokens, current, caches = self._advance(
                    tokens,
                    current,
                    caches,
                    inputs,
                    ops.convert_to_tensor(start, "int32"),
                    ops.convert_to_tensor(stop, "int32"),
                )
                start = stop
            if stop in lengths:
                yield tokens[:, :stop]
            if stop == lengths[-1]:
                return

    def _sample_first(self, condition, inputs):
        """Samples the first token.

        Returns:
            The state of the loop: tokens `(B, num_tokens)`, of which the first
            is sampled, its copy `(B,)`, and the caches of the blocks; and a
            dictionary of packed kernels.
        """
        generator = self.generator
        # Keras warns of attention over one position, that of a class.
        length = generator.condition_length + 1
        caches = [
            block.empty_cache(condition.shape[0], length)
            for block in generator.blocks
        ]
        x = generator.embed_condition(condition)  # (B or 2 * B, C, D)
        logits, caches = self._decode(x, 0, caches)
        current = self._next_token(logits, 0, inputs)
        tokens = ops.repeat(current[:, None], generator.num_tokens, axis=1)
        kernels = {
            "kernels": [
                block.map_kernels(pack_kernel) for block in generator.blocks
            ]
        }
        head = generator.head
        if head.quantization_mode is None:
            kernel = ops.cast(head.kernel, head.compute_dtype)
            kernels["head"] = pack_kernel(kernel)
        return (tokens, current, caches), kernels

    def _step(self, step, state, inputs):
        """Samples the token at index `step` and writes it to `tokens`."""
        tokens, current, caches = state
        generator = self.generator
        rows = current.shape[0] * generator.blocks[0].num_kv_heads
        copies = caches[0][0].shape[0] // rows  # 2 with guidance, else 1.
        x = generator.token_embedding(ops.tile(current, (copies,))[:, None])
        position = generator.condition_length - 1 + step
        logits, caches = self._decode(
            x, position, caches, inputs["kernels"], inputs.get("head")
        )
        current = self._next_token(logits, step, inputs)
        is_step = ops.arange(generator.num_tokens) == step
        return ops.where(is_step, current[:, None], tokens), current, caches

    def _decode(self, x, position, caches, kernels=None, head=None):
        """Decodes embeddings with the key-value caches.

        Args:
            x: Float tensor `(B, n, D)`. Embeddings without positions.
            position: Integer scalar. Position of the first embedding.
            caches: List of one cache per block.
            kernels: List of one dictionary of packed kernels per block, or
                `None`.
            head: Packed kernel of the head, or `None`.

        Returns:
            float32 logits `(B, vocab_size)` of the token after the last
            embedding, and the updated caches.
        """
        generator = self.generator
        positions = position + ops.arange(x.shape[1])
        x = x + ops.take(generator.positions.values(), positions, axis=1)
        kernels = kernels or [None] * len(generator.blocks)
        new_caches = []
        for block, cache, block_kernels in zip(
            generator.blocks, caches, kernels, strict=True
        ):
            x, cache = block(
                x,
                cache=cache,
                index=position,
                matmul=packed_matmul,
                kernels=block_kernels,
            )
            new_caches.append(cache)
        x = generator.norm(x[:, -1:])  # (B, 1, D)
        if head is None:
            logits = generator.head(x)
        else:
            x = ops.cast(x, generator.head.compute_dtype)
            logits = packed_matmul(x, head)
        return ops.cast(logits[:, 0], "float32"), new_caches

    def _next_token(self, logits, step, inputs):
        """Selects the tokens at index `step`, int32 `(B,)`.

        Args:
            logits: float32 `(B, K)`, or `(2 * B, K)` with guidance.
            step: Integer scalar.
            inputs: See `prefixes`.
        """
        known_tokens = ops.take(inputs["known_tokens"], step, axis=1)
        batch_size = known_tokens.shape[0]
        if logits.shape[0] == 2 * batch_size:
            conditional = logits[:batch_size]
            unconditional = logits[batch_size:]
            logits = unconditional + inputs["guidance_scale"] * (
                conditional - unconditional
            )
        if self.greedy:
            token_ids = ops.cast(ops.argmax(logits, axis=-1), "int32")
        else:
            probabilities = filtered_probabilities(
                logits, inputs["temperature"], self.top_k, self.top_p
            )
            uniforms = ops.take(inputs["uniforms"], step, axis=1)
            token_ids = draw_categorical(probabilities, uniforms)
        return ops.where(known_tokens < 0, token_ids, known_tokens)


def _cache_growth_steps(num_tokens, num_guided):
    """Returns the steps before which the cache grows, and `num_tokens`.

    There are at most about ten, since the steps in between are compiled for
    each length. Guidance ends at one of them.
    """
    interval = max(CACHE_GROWTH, num_tokens // 8)
    stops = {*range(interval, num_tokens, interval), num_guided, num_tokens}
    return sorted(stop for stop in stops if stop > 1) or [1]
