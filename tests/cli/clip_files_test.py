"""`generate`, `predict-frames` and `inspect-tokens`: interrupted and sharded
runs, file names, and videos without classes."""

import pathlib

import av
import numpy as np
import pytest
from run_command import run_here, written
from tiny_models import tiny_generator, tiny_tokenizer

from keras_larp import data, models
from keras_larp.cli import (
    clip_files,
    generate,
    inspect_tokens,
    predict_frames,
    reconstruct,
)
from keras_larp.utils.locks import lock_folder, lock_path

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def presets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("presets")
    tokenizer = tiny_tokenizer()
    # The kernel is initialized to zero, which decodes to gray clips.
    kernel = tokenizer.decoder.pixels.kernel
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    tokenizer.save_to_preset(folder / "tokenizer")
    for name, options in {
        "classes": {},
        "no_classes": {"num_classes": 1},
        "named": {"class_names": ["cat", "dog", "owl"]},
        "frames": {"conditioning": "frames", "num_condition_frames": 2},
    }.items():
        tiny_generator(**options).save_to_preset(folder / name)
    return folder


def generated(presets, output, *more, generator="classes"):
    """Generates two clips of each class, in batches of two."""
    run_here(
        generate,
        f"--tokenizer={presets}/tokenizer",
        f"--generator={presets}/{generator}",
        f"--output={output}",
        *("--num_samples=2", "--batch_size=2", *more),
    )


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.glob("*.mp4")}


@pytest.fixture
def sample_offsets(monkeypatch):
    """The index of the first sample of each generated batch."""
    offsets, generate = [], models.ARVideoGenerator.generate

    def record(self, *args, sample_offset=0, **options):
        offsets.append(sample_offset)
        return generate(self, *args, sample_offset=sample_offset, **options)

    monkeypatch.setattr(models.ARVideoGenerator, "generate", record)
    return offsets


def test_interrupted_runs_generate_only_missing_clips(
    presets, tmp_path, monkeypatch, sample_offsets
):
    generated(presets, tmp_path / "complete")
    assert sample_offsets == [0, 2, 4]
    write_video = data.write_video

    def interrupt(path, *args):
        if pathlib.Path(path).name == "class_001_001.mp4":
            raise KeyboardInterrupt
        write_video(path, *args)

    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(data, "write_video", interrupt)
        generated(presets, tmp_path / "interrupted", "--nogrid")
    assert len(contents(tmp_path / "interrupted")) == 3
    sample_offsets.clear()
    generated(presets, tmp_path / "interrupted", "--nogrid")
    assert sample_offsets == [2, 4]
    assert contents(tmp_path / "interrupted") == contents(tmp_path / "complete")
    sample_offsets.clear()
    generated(presets, tmp_path / "interrupted")
    # The grid needs all clips, so they are generated again.
    assert sample_offsets == [0, 2, 4]
    assert written(tmp_path / "interrupted") == written(tmp_path / "complete")


def test_shards_equal_a_single_run(presets, tmp_path):
    generated(presets, tmp_path / "complete")
    counts = []
    for shard in ("1/2", "0/2"):
        generated(presets, tmp_path / "shards", f"--shard={shard}")
        counts.append(len(contents(tmp_path / "shards")))
    assert counts == [4, 6]
    assert contents(tmp_path / "shards") == contents(tmp_path / "complete")
    assert "grid.gif" not in written(tmp_path / "shards")


def test_folders_with_other_settings_are_rejected(presets, tmp_path):
    generated(presets, tmp_path, "--nogrid")
    with pytest.raises(ValueError, match="seed: stored 0, requested 1"):
        generated(presets, tmp_path, "--nogrid", "--seed=1")
    with pytest.raises(ValueError, match="generator_sha256"):
        generated(presets, tmp_path, "--nogrid", "--quantize=int8")


def test_grid_without_files_needs_few_clips(
    presets, tmp_path, monkeypatch, sample_offsets
):
    monkeypatch.setattr(clip_files, "GRID_CLIPS", 4)
    generated(presets, tmp_path, "--nofiles")
    assert sample_offsets == [0, 2]
    assert written(tmp_path) == ["grid.gif", "settings.json"]
    with pytest.raises(ValueError, match="nothing to write"):
        generated(presets, tmp_path, "--nofiles", "--shard=0/2")


def test_sharded_continuations_equal_one_run(presets, tmp_path, sample_offsets):
    def continued(output, *more):
        run_here(
            predict_frames,
            f"--tokenizer={presets}/tokenizer",
            f"--generator={presets}/frames",
            f"--output={output}",
            *("--num_clips=3", "--num_samples=2", "--batch_size=2", *more),
        )

    continued(tmp_path / "complete")
    continued(tmp_path / "shards", "--shard=1/2")
    names = written(tmp_path / "shards")
    assert names == ["clip_002_000.mp4", "clip_002_001.mp4", "settings.json"]
    continued(tmp_path / "shards", "--shard=0/2")
    assert sample_offsets == [0, 4, 4, 0]
    assert contents(tmp_path / "shards") == contents(tmp_path / "complete")


def test_generating_without_a_class(presets, tmp_path, monkeypatch):
    generated(presets, tmp_path / "a", generator="no_classes")
    files = sorted(contents(tmp_path / "a"))
    assert files == ["no_class_000.mp4", "no_class_001.mp4"]
    rows, video_grid = [], data.video_grid

    def record(*args, row_names):
        rows.extend(row_names)
        return video_grid(*args, row_names=row_names)

    monkeypatch.setattr(data, "video_grid", record)
    generated(presets, tmp_path / "b", "--classes=dog,-1", generator="named")
    assert rows == ["dog", "no class"]


def test_files_are_named_after_classes(presets, tmp_path):
    generated(presets, tmp_path, "--nogrid", generator="named")
    names = [
        f"{name}_00{i}.mp4" for name in ("cat", "dog", "owl") for i in (0, 1)
    ]
    assert sorted(contents(tmp_path)) == names


def test_file_stems_are_valid_and_unique():
    names = ["Clean and Jerk", "a/b", "A b", "..", "no class", "猫", "x" * 300]
    assert generate.file_stems(names, 7) == {
        -1: "no_class",
        0: "Clean_and_Jerk",
        1: "a_b",
        2: "A_b_002",
        3: "class_003",
        4: "no_class_004",
        5: "猫",
        6: "x" * 80,
    }
    assert generate.file_stems(None, 1) == {-1: "no_class", 0: "class_000"}


def test_unknown_class_ids_are_rejected(presets, tmp_path):
    with pytest.raises(ValueError, match="from -1 to 2. Received: '3'"):
        generated(presets, tmp_path, "--classes=3")


@pytest.mark.parametrize("kind", ["folder", "csv", "csv with ids"])
def test_tokens_of_videos_without_class_names_are_visualized(
    presets, tmp_path, kind
):
    for i in range(2):
        video = np.random.default_rng(i).random((4, 16, 16, 3))
        data.write_video(tmp_path / "videos" / f"{i}.mp4", video)
    path = tmp_path / "videos"
    if kind != "folder":
        label = 2 if "ids" in kind else ""
        lines = ["path,label", f"0.mp4,{label}", "1.mp4,"]
        path = path / "list.csv"
        path.write_text("\n".join(lines) + "\n")
    run_here(
        inspect_tokens,
        f"--tokenizer={presets}/tokenizer",
        f"--generator={presets}/classes",
        f"--data={path}",
        f"--output={tmp_path}/figures",
        *("--num_clips=2", "--kept_tokens=3"),
    )
    assert "reconstructions.gif" in written(tmp_path / "figures")


def test_frame_rate_may_be_fractional(presets, tmp_path):
    generated(presets, tmp_path, "--classes=0", "--fps=29.97", "--nogrid")
    with av.open(next(tmp_path.glob("*.mp4"))) as container:
        rate = container.streams.video[0].average_rate
    assert float(rate) == pytest.approx(29.97)


def test_second_writer_of_a_folder_is_refused(presets, tmp_path):
    with lock_folder(tmp_path):
        with pytest.raises(BlockingIOError, match="is being written by"):
            generated(presets, tmp_path, "--nogrid")
    assert written(tmp_path) == []
    generated(presets, tmp_path, "--nogrid")
    assert ".lock" not in written(tmp_path)


def test_shards_are_written_by_one_process_each(presets, tmp_path):
    with lock_path(tmp_path / "shard_0000_of_0002"):
        with pytest.raises(BlockingIOError, match="shard_0000_of_0002 is"):
            generated(presets, tmp_path, "--shard=0/2")
        generated(presets, tmp_path, "--shard=1/2")
    assert len(contents(tmp_path)) == 4  # Two of three batches.


@pytest.mark.parametrize("command", [inspect_tokens, reconstruct])
def test_second_writer_of_figures_is_refused(presets, tmp_path, command):
    with lock_folder(tmp_path):
        with pytest.raises(BlockingIOError, match="is being written by"):
            run_here(
                command,
                f"--tokenizer={presets}/tokenizer",
                f"--output={tmp_path}",
            )
