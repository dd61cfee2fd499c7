"""Sources and datasets that the data flags define."""

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


def labels(source):
    return [source.label(i) for i in range(len(source))]


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
    """A CSV file with one video per class; only that of class 7 exists."""
    folder = touch(tmp_path / "k600", "train/7.mp4")
    lines = [f"train/{i}.mp4,action {i},{i}" for i in range(600)]
    (folder / "k600.csv").write_text("\n".join(["path,action,label", *lines]))
    return folder / "k600.csv"


def test_formats_can_be_combined(ucf101, kinetics, capsys):
    flag = f"--data=ucf101:{ucf101},kinetics600:{kinetics}"
    source = make_source(flag, "--on_error=skip")
    assert labels(source) == [2, 101 + 7]
    assert len(source.class_names) == 701
    printed = capsys.readouterr().out
    assert "k600.csv: 1 video, labels are class ids, 600 classes" in printed
    assert "left out 599 (missing): train/0.mp4, train/1.mp4" in printed
    assert f"{ucf101}: 1 videos, classes 0 to 100\n" in printed
    assert f"{kinetics}: 1 videos, classes 101 to 700\n" in printed
    assert data_flags.data_format(parsed(flag)) == "ucf101,kinetics600"


def test_error_for_missing_videos_names_the_flag(kinetics):
    with pytest.raises(FileNotFoundError, match="0.mp4.*--on_error=skip"):
        make_source(f"--data=kinetics600:{kinetics}")


def test_missing_videos_of_ucf101(ucf101, capsys):
    lines = "Archery/v_Archery_g08_c01.avi 1\nYoYo/v_YoYo_g08_c01.avi 101\n"
    (ucf101 / "trainlist01.txt").write_text(lines)
    with pytest.raises(FileNotFoundError, match="YoYo.*--on_error=skip"):
        make_source(f"--data={ucf101}")
    assert len(make_source(f"--data={ucf101}", "--on_error=skip")) == 1
    assert "left out 1 (missing): YoYo/v_YoYo_g08" in capsys.readouterr().out


def test_formats_of_several_datasets_are_inferred(ucf101, tmp_path):
    own = touch(tmp_path / "own", "a.mp4")
    values = parsed(f"--data={own},{ucf101}")
    assert data_flags.data_format(values) == "folder,ucf101"
    source = make_source(f"--data={own},{ucf101}")
    assert labels(source) == [-1, 2]


def test_datasets_listed_twice_are_sampled_twice_in_training(tmp_path):
    first = touch(tmp_path / "first", "cats/1.mp4")
    second = touch(tmp_path / "second", "dogs/1.mp4")
    flag = f"--data={first},{second},{first}"
    assert labels(make_source(flag)) == [0, 0, 1]
    test = make_source(flag, split="test")
    assert labels(test) == [0, 1]


def test_classes_in_several_datasets_are_reported(tmp_path, capsys):
    first = touch(tmp_path / "first", "cats/1.mp4", "dogs/1.mp4")
    second = touch(tmp_path / "second", "dogs/2.mp4")
    source = make_source(f"--data={first},{second}")
    assert labels(source) == [0, 1, 2]
    assert "remain separate classes: dogs" in capsys.readouterr().out


def test_test_data_of_ucf101_is_its_test_split(ucf101, tmp_path):
    own = touch(tmp_path / "own", "a.mp4")
    flags = f"--data={own}", f"--test_data=ucf101:{ucf101}"
    source = make_source(*flags, split="test")
    assert len(source) == 1
    assert source.path(0).endswith("v_Archery_g01_c01.avi")


def test_missing_test_split_is_reported(ucf101, kinetics, capsys):
    flags = f"--data=ucf101:{ucf101},kinetics600:{kinetics}", "--on_error=skip"
    make_source(*flags)
    assert "no test split" not in capsys.readouterr().out
    make_source(*flags, split="test")
    printed = capsys.readouterr().out
    assert f"kinetics600:{kinetics} has no test split" in printed
    assert f"ucf101:{ucf101} has no test split" not in printed


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--data=kinetics:a.csv"], "ucf101, kinetics600, .* 'kinetics'"),
        (["--data=folder:a", "--data_format=atari"], "computed.*folder:a"),
        (["--data_format=csv"], "csv requires --data"),
        (["--games=pong"], "--data_format=atari. Received: --games=pong"),
        (["--data_format=atari", "--games=pnog"], "Did you mean 'pong'"),
    ],
)
def test_invalid_data_flags(flags, message):
    with pytest.raises(ValueError, match=message):
        make_source(*flags)


def test_games_select_the_classes_of_atari():
    flags = "--data_format=atari", "--games=pong,boxing"
    assert make_source(*flags).class_names == ("pong", "boxing")


def test_classifier_needs_the_same_classes_for_testing(tmp_path):
    train = touch(tmp_path / "train", "cats/1.mp4", "dogs/1.mp4")
    test = touch(tmp_path / "test", "dogs/2.mp4")
    values = parsed(f"--data={train}", f"--test_data={test}")
    with pytest.raises(ValueError, match=r"1 classes instead of 2.*'cats'"):
        data_flags.make_classified_sources(values, 4, 16)


def noise(num_frames=12):
    """A video of noise whose red channel is the frame index."""
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


def test_frame_sampling_of_training_clips():
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
def test_crops_and_augmentation_are_only_used_in_training(flag):
    uniform = "--frame_sampling=uniform"  # deterministic frames
    plain, _ = next(batches(uniform))
    clips = batches(uniform, flag)
    first, second = next(clips)[0], next(clips)[0]
    assert np.abs(first - plain).mean() > 0.01
    assert np.abs(first - second).mean() > 0.01
    tested, _ = next(batches(flag, training=False))
    expected, _ = next(batches(training=False))
    np.testing.assert_array_equal(tested, expected)


def test_ffmpeg_resizing_is_only_used_in_training(tmp_path):
    clip = data.MovingShapes(1, 4, 64).render(0)
    data.write_video(tmp_path / "clip.mp4", clip)
    source = data.VideoFolder(tmp_path)
    fast, _ = next(batches("--resize=ffmpeg", source=source))
    exact, _ = next(batches(source=source))
    tested, _ = next(batches("--resize=ffmpeg", source=source, training=False))
    assert 0 < np.abs(fast - exact).mean() < 0.03
    np.testing.assert_array_equal(tested, exact)


def test_random_crops_are_incompatible_with_ffmpeg_resizing():
    with pytest.raises(ValueError, match="resize='ffmpeg' with crop_scale"):
        batches("--resize=ffmpeg", "--crop_scale=0.5,1")


def test_test_videos_have_the_class_ids_of_training_videos(tmp_path, capsys):
    train = touch(tmp_path / "train", "cats/1.mp4", "dogs/1.mp4")
    test = touch(tmp_path / "test", "dogs/2.mp4")
    flags = f"--data={train}", f"--test_data={test}"
    source = make_source(*flags, split="test")
    assert labels(source) == [1]
    assert source.class_names == ("cats", "dogs")
    (test / "list.csv").write_text("path,label\ndogs/2.mp4,dogs\n")
    flags = f"--data={train}", f"--test_data={test}/list.csv"
    assert labels(make_source(*flags, split="test")) == [1]
    printed = capsys.readouterr().out
    assert "other classes" not in printed
    assert printed.count(f"{test}: 1 video, 2 classes") == 1


def test_other_classes_of_test_videos_are_reported(tmp_path, capsys):
    train = touch(tmp_path / "train", "cats/1.mp4", "dogs/1.mp4")
    test = touch(tmp_path / "test", "cows/2.mp4", "dogs/2.mp4")
    flags = f"--data={train}", f"--test_data={test}"
    assert labels(make_source(*flags, split="test")) == [0, 1]
    printed = capsys.readouterr().out
    assert "--test_data has other classes than --data" in printed


@pytest.mark.parametrize("format_", ["folder", "csv"])
def test_videos_and_files_left_out_are_printed_once(tmp_path, capsys, format_):
    path = touch(tmp_path / "own", "cats/1.mp4", "cats/._1.mp4")
    if format_ == "csv":
        path = path / "list.CSV"
        path.write_text("path,label\ncats/1.mp4,0\nno.mp4,0\n")
    flags = f"--data={path}", "--on_error=skip"
    make_source(*flags)
    make_source(*flags)
    printed = capsys.readouterr().out
    assert printed.count("left out 1") == printed.count(f"{path}: 1 video") == 1
    assert data_flags.data_format(parsed(*flags)) == format_


def test_inference_of_ucf101_ignores_case_and_system_files(tmp_path):
    name = "archery/V_Archery_g01_c01.AVI"
    touch(tmp_path, name, "__MACOSX/v_1.avi", ".old/v_1.avi")
    assert data_flags.data_format(parsed(f"--data={tmp_path}")) == "ucf101"


def test_geometry_of_files(tmp_path):
    touch(tmp_path, "a.mp4")
    assert make_source(f"--data={tmp_path}").geometry == "display"
    source = make_source(f"--data={tmp_path}", "--geometry=stored")
    assert source.geometry == "stored"
