"""Clips of games are deterministic, in motion and labeled."""

import hashlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_larp import data
from keras_larp.data.sources.atari_emulator import AtariEmulator, game_names

pytestmark = pytest.mark.once

pytest.importorskip("ale_py")

GAMES = ["pong", "breakout"]


def gameplay(num_clips=4, num_frames=4, image_size=24, games=GAMES, **options):
    return data.AtariGameplay(
        num_clips, num_frames, image_size, games, **options
    )


def render_all(source):
    return np.stack([source.render(i) for i in range(len(source))])


@settings(max_examples=15, deadline=None)
@given(
    num_frames=st.integers(1, 5),
    image_size=st.integers(8, 40),
    frame_skip=st.integers(1, 8),
    split=st.sampled_from(["train", "test"]),
    seed=st.integers(0, 2),
)
def test_clips_of_any_size_are_in_unit_range(
    num_frames, image_size, frame_skip, split, seed
):
    source = gameplay(
        2,
        num_frames,
        image_size,
        frame_skip=frame_skip,
        split=split,
        seed=seed,
    )
    video = source.render(1)
    assert video.shape == (num_frames, image_size, image_size, 3)
    assert video.dtype == np.float32
    assert video.min() >= 0.0 and video.max() <= 1.0


def test_clip_does_not_depend_on_clips_played_before():
    first = render_all(gameplay())
    other = pickle.loads(pickle.dumps(gameplay(9)))
    for index in (3, 1, 0, 2):
        np.testing.assert_array_equal(other.render(index), first[index])


def test_clip_is_the_same_in_another_process():
    code = (
        "import hashlib\nfrom keras_larp import data\n"
        f"source = data.AtariGameplay(4, 4, 24, {GAMES})\n"
        "video = source.render(3)\n"
        "print(hashlib.sha256(video.tobytes()).hexdigest())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert run.stderr == ""  # The emulator prints a banner by default.
    video = gameplay().render(3)
    assert run.stdout.strip() == hashlib.sha256(video.tobytes()).hexdigest()


def test_clips_differ_between_splits_seeds_and_indices():
    clips = [
        clip.tobytes()
        for options in (
            {"split": "train"},
            {"split": "test"},
            {"split": "train", "seed": 1},
            {"split": "test", "seed": 1},
        )
        for clip in render_all(gameplay(20, **options))
    ]
    assert len(set(clips)) == len(clips) == 80


def test_each_clip_has_motion():
    # Without redrawing, half of the clips of crazy_climber have no motion.
    for game in ("crazy_climber", "pong"):
        for video in render_all(gameplay(12, 8, 64, [game])):
            assert (video != video[:1]).any()


def test_frame_skip_selects_from_all_frames():
    # Actions do not depend on the skip, and the first draw has motion.
    every = gameplay(1, 13, 64, ["pong"], frame_skip=1).render(0)
    third = gameplay(1, 5, 64, ["pong"], frame_skip=3).render(0)
    np.testing.assert_array_equal(third, every[::3])


def test_labels_index_the_games():
    source = gameplay(5, 1)
    assert source.class_names == ("pong", "breakout")
    assert [source.label(i) for i in range(5)] == [0, 1, 0, 1, 0]
    # Breakout's background is black, Pong's is brown.
    middles = [clip[0, 14:18, 8:12].mean((0, 1)) for clip in render_all(source)]
    for middle in middles[::2]:
        np.testing.assert_allclose(middle, [0.565, 0.282, 0.067], atol=0.01)
    for middle in middles[1::2]:
        np.testing.assert_allclose(middle, 0.0, atol=0.05)


def test_all_games_are_classes_in_alphabetical_order():
    names = gameplay(games=None).class_names
    assert len(names) == 104 and list(names) == sorted(names)
    assert "warlords" not in names  # needs two players


class BlinkingConsole:
    """Draws an object in every other frame only."""

    def restoreState(self, frame_index):
        self.frame_index = frame_index

    def cloneState(self):
        return self.frame_index

    def act(self, action):
        self.frame_index += 1

    def game_over(self):
        return False

    def getScreenRGB(self):
        return np.full((2, 2, 3), 200 * (self.frame_index % 2), "uint8")


@pytest.mark.parametrize("frame_skip", [1, 2, 3, 8])
def test_blinking_objects_are_in_every_frame(monkeypatch, frame_skip):
    emulator = AtariEmulator("pong")
    monkeypatch.setattr(emulator, "_console", BlinkingConsole())
    monkeypatch.setattr(emulator, "_start", 0)
    generator = np.random.default_rng(0)
    frames, is_cut = emulator.record((0,), generator, 5, frame_skip)
    assert frames.shape == (5, 2, 2, 3) and not is_cut
    np.testing.assert_array_equal(frames, 200)


@pytest.mark.parametrize(
    "options",
    [
        {"num_clips": 0},
        {"num_frames": 0},
        {"image_size": 7},
        {"frame_skip": 0},
        {"frame_skip": 9},
        {"split": "val"},
        {"seed": -1},
        {"games": []},
        {"games": "pong"},
        {"games": ["pong", "pong"]},
    ],
)
def test_invalid_options_are_refused(options):
    with pytest.raises(ValueError, match="Received"):
        gameplay(**options)


@given(st.text(max_size=12))
def test_unknown_games_are_refused(name):
    if name not in gameplay(games=None).class_names:
        with pytest.raises(ValueError, match="no game"):
            gameplay(games=[name])


def test_similar_game_names_are_suggested():
    with pytest.raises(ValueError, match="Did you mean.*space_invaders"):
        gameplay(games=["pong", "SpaceInvaders"])


def test_missing_emulator_names_the_extra(monkeypatch):
    game_names.cache_clear()
    monkeypatch.setitem(sys.modules, "ale_py", None)
    with pytest.raises(ImportError, match=r"`ale-py`.*keras-larp\[atari\]"):
        gameplay()


def test_index_out_of_range():
    with pytest.raises(IndexError, match="4 clips"):
        gameplay().render(4)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_pipelines_load_the_clips(num_workers):
    source = gameplay()
    dataset = data.video_dataset(
        source,
        batch_size=4,
        shuffle=False,
        repeat=False,
        num_workers=num_workers,
    )
    ((video, labels),) = dataset
    assert labels.tolist() == [0, 1, 0, 1]
    np.testing.assert_array_equal(video, render_all(source))


def test_horizontal_flip_is_refused():
    with pytest.raises(ValueError, match="AtariGameplay"):
        data.video_dataset(gameplay(), horizontal_flip=True)


def test_names_are_sorted_and_include_the_game():
    source = gameplay(11, split="test")
    names = [source.name(i) for i in range(11)]
    assert names == sorted(names)
    assert names[10].endswith("000010_pong") and "split=test" in names[10]
