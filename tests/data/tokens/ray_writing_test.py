"""Tokenization on a local Ray cluster of two workers."""

import json
import os
import pathlib
import signal

import numpy as np
import pytest
from run_command import run_here
from tiny_models import tiny_tokenizer

from keras_larp import data, models
from keras_larp.cli import tokenize

ray = pytest.importorskip("ray", reason="needs the extra `ray`")
pytestmark = pytest.mark.once
OPTIONS = {"clips_per_shard": 3, "batch_size": 2, "include_flips": True}


@pytest.fixture(scope="module")
def cluster():
    """A cluster for all tests, since starting one takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init("local", num_cpus=3, include_dashboard=False)
        yield
        ray.shutdown()


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("presets") / "tokenizer"
    tiny_tokenizer().save_to_preset(folder)
    return folder


def make_source(marker=None, broken=False):
    """Ten random clips. A worker that reads clip 4 is killed if the file
    `marker` does not exist yet, and finds the clip broken if `broken`."""

    # Defined here, so that it is sent to the workers by value.
    class Clips(data.VideoSource):
        def __len__(self):
            return 10

        def label(self, index):
            return index % 2

        def num_frames(self, index):
            return 4

        def read(self, index, frame_indices, image_size=None):
            if marker is not None and index == 4 and not marker.exists():
                marker.write_text(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGKILL)
            if broken and index == 4:
                raise data.VideoDecodeError("clip 4 does not decode")
            generator = np.random.default_rng(index)
            video = generator.integers(0, 256, (4, 16, 16, 3), "uint8")
            return video[frame_indices]

    return Clips()


def write(folder, preset, **options):
    def load_tokenizer():
        return models.LARPTokenizer.from_preset(preset)

    options = {"source": make_source(), **OPTIONS, **options}
    return data.write_token_dataset_with_ray(
        folder, load_tokenizer=load_tokenizer, **options
    )


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_killed_worker_is_replaced_and_files_are_equal(
    cluster, preset, tmp_path
):
    plain = tmp_path / "plain"
    tokenizer = models.LARPTokenizer.from_preset(preset)
    data.write_token_dataset(plain, make_source(), tokenizer, **OPTIONS)
    marker = tmp_path / "killed"
    written = write(tmp_path / "ray", preset, source=make_source(marker))
    assert int(marker.read_text()) != os.getpid()
    assert len(written) == 20
    assert contents(tmp_path / "ray") == contents(plain)


def test_errors_of_workers_are_raised(cluster, preset, tmp_path):
    source = make_source(broken=True)
    with pytest.raises(RuntimeError, match="VideoDecodeError: clip 4 does not"):
        write(tmp_path, preset, source=source, num_actors=1)
    assert not list(tmp_path.glob(".*"))  # Temporary files, locks.


def test_workers_with_another_tokenizer_are_refused(cluster, preset, tmp_path):
    config = json.loads((preset / "config.json").read_text())["config"]
    with pytest.raises(RuntimeError, match="load the same tokenizer"):
        data.write_token_dataset_with_ray(
            tmp_path,
            make_source(),
            # Other random weights in each process.
            lambda: models.LARPTokenizer.from_config(config),
            num_actors=1,
            **OPTIONS,
        )


def test_command_resumes_what_the_other_engine_started(
    cluster, preset, tmp_path
):
    flags = [
        f"--tokenizer={preset}",
        f"--output={tmp_path}",
        *("--num_computed_clips=4", "--clips_per_shard=2"),
    ]
    run_here(tokenize, *flags)
    expected = contents(tmp_path)
    kept, removed = sorted(tmp_path.glob("tokens-*"))
    removed.unlink()
    stamp = kept.stat().st_mtime_ns
    run_here(tokenize, *flags, "--engine=ray", "--num_actors=1")
    assert kept.stat().st_mtime_ns == stamp
    assert contents(tmp_path) == expected


def test_network_is_not_told_about_the_cluster(preset, tmp_path, monkeypatch):
    class Connected(Exception):
        pass

    def init(*args, **options):
        assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
        raise Connected(args)

    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    for address, expected in ((None, "local"), ("auto", "auto")):
        with pytest.raises(Connected, match=expected):
            write(pathlib.Path(tmp_path), preset, ray_address=address)
