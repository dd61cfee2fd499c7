"""Plays Atari 2600 games with random actions and records frames."""

import functools
from typing import Any

import numpy as np

from keras_larp.utils.optional_imports import require

# The player chooses a new action every 4 of the console's 60 frames per
# second, whatever the frame skip, and with this probability repeats the last.
_FRAMES_PER_ACTION = 4
_REPEAT_PROBABILITY = 0.25
# Ranges of the number of frames played in an opening, and between the opening
# and the first frame of a clip.
_OPENING_FRAMES = (60, 600)
_LEAD_FRAMES = (1, 60)


@functools.cache
def game_names() -> tuple[str, ...]:
    """Returns the single-player games in alphabetical order."""
    ale, roms = _ale(), require("ale_py.roms", "atari")
    return tuple(
        name
        for name in sorted(roms.get_all_rom_ids())
        if ale.ALEInterface.isSupportedROM(str(roms.get_rom_path(name)))
    )


class AtariEmulator:
    """An Atari 2600 console with a game, and a random player.

    The frames of `record` depend only on its arguments: before each clip the
    console is restored to a stored state, and all randomness, including
    sticky actions, comes from generators that the caller passes. Creating an
    emulator takes 0.1 s, restoring its state less than 1 ms.

    Args:
        game: String. One of `game_names()`.
    """

    def __init__(self, game: str):
        roms = require("ale_py.roms", "atari")
        self._console = _ale().ALEInterface()
        self._console.setInt("random_seed", 0)
        self._console.setFloat("repeat_action_probability", 0.0)
        self._console.loadROM(roms.get_rom_path(game))
        self._actions = self._console.getMinimalActionSet()
        self._start = self._console.cloneState()
        self._openings: dict[tuple[int, ...], Any] = {}

    def record(
        self,
        opening: tuple[int, ...],
        generator: np.random.Generator,
        num_frames: int,
        frame_skip: int,
    ) -> tuple[np.ndarray, bool]:
        """Plays a clip that begins some frames after an opening.

        Args:
            opening: Tuple of integers. Seed of a playthrough from the start of
                the game. Its final state is cached.
            generator: `np.random.Generator` of the actions after the opening.
            num_frames: Integer. Number of frames to record.
            frame_skip: Integer. Record every `frame_skip`-th frame.

        Returns:
            uint8 `(num_frames, height, width, 3)`, each frame the maximum of
            two consecutive console frames, and a boolean: whether a game ended
            (and the next one started) during the clip.
        """
        if opening not in self._openings:
            self._openings[opening] = self._play_opening(opening)
        self._console.restoreState(self._openings[opening])
        lead = int(generator.integers(*_LEAD_FRAMES, endpoint=True))
        actions = self._draw_actions(
            generator, lead + 1 + (num_frames - 1) * frame_skip
        )
        frames: list[np.ndarray] = []
        previous, is_cut = self._console.getScreenRGB(), False
        # Step 0 is the first recorded frame.
        for step, action in enumerate(actions, start=-lead):
            has_ended = self._step(action)
            is_cut |= has_ended and step >= 0
            if step >= -1 and step % frame_skip in (0, frame_skip - 1):
                screen = self._console.getScreenRGB()
                if step >= 0 and step % frame_skip == 0:
                    frames.append(np.maximum(previous, screen))
                previous = screen
        return np.stack(frames), is_cut

    def _play_opening(self, seed):
        """Returns the state of the console after an opening."""
        generator = np.random.default_rng(seed)
        self._console.restoreState(self._start)
        length = int(generator.integers(*_OPENING_FRAMES, endpoint=True))
        for action in self._draw_actions(generator, length):
            self._step(action)
        return self._console.cloneState()

    def _draw_actions(self, generator, num_frames):
        """Draws the action of each frame."""
        count = -(-num_frames // _FRAMES_PER_ACTION)
        drawn = generator.integers(len(self._actions), size=count)
        repeats = generator.random(count) < _REPEAT_PROBABILITY
        repeats[0] = False
        # For each action the position of the draw that it repeats.
        sources = np.maximum.accumulate(np.where(repeats, 0, np.arange(count)))
        held = np.repeat(drawn[sources], _FRAMES_PER_ACTION)[:num_frames]
        return [self._actions[i] for i in held]

    def _step(self, action):
        """Plays one frame; returns whether the game ended and restarted."""
        self._console.act(action)
        has_ended = self._console.game_over()
        if has_ended:
            self._console.restoreState(self._start)
        return has_ended


def _ale():
    ale = require("ale_py", "atari")
    ale.ALEInterface.setLoggerMode(ale.LoggerMode.Error)
    return ale
