import numpy as np
from keras import ops

from keras_larp.layers.frame_condition import repeat_last_frame, with_separator
from keras_larp.utils.batching import pad_batch
from keras_larp.utils.checks import check_integer
from keras_larp.utils.input_checks import check_floating_point, to_array


class FramePrediction:
    """Frame prediction methods of `ARVideoGenerator`."""

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

        Requires a generator with `conditioning="frames"`.

        Args:
            video: Float array or tensor `(B, T, H, W, C)` in [0, 1], with at
                least `num_condition_frames` frames. Later frames are ignored.
            tokenizer: The `LARPTokenizer` of the generator.
            num_condition_frames: Integer. Number of frames to continue from.
                Defaults to the generator's `num_condition_frames`.
            num_samples: Integer. Number of continuations per clip. They are
                consecutive in the result. Defaults to 1.
            batch_size: Integer. Number of clips per batch. Defaults to all
                clips.
            **options: Options of `generate`: `temperature`, `top_k`, `top_p`,
                `seed`, `sample_offset`, `num_tokens`, `stream`, `verbose`.

        Returns:
            float32 tensor `(B * num_samples, tokenizer.num_frames, H, W, C)`
            in [0, 1]: the condition frames, as reconstructed by the
            tokenizer, and the predicted frames. With `stream=True`, an
            iterator of batches; see `generate`.

        Raises:
            ValueError: If the generator is class-conditional, the tokenizer
                does not match, or clips have the wrong size or too few
                frames.

        Example:

        ```python
        tokenizer = keras_larp.models.LARPTokenizer(
            num_frames=8, image_size=32, num_tokens=24, codebook_size=128,
            hidden_dim=64, num_heads=4, encoder_num_layers=2,
            decoder_num_layers=2, prior=None,
        )
        generator = keras_larp.models.ARVideoGenerator(
            vocab_size=128, num_tokens=24, hidden_dim=64, num_layers=2,
            num_heads=4, conditioning="frames", num_condition_frames=3,
        )
        first_frames = keras.random.uniform((2, 3, 32, 32, 3))
        video = generator.predict_frames(first_frames, tokenizer)
        video.shape  # (2, 8, 32, 32, 3)
        ```

        Reference:
            - [LARP](https://arxiv.org/abs/2410.21264), section 4.3
        """
        num_samples = check_integer("num_samples", num_samples, 1)
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
        """Encodes the first frames of clips as `condition_ids`.

        The last known frame is repeated up to the length of a clip, which is
        then tokenized.

        Args:
            video: See `predict_frames`.
            tokenizer: See `predict_frames`.
            num_condition_frames: See `predict_frames`.
            batch_size: Integer. Number of clips per batch. Defaults to all
                clips.

        Returns:
            int32 array `(B, num_tokens + 1)` for `generate`: the token ids,
            followed by the separator id.

        Raises:
            ValueError: See `predict_frames`.
        """
        if self.conditioning != "frames":
            raise ValueError(
                "Frame prediction needs a generator that was built with "
                "conditioning='frames'. Received: a class-conditional generator"
            )
        self.check_tokenizer(tokenizer)
        if isinstance(video, list | tuple):
            video = to_array(video, "clips")
        check_floating_point(video)
        if len(video.shape) != 5:
            raise ValueError(
                "Expected clips of shape (batch, frames, height, width, "
                f"channels). Received: shape={tuple(video.shape)}"
            )
        num_known = num_condition_frames
        if num_known is None:
            num_known = self.num_condition_frames
        check_integer("num_condition_frames", num_known, 1)
        if num_known > min(video.shape[1], tokenizer.num_frames):
            raise ValueError(
                "`num_condition_frames` must be at least 1 and at most the "
                "number of frames of the clips and of the tokenizer. "
                f"Received: num_condition_frames={num_known} "
                f"with {video.shape[1]} frames, and a tokenizer of "
                f"{tokenizer.num_frames}"
            )
        if not len(video):
            raise ValueError("Expected at least one clip. Received: no clips")
        batch_size = len(video) if batch_size is None else batch_size
        batch_size = check_integer("batch_size", batch_size, 1)

        def encode_batch(start):
            batch = ops.convert_to_tensor(video[start : start + batch_size])
            batch = repeat_last_frame(batch, num_known, tokenizer.num_frames)
            token_ids = tokenizer.encode(pad_batch(batch, batch_size))
            # An elastic tokenizer may have more tokens than this model.
            token_ids = token_ids[: len(batch), : self.num_tokens]
            return ops.convert_to_numpy(token_ids)

        batches = [encode_batch(i) for i in range(0, len(video), batch_size)]
        condition_ids = with_separator(np.concatenate(batches), self.vocab_size)
        return ops.convert_to_numpy(condition_ids)
