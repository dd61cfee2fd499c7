"""`keras-larp evaluate`, as people use it, at the smallest sizes."""

import csv
import importlib
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from tiny_models import tiny_generator, tiny_tokenizer

from keras_larp import data
from keras_larp.cli import main as command_line

pytestmark = pytest.mark.once


def run(*arguments):
    """Runs a command in this process."""
    module = "_".join(arguments[:2]).replace("-", "_")
    module = importlib.import_module(f"keras_larp.cli.{module}")
    module.FLAGS.unparse_flags()
    for name in module.FLAGS:
        module.FLAGS[name].unparse()
    with pytest.raises(SystemExit) as end:
        command_line.main(list(arguments))
    assert not end.value.code


def start(*arguments):
    command = [sys.executable, "-m", "keras_larp.cli.main", *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def presets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("presets")
    tiny_tokenizer().save_to_preset(folder / "tokenizer")
    tiny_generator(num_classes=12).save_to_preset(folder / "generator")
    tiny_generator(condition="frames", num_condition_frames=2).save_to_preset(
        folder / "frames"
    )
    return folder


def test_three_processes_one_killed_equal_a_single_one(presets, tmp_path):
    command = [
        *("evaluate", "generation", "--num_clips=32", "--batch_size=2"),
        f"--tokenizer={presets / 'tokenizer'}",
        f"--generator={presets / 'generator'}",
        "--save_videos",
    ]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    processes = [
        start(*command, f"--output={parts}", f"--shard={i}/3") for i in range(3)
    ]
    # One is killed amid its videos.
    videos = parts / "shard_0001_of_0003.partial" / "videos"
    while not list(videos.glob("*.mp4")):
        assert processes[1].poll() is None, "it ended before it was killed"
        time.sleep(0.005)
    processes[1].send_signal(signal.SIGKILL)
    assert [process.wait() for process in processes] == [0, -9, 0]
    with pytest.raises(FileNotFoundError, match="0001_of_0003 .begun and not"):
        command_line.main(["evaluate", "merge", str(parts)])

    run(*command, f"--output={parts}", "--shard=1/3")
    run("evaluate", "merge", str(parts), f"--report={tmp_path / 'all'}")
    run(*command, f"--output={whole}", f"--report={tmp_path / 'all'}")
    pair = [
        json.loads((folder / "results.json").read_text())
        for folder in (whole, parts)
    ]
    assert pair[0] == pair[1]
    assert pair[0]["results"]["random_frechet_distance"] > 0
    for folder in (whole, parts):
        names = [path.name for path in folder.glob("shard_*/videos/*.mp4")]
        assert sorted(names) == [f"{i:06d}.mp4" for i in range(32)]
    # The same evaluation twice is one line.
    with (tmp_path / "all.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["kind"] == "generation" and row["sampling.guidance_scale"]
    assert "## generation" in (tmp_path / "all.md").read_text()


def test_folders_of_videos_are_evaluated(presets, tmp_path, capsys):
    videos = np.random.default_rng(0).random((3, 9, 24, 24, 3))
    for folder in ("train", "test"):
        for i, video in enumerate(videos):
            data.write_video(tmp_path / folder / f"{i}.mp4", video)
    common = [
        *("--data_format=folder", "--features=random", "--batch_size=2"),
        f"--data={tmp_path / 'train'}",
        f"--test_data={tmp_path / 'test'}",
        f"--tokenizer={presets / 'tokenizer'}",
    ]
    output = f"--output={tmp_path / 'reconstruction'}"
    run("evaluate", "reconstruction", *common, output)
    printed = capsys.readouterr().out
    assert "3 of 3 videos are in the training list: 0.mp4, 1.mp4" in printed
    assert "PSNR " in printed and "num_real_clips 3" in printed
    output = f"--output={tmp_path / 'frames'}"
    generator = f"--generator={presets / 'frames'}"
    run("evaluate", "frame-prediction", *common, output, generator)
    results = json.loads((tmp_path / "frames" / "results.json").read_text())
    assert results["results"]["num_real_clips"] == 6
    assert results["settings"]["compare_size"] == 64
    assert results["settings"]["overlap"].startswith("3 of 3")


def test_flags_that_do_not_go_together(presets, tmp_path):
    command = [
        *("evaluate", "reconstruction", f"--output={tmp_path / 'output'}"),
        f"--tokenizer={presets / 'tokenizer'}",
    ]
    with pytest.raises(ValueError, match="--i3d or --features"):
        command_line.main([*command, "--i3d=i3d.pt", "--features=random"])
    with pytest.raises(SystemExit, match="Did you mean 'evaluate merge'"):
        command_line.main(["evaluate-merge"])
