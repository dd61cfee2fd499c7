import functools

import numpy as np

from keras_larp.utils.optional_imports import require

# The player presses anew after so many of the console's 60 frames a second,
# whatever the frame skip, and keeps what it pressed with this probability.
_FRAMES_AN_ACTION = 4
_STICKINESS = 0.25
# How many frames an opening has, and how many more are played before a clip.
_OPENING_FRAMES = (60, 600)
_LEAD_FRAMES = (1, 60)


@functools.cache
def game_names():
    """Tuple of the games that one player can play, in alphabetical order."""
    ale, roms = _ale(), require("ale_py.roms", "atari")
    return tuple(
        name
        for name in sorted(roms.get_all_rom_ids())
        if ale.ALEInterface.isSupportedROM(str(roms.get_rom_path(name)))
    )


class AtariEmulator:
    """A console with a game in it, and a random player.

    What `film` gives follows from its arguments alone: before each clip the
    console is set to a stored state, and what is random, sticky actions too,
    is drawn from generators that are handed in. Making one takes a tenth of
    a second; setting its state, less than a thousandth.

    Args:
        game: String, one of `game_names()`.
    """

    def __init__(self, game):
        roms = require("ale_py.roms", "atari")
        self._console = _ale().ALEInterface()
        self._console.setInt("random_seed", 0)
        self._console.setFloat("repeat_action_probability", 0.0)
        self._console.loadROM(roms.get_rom_path(game))
        self._buttons = self._console.getMinimalActionSet()
        self._start = self._console.cloneState()
        self._openings = {}

    def film(self, opening, generator, num_frames, frame_skip):
        """Plays a clip that begins some frames after an opening.

        Args:
            opening: Tuple of integers, the seed of a playthrough from the
                game's start. Its end is remembered.
            generator: NumPy generator, of what is played from there.
            num_frames: Integer, frames to show.
            frame_skip: Integer, every how many frames one is shown.

        Returns:
            uint8 `(num_frames, height, width, 3)`, each the maximum of two
            consecutive frames of the console, and whether a game ended (and
            the next began) in between.
        """
        if opening not in self._openings:
            self._openings[opening] = self._play_opening(opening)
        self._console.restoreState(self._openings[opening])
        lead = int(generator.integers(*_LEAD_FRAMES, endpoint=True))
        presses = self._press(
            generator, lead + 1 + (num_frames - 1) * frame_skip
        )
        frames, before, is_cut = [], None, False
        for number, button in enumerate(presses, start=-lead):
            has_ended = self._step(button)  # number 0 is the first shown
            is_cut |= has_ended and number >= 0
            if number >= -1 and number % frame_skip in (0, frame_skip - 1):
                screen = self._console.getScreenRGB()
                if number >= 0 and number % frame_skip == 0:
                    frames.append(np.maximum(before, screen))
                before = screen
        return np.stack(frames), is_cut

    def _play_opening(self, seed):
        """The console's state after it."""
        generator = np.random.default_rng(seed)
        self._console.restoreState(self._start)
        length = int(generator.integers(*_OPENING_FRAMES, endpoint=True))
        for button in self._press(generator, length):
            self._step(button)
        return self._console.cloneState()

    def _press(self, generator, num_frames):
        """The button of each frame."""
        count = -(-num_frames // _FRAMES_AN_ACTION)
        chosen = generator.integers(len(self._buttons), size=count)
        keeps = generator.random(count) < _STICKINESS
        keeps[0] = False
        # When the button that is down was pressed.
        pressed = np.maximum.accumulate(np.where(keeps, 0, np.arange(count)))
        held = np.repeat(chosen[pressed], _FRAMES_AN_ACTION)[:num_frames]
        return [self._buttons[i] for i in held]

    def _step(self, button):
        """Plays a frame; whether the game ended, and another one began."""
        self._console.act(button)
        has_ended = self._console.game_over()
        if has_ended:
            self._console.restoreState(self._start)
        return has_ended


def _ale():
    ale = require("ale_py", "atari")
    ale.ALEInterface.setLoggerMode(ale.LoggerMode.Error)
    return ale
