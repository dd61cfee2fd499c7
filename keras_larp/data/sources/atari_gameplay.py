import collections
import contextlib
import difflib

import numpy as np

from keras_larp.data.sources.atari_emulator import AtariEmulator, game_names
from keras_larp.data.video.transforms import resize_frame, to_unit_range
from keras_larp.utils.checks import check_choice, check_integer

SPLITS = ("train", "test")
# From how many playthroughs of a game clips begin, for each split and seed.
_NUM_OPENINGS = 16
# Share of the pixels that change in a clip that moves, and how often a clip
# is drawn before the one that moves the most is taken.
_MIN_MOTION = 0.002
_MAX_DRAWS = 10
# The process's emulators that are not in use, by game.
_idle_emulators = collections.defaultdict(list)


class AtariGameplay:
    """Clips of Atari 2600 games, which a random player plays.

    The class of a clip is its game. Games are emulated by `ale-py`, whose
    package brings them, so that nothing else is downloaded and any number of
    clips, any size and any length can be had. All is computed from the seed,
    the split and the number of the clip.

    The player presses random buttons 15 times a second and keeps what it
    pressed with the probability 0.25. Each frame is the maximum of two
    consecutive ones, since many games draw every other object in every other
    frame. Clips in which nothing moves, or in which a game ends, are drawn
    again. Whole frames, for the most part 210 high and 160 wide, are resized
    to squares: the console's pixels are wider than high, and cropping would
    cut off the player.

    Args:
        num_clips: Integer. Clip i is of the game `i % len(class_names)`.
        num_frames: Integer, length of a clip.
        image_size: Integer, height and width; at least 8.
        games: Names of the games, such as `["pong", "breakout"]`; by default
            all 104 that one player can play, in alphabetical order.
        frame_skip: Integer from 1 to 8: every how many of the console's 60
            frames a second one is shown.
        split: String, `"train"` or `"test"`: other playthroughs.
        seed: Integer.

    Attributes:
        class_names: Tuple of strings, the games; class ids are places in it.
        flip_changes_label: `True`: a mirrored game, with its score and its sides
            the wrong way round, is not the game, and there are clips enough.

    Raises:
        ValueError: If an argument is out of range, or a game is unknown.
        ImportError: If `ale-py` is not installed.

    Example:

    ```python
    source = keras_larp.data.AtariGameplay(
        1000, num_frames=16, image_size=64, games=["breakout", "pong"]
    )
    clip = source[1]
    clip["video"].shape  # (16, 64, 64, 3), float32 in [0, 1]
    source.class_names[clip["label"]]  # "pong"
    ```

    Reference:
        - [Revisiting the Arcade Learning Environment](
            https://arxiv.org/abs/1709.06009)
    """

    flip_changes_label = True

    def __init__(
        self,
        num_clips,
        num_frames=16,
        image_size=64,
        games=None,
        frame_skip=4,
        split="train",
        seed=0,
    ):
        self.num_clips = check_integer("num_clips", num_clips, 1)
        self.num_frames = check_integer("num_frames", num_frames, 1)
        self.image_size = check_integer("image_size", image_size, 8)
        self.frame_skip = check_integer("frame_skip", frame_skip, 1, 8)
        self.split = check_choice("split", split, SPLITS)
        self.seed = check_integer("seed", seed, 0)
        self.class_names = _check_games(games)

    def __len__(self):
        return self.num_clips

    def __getitem__(self, index):
        index = check_integer("index", index, 0)
        if index >= self.num_clips:  # ends `for clip in source`
            raise IndexError(f"There are {self.num_clips} clips, not {index}")
        label = index % len(self.class_names)
        frames = self._draw(self.class_names[label], index)
        size = (self.image_size, self.image_size)
        video = np.stack([resize_frame(frame, size) for frame in frames])
        return {"video": to_unit_range(video), "label": label}

    def _draw(self, game, index):
        """uint8 `(T, H, W, 3)`, in the console's own size."""
        split = SPLITS.index(self.split)
        generator = np.random.default_rng([self.seed, split, index])
        most, chosen = -np.inf, None
        with _borrowed_emulator(game) as emulator:
            for _ in range(_MAX_DRAWS):
                opening = int(generator.integers(_NUM_OPENINGS))
                frames, is_cut = emulator.film(
                    (self.seed, split, opening),
                    generator,
                    self.num_frames,
                    self.frame_skip,
                )
                # Shares are below 1, so that whole clips come first.
                worth = _share_of_motion(frames) - is_cut
                if worth > most:
                    most, chosen = worth, frames
                if worth >= _MIN_MOTION or self.num_frames == 1:
                    break
        return chosen


@contextlib.contextmanager
def _borrowed_emulator(game):
    """An emulator that no other thread uses; one more where all are in use."""
    idle = _idle_emulators[game]
    try:
        emulator = idle.pop()
    except IndexError:
        emulator = AtariEmulator(game)
    yield emulator
    idle.append(emulator)


def _share_of_motion(frames):
    """Of the pixels of `(T, H, W, 3)`, those that do not stay as they are."""
    changes = frames.max(axis=0) != frames.min(axis=0)  # (H, W, 3)
    return changes.any(axis=-1).mean()


def _check_games(games):
    """Tuple of known names, each once; all for `None`."""
    known = game_names()
    if games is None:
        return known
    if isinstance(games, str) or not games:
        raise ValueError(
            "`games` must be a list of names, or None for all games. "
            f"Received: games={games!r}"
        )
    games = tuple(games)
    for game in games:
        if game not in known:
            close = difflib.get_close_matches(str(game), known)
            hint = f"Did you mean {' or '.join(close)}? " if close else ""
            raise ValueError(
                f"There is no game {game!r}. {hint}A source of all games lists "
                f"them as `class_names`. Received: games={list(games)}"
            )
    if len(set(games)) < len(games):
        raise ValueError(
            "Each game must be named once, as it is a class. "
            f"Received: games={list(games)}"
        )
    return games
