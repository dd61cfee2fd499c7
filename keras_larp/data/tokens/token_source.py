import os

from keras_larp.data.tokens.token_records import (
    DESCRIPTION,
    ENDING,
    is_shard_name,
    num_shards,
    read_description,
    shard_name,
    shard_names,
    unpack_record,
)
from keras_larp.utils.checks import check_path
from keras_larp.utils.files import check_regular_file
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
        ValueError: If there are shards of several tokenizers, or a file is
            damaged. Damaged records raise it when they are read.

    Example:

    ```python
    tokens = keras_larp.data.TokenSource("ucf101_tokens")
    tokens[0]["token_ids"].shape  # (1024,)
    tokens.class_names[tokens[0]["label"]]  # "ApplyEyeMakeup"
    ```
    """

    def __init__(self, folder: str | os.PathLike):
        folder = check_path("folder", folder)
        description = read_description(folder)
        if description is None:
            raise FileNotFoundError(
                f"{folder} is no token data set: it has no {DESCRIPTION}. "
                "`write_token_dataset` creates one."
            )
        stored = [p.name for p in sorted(folder.glob(f"tokens-*{ENDING}"))]
        unknown = [n for n in stored if not is_shard_name(description, n)]
        if unknown:
            raise ValueError(
                f"{folder} has shards of another tokenizer or data set than "
                f"its {DESCRIPTION}, {description['tokenizer'][:12]}. Remove "
                f"them. Received: {', '.join(unknown[:3])}"
            )
        # The names are not listed before the files are known to exist.
        count = num_shards(description)
        if len(stored) < count:
            names = (shard_name(description, i) for i in range(count))
            example = next(name for name in names if name not in stored)
            raise FileNotFoundError(
                f"{count - len(stored)} of {count} shards are missing in "
                f"{folder}, for example {example}. Call "
                "`write_token_dataset` again to write them."
            )
        names = shard_names(description)
        for name in names:
            check_regular_file(folder / name)
        self._folder, self._description = folder, description
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
        index = range(len(self))[index]
        try:
            return unpack_record(self._records[index], self._description)
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"Record {index} of the token data set {self._folder} is "
                f"damaged: {error}. Delete its shard and call "
                "`write_token_dataset` again."
            ) from error
