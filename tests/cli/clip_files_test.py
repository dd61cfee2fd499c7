"""`generate`, `predict-frames` and `inspect-tokens`: runs that are killed or
shared out, choices of files, and videos without classes."""

import pathlib

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
)

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def presets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("presets")
    tokenizer = tiny_tokenizer()
    kernel = tokenizer.decoder.pixels.kernel  # Zero: clips would be grey.
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
def first_samples(monkeypatch):
    """Numbers of the first samples of each batch that was generated."""
    found, whole = [], models.ARVideoGenerator.generate

    def watched(self, *args, sample_offset=0, **options):
        found.append(sample_offset)
        return whole(self, *args, sample_offset=sample_offset, **options)

    monkeypatch.setattr(models.ARVideoGenerator, "generate", watched)
    return found


def test_a_killed_run_makes_only_what_is_missing(
    presets, tmp_path, monkeypatch, first_samples
):
    generated(presets, tmp_path / "whole")
    assert first_samples == [0, 2, 4]
    write_video = data.write_video

    def dies(path, *args):
        if pathlib.Path(path).name == "class_001_001.mp4":
            raise KeyboardInterrupt
        write_video(path, *args)

    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(data, "write_video", dies)
        generated(presets, tmp_path / "killed", "--nogrid")
    assert len(contents(tmp_path / "killed")) == 3
    first_samples.clear()
    generated(presets, tmp_path / "killed", "--nogrid")
    assert first_samples == [2, 4]
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    first_samples.clear()
    generated(presets, tmp_path / "killed")
    # Whoever wants a grid after all gets it.
    assert first_samples == [0, 2, 4]
    assert written(tmp_path / "killed") == written(tmp_path / "whole")


def test_shards_make_the_clips_of_one_run(presets, tmp_path):
    generated(presets, tmp_path / "whole")
    counts = []
    for shard in ("1/2", "0/2"):
        generated(presets, tmp_path / "shards", f"--shard={shard}")
        counts.append(len(contents(tmp_path / "shards")))
    assert counts == [4, 6]
    assert contents(tmp_path / "shards") == contents(tmp_path / "whole")
    assert "grid.gif" not in written(tmp_path / "shards")


def test_clips_of_other_settings_are_not_mixed(presets, tmp_path):
    generated(presets, tmp_path, "--nogrid")
    with pytest.raises(ValueError, match="seed is 0 there and 1 in this run"):
        generated(presets, tmp_path, "--nogrid", "--seed=1")
    with pytest.raises(ValueError, match="generator_sha256"):
        generated(presets, tmp_path, "--nogrid", "--quantize=int8")


def test_a_grid_alone_needs_few_clips(
    presets, tmp_path, monkeypatch, first_samples
):
    monkeypatch.setattr(clip_files, "GRID_CLIPS", 4)
    generated(presets, tmp_path, "--nofiles")
    assert first_samples == [0, 2]
    assert written(tmp_path) == ["grid.gif", "settings.json"]
    with pytest.raises(ValueError, match="Nothing would be written"):
        generated(presets, tmp_path, "--nofiles", "--shard=0/2")


def test_shards_continue_the_clips_of_one_run(presets, tmp_path, first_samples):
    def continued(output, *more):
        run_here(
            predict_frames,
            f"--tokenizer={presets}/tokenizer",
            f"--generator={presets}/frames",
            f"--output={output}",
            *("--num_clips=3", "--num_samples=2", "--batch_size=2", *more),
        )

    continued(tmp_path / "whole")
    continued(tmp_path / "shards", "--shard=1/2")
    names = written(tmp_path / "shards")
    assert names == ["clip_002_000.mp4", "clip_002_001.mp4", "settings.json"]
    continued(tmp_path / "shards", "--shard=0/2")
    assert first_samples == [0, 4, 4, 0]
    assert contents(tmp_path / "shards") == contents(tmp_path / "whole")


def test_models_of_videos_without_classes_generate_no_class(
    presets, tmp_path, monkeypatch
):
    generated(presets, tmp_path / "a", generator="no_classes")
    files = sorted(contents(tmp_path / "a"))
    assert files == ["no_class_000.mp4", "no_class_001.mp4"]
    rows, video_grid = [], data.video_grid

    def watched(*args, row_names):
        rows.extend(row_names)
        return video_grid(*args, row_names=row_names)

    monkeypatch.setattr(data, "video_grid", watched)
    generated(presets, tmp_path / "b", "--classes=dog,-1", generator="named")
    assert rows == ["dog", "no class"]


@pytest.mark.parametrize("kind", ["folder", "csv", "csv with ids"])
def test_tokens_of_videos_without_names_of_classes_are_shown(
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
        f"--output={tmp_path}/pictures",
        *("--num_clips=2", "--counts=3"),
    )
    assert "reconstructions.gif" in written(tmp_path / "pictures")
