import numpy as np
from keras import ops

from keras_larp.layers.frame_condition import repeat_last_frame, with_separator


class FramePrediction:
    """How an `ARVideoGenerator` continues clips from their first frames."""

    def predict_frames(
        self,
        video,
        tokenizer,
        num_condition_frames=None,
        num_samples=1,
        batch_size=None,
        **options,
    ):
        """Continues clips from their first frames.

        Args:
            video: float `(B, T, H, W, C)` in [0, 1], with at least the frames
                to go on from.
            tokenizer: The `LARPTokenizer` of whose tokens this is a
                generator.
            num_condition_frames: Integer, how many frames are taken;
                `num_condition_frames` of the model where `None`.
            num_samples: Integer, continuations of each clip, which are
                neighbours in the result.
            batch_size: Integer, clips at a time; all at once where `None`.
            **options: Of `generate`: `temperature`, `top_k`, `top_p`, `seed`,
                `sample_offset`, `stream`, `verbose`.

        Returns:
            float32 `(B * num_samples, tokenizer.num_frames, H, W, C)` in
            [0, 1], whole clips: the first frames as the tokens tell them, and
            what follows. With `stream`, as of `generate`.

        Raises:
            ValueError: for a class-conditional generator, a tokenizer of
                other tokens, and for clips of other sizes or of too few
                frames.

        Reference:
            - [LARP](https://arxiv.org/abs/2410.21264), section 4.3
        """
        if num_samples < 1:
            raise ValueError(
                "`num_samples` must be at least 1. "
                f"Received: num_samples={num_samples}"
            )
        condition_ids = self.encode_first_frames(
            video, tokenizer, num_condition_frames, batch_size
        )
        return self.generate(
            condition_ids=np.repeat(condition_ids, num_samples, axis=0),
            tokenizer=tokenizer,
            batch_size=batch_size,
            **options,
        )

    def encode_first_frames(
        self, video, tokenizer, num_condition_frames=None, batch_size=None
    ):
        """What clips go on from, as `generate` accepts it as `condition_ids`.

        Args:
            video: As in `predict_frames`.
            tokenizer: As in `predict_frames`.
            num_condition_frames: As in `predict_frames`.
            batch_size: Integer, clips at a time; all at once where `None`.

        Returns:
            int32 array `(B, num_tokens + 1)`: tokens of clips that stand still
            behind their first frames, and the separator.

        Raises:
            ValueError: as `predict_frames`.
        """
        if self.conditioning != "frames":
            raise ValueError(
                "Frame prediction needs a generator that was built with "
                "conditioning='frames'. Received: one of classes"
            )
        self.check_tokenizer(tokenizer)
        count = num_condition_frames
        if count is None:
            count = self.num_condition_frames
        if not 0 < count <= min(video.shape[1], tokenizer.num_frames):
            raise ValueError(
                "`num_condition_frames` must be positive, and no more than "
                f"the clips' frames. Received: num_condition_frames={count} "
                f"with {video.shape[1]} frames, and a tokenizer of "
                f"{tokenizer.num_frames}"
            )
        at_once = len(video) if batch_size is None else batch_size
        if min(len(video), at_once) < 1:
            raise ValueError(
                "Expected at least one clip and batch_size >= 1. Received: "
                f"{len(video)} clips, batch_size={batch_size}"
            )

        def encode_from(start):
            part = ops.convert_to_tensor(video[start : start + at_once])
            first = repeat_last_frame(part, count, tokenizer.num_frames)
            # The last part is filled up, so that nothing compiles again.
            filling = ops.repeat(first[-1:], at_once - len(first), axis=0)
            token_ids = tokenizer.encode(ops.concatenate([first, filling]))
            return ops.convert_to_numpy(token_ids)[: len(first)]

        parts = [encode_from(i) for i in range(0, len(video), at_once)]
        condition_ids = with_separator(np.concatenate(parts), self.vocab_size)
        return ops.convert_to_numpy(condition_ids)
