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
    """The clips' tokens in a folder that `write_token_dataset` wrote.

    A sequence of dictionaries: `token_ids`, int32 `(num_tokens,)`; `label`,
    the class id, or -1; `name`, the video's file; `start`, its first frame;
    `flipped`, whether the clip was mirrored; and, where the tokens are for
    frame prediction, `condition_ids`, int32 `(num_tokens,)`.

    Args:
        folder: String or path.

    Attributes:
        tokenizer: String, the identity of the tokenizer that made the tokens.
        vocab_size: Integer, number of codes.
        num_tokens: Integer, tokens a clip.
        class_names: Tuple of strings.
        num_condition_frames: Integer, frames that `condition_ids` hold, or
            `None`.

    Raises:
        FileNotFoundError: If the folder is no token data set, or shards are
            missing.
        ValueError: If there are shards of several tokenizers, or one does not
            read.

    Example:

    ```python
    tokens = keras_larp.data.TokenSource("ucf101_tokens")
    tokens[0]["token_ids"].shape  # (1024,)
    tokens.class_names[tokens[0]["label"]]  # "ApplyEyeMakeup"
    ```
    """

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        description = read_description(folder)
        if description is None:
            raise FileNotFoundError(
                f"{folder} is no token data set: there is no {DESCRIPTION} in "
                "it. `write_token_dataset` makes one."
            )
        names = shard_names(description)
        missing = [name for name in names if not (folder / name).is_file()]
        strange = [
            path.name
            for path in sorted(folder.glob(f"tokens-*{ENDING}"))
            if path.name not in names
        ]
        if strange:
            raise ValueError(
                f"{folder} has shards of another tokenizer or data set than "
                f"{DESCRIPTION} says, {description['tokenizer'][:12]}. Take "
                f"them out. Received: {', '.join(strange[:3])}"
            )
        if missing:
            raise FileNotFoundError(
                f"{len(missing)} of {len(names)} shards are missing in "
                f"{folder}, the first being {missing[0]}. Call "
                "`write_token_dataset` again, which goes on with them."
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
                f"A shard in {folder} is damaged. Delete it, and call "
                f"`write_token_dataset` again. ({error})"
            ) from error
        if not length:
            raise ValueError(f"The shards in {folder} hold no clip.")

    def __len__(self):
        return len(self._records)

    def __getitem__(self, index):
        # `range` ends `for record in tokens` and knows indices from the end.
        return unpack_record(self._records[range(len(self))[index]])
