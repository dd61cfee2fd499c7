"""Which videos and which pipeline the flags of data stand for."""

import copy

import numpy as np
import pytest
from number_clips import ArraySource

from keras_larp import data
from keras_larp.cli import data_flags, train_tokenizer

pytestmark = pytest.mark.once


def parsed(*arguments):
    values = copy.deepcopy(train_tokenizer.FLAGS)
    values(["", *arguments])
    return values


def make_source(*arguments, split="train"):
    return data_flags.make_source(parsed(*arguments), split, 4, 16)


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.fixture
def ucf101(tmp_path):
    names = [f"Archery/v_Archery_g{group}_c01.avi" for group in ("01", "08")]
    return touch(tmp_path / "UCF-101", *names)


@pytest.fixture
def kinetics(tmp_path):
    """A list of a video of each class, of which only that of 7 is there."""
    folder = touch(tmp_path / "k600", "train/7.mp4")
    lines = [f"train/{i}.mp4,action {i},{i}" for i in range(600)]
    (folder / "k600.csv").write_text("\n".join(["path,action,label", *lines]))
    return folder / "k600.csv"


def test_formats_are_mixed(ucf101, kinetics, capsys):
    flag = f"--data=ucf101:{ucf101},kinetics600:{kinetics}"
    source = make_source(flag, "--on_error=skip")
    assert [file.label for file in source] == [2, 101 + 7]
    assert len(source.class_names) == 701
    said = capsys.readouterr().out
    assert "k600.csv names 599 videos that are not there" in said
    assert f"{ucf101}: 1 videos, classes 0 to 100\n" in said
    assert f"{kinetics}: 1 videos, classes 101 to 700\n" in said
    assert data_flags.data_format(parsed(flag)) == "ucf101,kinetics600"


def test_missing_videos_are_an_error_that_names_the_flag(kinetics):
    with pytest.raises(FileNotFoundError, match="0.mp4.*--on_error=skip"):
        make_source(f"--data=kinetics600:{kinetics}")


def test_missing_videos_of_ucf101_are_treated_alike(ucf101, capsys):
    lines = "Archery/v_Archery_g08_c01.avi 1\nYoYo/v_YoYo_g08_c01.avi 101\n"
    (ucf101 / "trainlist01.txt").write_text(lines)
    with pytest.raises(FileNotFoundError, match="YoYo.*--on_error=skip"):
        make_source(f"--data={ucf101}")
    assert len(make_source(f"--data={ucf101}", "--on_error=skip")) == 1
    assert "names 1 videos that are not there" in capsys.readouterr().out


def test_plain_parts_of_a_mixture_are_looked_at(ucf101, tmp_path):
    own = touch(tmp_path / "own", "a.mp4")
    values = parsed(f"--data={own},{ucf101}")
    assert data_flags.data_format(values) == "folder,ucf101"
    source = make_source(f"--data={own},{ucf101}")
    assert [file.label for file in source] == [-1, 2]


def test_a_part_that_is_named_twice_is_seen_twice_in_training(tmp_path):
    first = touch(tmp_path / "first", "cats/1.mp4")
    second = touch(tmp_path / "second", "dogs/1.mp4")
    flag = f"--data={first},{second},{first}"
    assert [file.label for file in make_source(flag)] == [0, 0, 1]
    test = make_source(flag, split="test")
    assert [file.label for file in test] == [0, 1]


def test_classes_that_several_parts_name_are_told(tmp_path, capsys):
    first = touch(tmp_path / "first", "cats/1.mp4", "dogs/1.mp4")
    second = touch(tmp_path / "second", "dogs/2.mp4")
    source = make_source(f"--data={first},{second}")
    assert [file.label for file in source] == [0, 1, 2]
    assert "a class of its own in each: dogs" in capsys.readouterr().out


def test_test_data_of_ucf101_are_its_test_split(ucf101, tmp_path):
    own = touch(tmp_path / "own", "a.mp4")
    flags = f"--data={own}", f"--test_data=ucf101:{ucf101}"
    (file,) = make_source(*flags, split="test")
    assert file.path.endswith("v_Archery_g01_c01.avi")


def test_data_without_a_test_split_are_told(ucf101, kinetics, capsys):
    flags = f"--data=ucf101:{ucf101},kinetics600:{kinetics}", "--on_error=skip"
    make_source(*flags)
    assert "no test split" not in capsys.readouterr().out
    make_source(*flags, split="test")
    said = capsys.readouterr().out
    assert f"kinetics600:{kinetics} has no test split" in said
    assert f"ucf101:{ucf101} has no test split" not in said


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--data=kinetics:a.csv"], "ucf101, kinetics600, .* 'kinetics'"),
        (["--data=folder:a", "--data_format=atari"], "computed.*folder:a"),
        (["--data_format=csv"], "csv needs --data"),
    ],
)
def test_impossible_data(flags, message):
    with pytest.raises(ValueError, match=message):
        make_source(*flags)


def test_classes_to_test_a_classifier_on_must_be_those_of_training(tmp_path):
    train = touch(tmp_path / "train", "cats/1.mp4", "dogs/1.mp4")
    test = touch(tmp_path / "test", "dogs/2.mp4")
    values = parsed(f"--data={train}", f"--test_data={test}")
    with pytest.raises(ValueError, match=r"1 classes in place of 2.*'cats'"):
        data_flags.make_classified_sources(values, 4, 16)


def noise(num_frames=12):
    """A video whose frames, of noise, have their number in the red."""
    video = np.random.default_rng(0).integers(0, 255, (num_frames, 20, 30, 3))
    video[..., 0] = np.arange(num_frames)[:, None, None]
    return ArraySource([video.astype("uint8")])


def batches(*arguments, source=None, training=True, batch_size=1):
    dataset = data_flags.make_dataset(
        parsed(*arguments),
        source or noise(),
        4,
        16,
        batch_size,
        training,
    )
    return iter(dataset)


def frames_of(video):
    return np.round(video[..., 0, 0, 0] * 255).astype(int).tolist()


def test_uniform_frames_and_windows_are_trained_on():
    video, _ = next(batches("--frame_sampling=uniform"))
    assert frames_of(video) == [[0, 3, 6, 9]]
    video, _ = next(batches("--frame_sampling=windows", batch_size=3))
    found = sorted(frames_of(video))
    assert found == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_starts_are_random_by_default():
    clips = batches()
    starts = {frames_of(next(clips)[0])[0][0] for _ in range(20)}
    assert len(starts) > 3


@pytest.mark.parametrize("flag", ["--crop_scale=0.2,0.3", "--rand_augment=0.5"])
def test_crops_and_augmentation_are_drawn_in_training_alone(flag):
    uniform = "--frame_sampling=uniform"  # The frames are no draw.
    plain, _ = next(batches(uniform))
    clips = batches(uniform, flag)
    first, second = next(clips)[0], next(clips)[0]
    assert np.abs(first - plain).mean() > 0.01
    assert np.abs(first - second).mean() > 0.01
    tested, _ = next(batches(flag, training=False))
    expected, _ = next(batches(training=False))
    np.testing.assert_array_equal(tested, expected)


def test_the_faster_resizing_is_for_training_alone(tmp_path):
    clip = data.MovingShapes(1, 4, 64).render(0)
    data.write_video(tmp_path / "clip.mp4", clip)
    source = data.VideoFolder(tmp_path)
    fast, _ = next(batches("--resize=ffmpeg", source=source))
    exact, _ = next(batches(source=source))
    tested, _ = next(batches("--resize=ffmpeg", source=source, training=False))
    assert 0 < np.abs(fast - exact).mean() < 0.03
    np.testing.assert_array_equal(tested, exact)


def test_random_crops_and_the_faster_resizing_exclude_each_other():
    with pytest.raises(ValueError, match="resize='ffmpeg' with crop_scale"):
        batches("--resize=ffmpeg", "--crop_scale=0.5,1")
