import os
import pathlib

from keras_larp.data.tokens.token_records import (
    DESCRIPTION,
    ENDING,
    read_description,
    shard_names,
    unpack_record,
)
from keras_larp.utils.optional_imports import require


class TokenSource:
    """A token data set that `write_token_dataset` wrote.

    A sequence of dictionaries with the keys

    - `token_ids`: int32 `(num_tokens,)`;
    - `label`: the class id, -1 for no class;
    - `name`: the name of the video, see `VideoSource.name`;
    - `start`: the index of the clip's first frame in the video;
    - `flipped`: whether the clip was mirrored;
    - `condition_ids`: int32 `(num_tokens,)`, the tokens of the condition
      frames, if the tokens are for frame prediction.

    Args:
        folder: String or path. The folder of the data set.

    Attributes:
        tokenizer: String. The `model_fingerprint` of the tokenizer.
        vocab_size: Integer. Number of codes.
        num_tokens: Integer. Number of tokens per clip.
        class_names: Tuple of strings.
        num_condition_frames: Integer. Number of condition frames, `None` if
            the records have no `condition_ids`.

    Raises:
        FileNotFoundError: If the folder is no token data set, or shards are
            missing.
        ValueError: If there are shards of several tokenizers, or one is
            damaged.

    Example:

    ```python
    tokens = keras_larp.data.TokenSource("ucf101_tokens")
    tokens[0]["token_ids"].shape  # (1024,)
    tokens.class_names[tokens[0]["label"]]  # "ApplyEyeMakeup"
    ```
    """

    def __init__(self, folder: str | os.PathLike):
        folder = pathlib.Path(folder)
        description = read_description(folder)
        if description is None:
            raise FileNotFoundError(
                f"{folder} is no token data set: it has no {DESCRIPTION}. "
                "`write_token_dataset` creates one."
            )
        names = shard_names(description)
        missing = [name for name in names if not (folder / name).is_file()]
        unknown = [
            path.name
            for path in sorted(folder.glob(f"tokens-*{ENDING}"))
            if path.name not in names
        ]
        if unknown:
            raise ValueError(
                f"{folder} has shards of another tokenizer or data set than "
                f"its {DESCRIPTION}, {description['tokenizer'][:12]}. Remove "
                f"them. Received: {', '.join(unknown[:3])}"
            )
        if missing:
            raise FileNotFoundError(
                f"{len(missing)} of {len(names)} shards are missing in "
                f"{folder}, for example {missing[0]}. Call "
                "`write_token_dataset` again to write them."
            )
        self.tokenizer = description["tokenizer"]
        self.vocab_size = description["vocab_size"]
        self.num_tokens = description["num_tokens"]
        self.class_names = tuple(description["class_names"])
        self.num_condition_frames = description.get("num_condition_frames")
        grain = require("grain")
        try:
            self._records = grain.sources.ArrayRecordDataSource(
                [str(folder / name) for name in names]
            )
            length = len(self._records)
        except RuntimeError as error:
            raise ValueError(
                f"A shard in {folder} is damaged. Delete it and call "
                f"`write_token_dataset` again. ({error})"
            ) from error
        if not length:
            raise ValueError(f"The shards in {folder} hold no clips.")

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> dict:
        # `range` handles negative indices, and raises `IndexError`.
        return unpack_record(self._records[range(len(self))[index]])
