"""`keras-larp evaluate`, run with tiny models."""

import copy
import csv
import hashlib
import importlib
import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from tiny_models import tiny_generator, tiny_tokenizer, write_torchscript_i3d

from keras_larp import data, models
from keras_larp.cli import data_flags
from keras_larp.cli import main as command_line
from keras_larp.cli.command import UsageError
from keras_larp.evaluation import clip_classifier

pytestmark = pytest.mark.once


def run(*arguments):
    """Runs a command in this process, with a copy of its flags."""
    name = "_".join(arguments[:2]).replace("-", "_")
    module = importlib.import_module(f"keras_larp.cli.{name}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FLAGS", copy.deepcopy(module.FLAGS))
        try:
            command_line.run(list(arguments))
        except SystemExit as end:
            assert not end.code


def reported(folder):
    """Returns the results and the settings."""
    return json.loads((folder / "results.json").read_text()).values()


def start(*arguments):
    command = [sys.executable, "-m", "keras_larp.cli.main", *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def presets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("presets")
    tiny_tokenizer().save_to_preset(folder / "tokenizer")
    tiny_generator(num_classes=12).save_to_preset(folder / "generator")
    tiny_generator(
        conditioning="frames", num_condition_frames=2
    ).save_to_preset(folder / "frames")
    return folder


def test_shards_with_a_killed_process_equal_a_single_run(presets, tmp_path):
    command = [
        *("evaluate", "generation", "--num_clips=32", "--batch_size=2"),
        f"--tokenizer={presets / 'tokenizer'}",
        f"--generator={presets / 'generator'}",
        "--save_videos",
    ]
    single, sharded = tmp_path / "single", tmp_path / "sharded"
    processes = [
        start(*command, f"--output={sharded}", f"--shard={i}/3")
        for i in range(3)
    ]
    # Kill one process while it writes videos.
    videos = sharded / "shard_0001_of_0003.partial" / "videos"
    while not list(videos.glob("*.mp4")):
        assert processes[1].poll() is None, "exited too early"
        time.sleep(0.005)
    processes[1].send_signal(signal.SIGKILL)
    assert [process.wait() for process in processes] == [0, -9, 0]
    with pytest.raises(FileNotFoundError, match="0001_of_0003 .started, not"):
        command_line.run(["evaluate", "merge", str(sharded)])

    run(*command, f"--output={sharded}", "--shard=1/3")
    run("evaluate", "merge", str(sharded), f"--report={tmp_path / 'all'}")
    run(*command, f"--output={single}", f"--report={tmp_path / 'all'}")
    pair = [
        json.loads((folder / "results.json").read_text())
        for folder in (single, sharded)
    ]
    assert pair[0] == pair[1]
    assert pair[0]["results"]["random_frechet_distance"] > 0
    for folder in (single, sharded):
        names = [path.name for path in folder.glob("shard_*/videos/*.mp4")]
        assert sorted(names) == [f"{i:06d}.mp4" for i in range(32)]
    # Identical evaluations are reported once.
    with (tmp_path / "all.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (
        row["kind"] == "generation" and row["generate_options.guidance_scale"]
    )
    assert "## generation" in (tmp_path / "all.md").read_text()


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Identical videos for training and testing."""
    folder = tmp_path_factory.mktemp("videos")
    generator = np.random.default_rng(0)
    for i, video in enumerate(generator.random((3, 9, 24, 24, 3))):
        for part in ("train", "test"):
            data.write_video(folder / part / f"{i}.mp4", video)
    return folder


def folder_flags(videos, presets):
    return [
        *("--data_format=folder", "--features=random", "--batch_size=2"),
        f"--data={videos / 'train'}",
        f"--tokenizer={presets / 'tokenizer'}",
    ]


def test_video_folders_are_evaluated(videos, presets, tmp_path, capsys):
    common = folder_flags(videos, presets)
    common += [f"--test_data={videos / 'test'}"]
    output = f"--output={tmp_path / 'reconstruction'}"
    run("evaluate", "reconstruction", *common, output)
    printed = capsys.readouterr().out
    assert "3 of 3 videos are training videos: 0.mp4, 1.mp4" in printed
    assert "PSNR " in printed and "num_real_clips 3" in printed
    output = f"--output={tmp_path / 'frames'}"
    generator = f"--generator={presets / 'frames'}"
    run("evaluate", "frame-prediction", *common, output, generator)
    results, settings = reported(tmp_path / "frames")
    assert results["num_real_clips"] == 6
    assert settings["compare_size"] == 64
    assert settings["overlap"].startswith("3 of 3")
    assert settings["split"] == "all of --test_data"


def test_missing_test_split_is_reported(videos, presets, tmp_path):
    run(
        *("evaluate", "frame-prediction", f"--output={tmp_path}"),
        *folder_flags(videos, presets),
        f"--generator={presets / 'frames'}",
    )
    _, settings = reported(tmp_path)
    assert settings["split"] == "all of --data (no test split)"
    assert settings["overlap"].startswith("not known")


def test_shards_with_different_paths_can_be_merged(videos, presets, tmp_path):
    output = tmp_path / "output"
    for i in (0, 1):
        shutil.copytree(videos, tmp_path / f"{i}" / "videos")
        shutil.copytree(presets, tmp_path / f"{i}" / "presets")
        run(
            *("evaluate", "reconstruction", f"--shard={i}/2"),
            *folder_flags(
                *(tmp_path / f"{i}" / x for x in ("videos", "presets"))
            ),
            f"--output={output}",
        )
    run("evaluate", "merge", str(output))
    results, settings = reported(output)
    assert results["num_real_clips"] == 3
    assert settings["paths"]["data"] == [str(tmp_path / "0/videos/train")]
    assert (
        str(tmp_path / "0/videos/train") in (output / "report.md").read_text()
    )


def test_avi_files_of_ucf101_are_evaluated(presets, tmp_path, shared_dir):
    run(
        *("evaluate", "reconstruction", f"--output={tmp_path}"),
        f"--data={shared_dir / 'data/UCF-101'}",
        f"--tokenizer={presets / 'tokenizer'}",
    )
    results, settings = reported(tmp_path)
    assert settings["clips"]["num_videos"] == 2
    assert settings["split"] == "test"
    # Both videos belong to the test split.
    assert settings["overlap"] == "not known: there are no training videos"
    assert 5 < results["PSNR"] < 20


def test_real_clips_can_be_test_videos(presets, tmp_path, shared_dir):
    (first, second) = sorted(shared_dir.glob("data/UCF-101/*/*.avi"))
    for file, name in ((first, first.name), (second, "v_Archery_g08_c01.avi")):
        path = tmp_path / "UCF-101" / name.split("_")[1] / name
        path.parent.mkdir(parents=True)
        path.symlink_to(file)
    run(
        *("evaluate", "generation", f"--output={tmp_path / 'output'}"),
        f"--data={tmp_path / 'UCF-101'}",
        f"--tokenizer={presets / 'tokenizer'}",
        f"--generator={presets / 'generator'}",
        *("--real_split=test", "--num_clips=3", "--num_real_clips=4"),
    )
    results, settings = reported(tmp_path / "output")
    assert settings["real_split"] == "test" and settings["overlap"] == "none"
    assert results["num_generated_clips"] == 3
    assert results["num_real_clips"] == 4
    assert settings["class_clips"]["num_clips"] == 3
    names = [
        settings[kind]["names_sha256"] for kind in ("class_clips", "real_clips")
    ]
    assert names[0] != names[1]


def test_generation_uses_up_to_10_000_clips_by_default(presets, tmp_path):
    flags = importlib.import_module("keras_larp.cli.evaluate_generation").FLAGS
    assert flags["num_clips"].default == 10_000
    command = [
        *("evaluate", "generation", "--num_computed_clips=5"),
        f"--tokenizer={presets / 'tokenizer'}",
        f"--generator={presets / 'generator'}",
    ]
    run(*command, f"--output={tmp_path / 'default'}")
    results, _ = reported(tmp_path / "default")
    assert results["num_generated_clips"] == results["num_real_clips"] == 5
    with pytest.raises(ValueError, match="5 clips of 4 frames.*num_clips=6"):
        run(*command, f"--output={tmp_path / 'more'}", "--num_clips=6")


def test_fvd_and_lpips_are_reported_if_weights_are_given(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    file = write_torchscript_i3d(tmp_path / "i3d_torchscript.pt")
    tiny_tokenizer(num_frames=10).save_to_preset(tmp_path / "tokenizer")
    names = []
    monkeypatch.setattr(
        models.LPIPS,
        "from_preset",
        lambda name: names.append(name) or models.LPIPS(seed=0),
    )
    checksum = hashlib.sha256(file.read_bytes()).hexdigest()
    run(
        *("evaluate", "reconstruction", f"--output={tmp_path / 'output'}"),
        f"--tokenizer={tmp_path / 'tokenizer'}",
        *(f"--i3d={file}", f"--i3d_sha256={checksum}", "--num_clips=4"),
        *("--lpips=lpips_vgg16", "--batch_size=2"),
    )
    results, settings = reported(tmp_path / "output")
    assert names == ["lpips_vgg16"]
    assert results["rFVD"] > 0 and results["LPIPS"] > 0
    assert settings["extractors"]["rFVD"] == f"TorchScriptI3D sha256:{checksum}"


@pytest.mark.parametrize(
    "flags, error, message",
    [
        (["--i3d=i3d_torchscript.pt"], FileNotFoundError, "dropbox.com"),
        (["--i3d=https://a/b.pt"], ValueError, "--i3d_sha256"),
        (["--shard=8"], ValueError, "such as 0/8. Received: '8'"),
        (
            ["--shard=0/9", "--num_clips=16", "--batch_size=2"],
            ValueError,
            "There are 8 batches.*Received: 9 shards",
        ),
    ],
)
@pytest.mark.parametrize(
    "kind", ["reconstruction", "generation", "frame-prediction"]
)
def test_invalid_flags_fail_before_models_are_loaded(
    kind, flags, error, message
):
    models = ["--tokenizer=nowhere"]
    if kind != "reconstruction":
        models += ["--generator=nowhere"]
    with pytest.raises(error, match=message):
        run("evaluate", kind, *models, *flags)


def test_incompatible_flags(presets, tmp_path):
    command = [
        *("evaluate", "reconstruction", f"--output={tmp_path / 'output'}"),
        f"--tokenizer={presets / 'tokenizer'}",
    ]
    with pytest.raises(ValueError, match="either --i3d or --features"):
        run(*command, "--i3d=i3d.pt", "--features=random")
    with pytest.raises(UsageError, match="Did you mean 'evaluate merge'"):
        command_line.run(["evaluate-merge"])


def test_two_evaluations_are_compared(presets, tmp_path, capsys):
    tiny_tokenizer(seed=1).save_to_preset(tmp_path / "other")
    folders = [str(tmp_path / name) for name in ("first", "second")]
    tokenizers = presets / "tokenizer", tmp_path / "other"
    for folder, tokenizer in zip(folders, tokenizers, strict=True):
        run(
            *("evaluate", "reconstruction", "--num_clips=4", "--save_videos"),
            *(f"--output={folder}", f"--tokenizer={tokenizer}"),
        )
    output = tmp_path / "comparison"
    run("evaluate", "compare", *folders, f"--output={output}")
    printed = capsys.readouterr().out
    assert "| PSNR |" in printed and "4, the same" in printed
    assert "first" in (output / "comparison.md").read_text()
    assert (output / "grid.gif").exists()


def test_comparison_needs_two_folders(tmp_path):
    with pytest.raises(ValueError, match="FIRST SECOND. Received: first=None"):
        run("evaluate", "compare")
    with pytest.raises(UsageError, match="Unexpected argument"):
        run("evaluate", "compare", str(tmp_path))


def test_motion_classifier_is_trained_and_saved(presets, tmp_path, monkeypatch):
    monkeypatch.setattr(clip_classifier, "_EPOCHS", 5)
    few = {"train": 4, "test": 2}
    monkeypatch.setattr(data_flags, "_NUM_CLASS_CLIPS", few)
    run(
        *("evaluate", "generation", "--num_computed_clips=24"),
        f"--tokenizer={presets / 'tokenizer'}",
        f"--generator={presets / 'generator'}",
        *("--motion_fidelity", "--num_clips=4", f"--output={tmp_path}"),
    )
    results, settings = reported(tmp_path)
    assert 0 <= results["motion_class_fidelity"] <= 1
    assert "motion_class_fidelity_of_real_clips" in results
    assert "class_fidelity" not in results
    assert 0 <= settings["motion_classifier_accuracy"] <= 1
    assert (tmp_path / "motion_classifier.weights.h5").exists()
