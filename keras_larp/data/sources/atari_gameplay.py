import collections
import collections.abc
import contextlib

import numpy as np

from keras_larp.data.sources.atari_emulator import AtariEmulator, game_names
from keras_larp.data.sources.computed_source import ComputedSource
from keras_larp.data.video.transforms import resize_frame, to_unit_range
from keras_larp.utils.checks import check_choice, check_integer, check_names
from keras_larp.utils.suggestions import did_you_mean

SPLITS = ("train", "test")
# Number of playthroughs per game, split and seed that clips start from.
_NUM_OPENINGS = 16
# A clip is redrawn, up to `_MAX_DRAWS` times, until at least this fraction of
# its pixels changes. Otherwise the draw with the most motion is used.
_MIN_MOTION = 0.002
_MAX_DRAWS = 10
# Emulators of this process that are not in use, by game.
_idle_emulators: dict[str, list[AtariEmulator]] = collections.defaultdict(list)


class AtariGameplay(ComputedSource):
    """Clips of Atari 2600 games played by a random player.

    The class of a clip is its game. `ale-py` emulates the games and includes
    them, so there is nothing to download, and any number, length and size of
    clips is available. Clips are computed from the seed, the split and their
    index.

    The player chooses a random action 15 times per second, and with
    probability 0.25 repeats the last one. Each frame is the maximum of two
    consecutive console frames, because many games draw alternate objects in
    alternate frames. Clips without motion, or in which a game ends, are
    redrawn. Complete frames, mostly 210x160 pixels, are resized to squares:
    console pixels are wider than high, and cropping could remove the player.

    Args:
        num_clips: Integer. Number of clips. Clip `i` is of game
            `i % len(class_names)`.
        num_frames: Integer. Number of frames per clip. Defaults to 16.
        image_size: Integer. Height and width in pixels, at least 8. Defaults
            to 64.
        games: List of strings, such as `["pong", "breakout"]`. Defaults to
            all 104 single-player games, in alphabetical order.
        frame_skip: Integer from 1 to 8. Use every `frame_skip`-th of the 60
            console frames per second. Defaults to 4.
        split: String. `"train"` or `"test"`; the splits have different
            playthroughs. Defaults to `"train"`.
        seed: Integer. Defaults to 0.

    Attributes:
        class_names: Tuple of strings. The games, indexed by class id.
        flip_changes_label: `True`: mirrored, the score and sides are the
            wrong way round.

    Raises:
        ValueError: If an argument is out of range, or a game is unknown.
        ImportError: If `ale-py` is not installed.

    Example:

    ```python
    source = keras_larp.data.AtariGameplay(
        1000, num_frames=16, image_size=64, games=["breakout", "pong"]
    )
    source.render(1).shape  # (16, 64, 64, 3), float32 in [0, 1]
    source.class_names[source.label(1)]  # "pong"
    ```

    Reference:
        - [Revisiting the Arcade Learning Environment](
            https://arxiv.org/abs/1709.06009)
    """

    def __init__(
        self,
        num_clips: int,
        num_frames: int = 16,
        image_size: int = 64,
        games: collections.abc.Iterable[str] | None = None,
        frame_skip: int = 4,
        split: str = "train",
        seed: int = 0,
    ):
        super().__init__(num_clips, num_frames, image_size, seed)
        self.frame_skip = check_integer("frame_skip", frame_skip, 1, 8)
        self.split = check_choice("split", split, SPLITS)
        self.class_names = _check_games(games)

    def settings(self) -> dict:
        return {
            "split": self.split,
            "seed": self.seed,
            "frame_skip": self.frame_skip,
            "num_frames": self.default_num_frames,
            "image_size": self.image_size,
        }

    def name(self, index: int) -> str:
        return f"{super().name(index)}_{self.class_names[self.label(index)]}"

    def render(self, index: int) -> np.ndarray:
        frames = self._play(self.class_names[self.label(index)], index)
        size = (self.image_size, self.image_size)
        video = np.stack([resize_frame(frame, size) for frame in frames])
        return to_unit_range(video)

    def _play(self, game, index):
        """uint8 `(T, H, W, 3)` at the resolution of the console."""
        split = SPLITS.index(self.split)
        generator = np.random.default_rng([self.seed, split, index])
        best_score, best = -np.inf, None
        with _borrowed_emulator(game) as emulator:
            for _ in range(_MAX_DRAWS):
                opening = int(generator.integers(_NUM_OPENINGS))
                frames, is_cut = emulator.record(
                    (self.seed, split, opening),
                    generator,
                    self.default_num_frames,
                    self.frame_skip,
                )
                # Motion is below 1: any uncut clip beats all cut ones.
                score = _motion(frames) - is_cut
                if score > best_score:
                    best_score, best = score, frames
                if score >= _MIN_MOTION or self.default_num_frames == 1:
                    break
        return best


@contextlib.contextmanager
def _borrowed_emulator(game):
    """An emulator that no other thread uses, created if all are in use."""
    idle = _idle_emulators[game]
    try:
        emulator = idle.pop()
    except IndexError:
        emulator = AtariEmulator(game)
    yield emulator
    idle.append(emulator)


def _motion(frames):
    """Fraction of the pixels of `(T, H, W, 3)` that change over time."""
    changes = frames.max(axis=0) != frames.min(axis=0)  # (H, W, 3)
    return changes.any(axis=-1).mean()


def _check_games(games):
    """Returns the games as a tuple of unique known names; all for `None`."""
    known = game_names()
    if games is None:
        return known
    games = check_names("games", games)
    if not games:
        raise ValueError(
            "`games` must not be empty; None selects all games. "
            "Received: games=[]"
        )
    for game in games:
        if game not in known:
            raise ValueError(
                f"There is no game {game!r}.{did_you_mean(game, known)} "
                "`AtariGameplay(1).class_names` lists all games. "
                f"Received: games={list(games)}"
            )
    if len(set(games)) < len(games):
        raise ValueError(
            "Games are classes and must be unique. "
            f"Received: games={list(games)}"
        )
    return games
