"""Commands whose work the processes of a launcher share."""

import json
import pathlib

import keras
import pytest
from distribution.jobs import run_job
from distribution.offline_commands import EVALUATIONS, run_all
from run_command import run_here
from tiny_models import write_tiny_presets

from keras_larp.cli import (
    clip_files,
    evaluate_reconstruction,
    generate,
    tokenize,
)
from keras_larp.utils.locks import lock_folder

BACKEND = keras.backend.backend()
connected = pytest.mark.skipif(
    BACKEND == "tensorflow", reason="needs several connected processes"
)


@pytest.fixture(scope="module")
def presets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("presets")
    write_tiny_presets(folder)
    return folder


@pytest.fixture(scope="module")
def outputs(presets, tmp_path_factory):
    """The outputs of two processes under torchrun, and of this one."""
    job, single = (tmp_path_factory.mktemp(name) for name in ("job", "single"))
    script = pathlib.Path(__file__).with_name("offline_commands.py")
    with lock_folder(job / "locked"):
        run_job(
            [
                *("-m", "torch.distributed.run", "--standalone"),
                *("--nproc-per-node=2", script, presets, job),
            ],
            1,
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clip_files, "GRID_CLIPS", clip_files.GRID_CLIPS)
        run_all(presets, single)
    return job, single


def contents(folder):
    """The content of each file of a folder."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@connected
@pytest.mark.parametrize("name", ["tokens", "generated", "continued"])
def test_two_processes_write_the_files_of_one(outputs, name):
    job, single = (contents(folder / name) for folder in outputs)
    assert job == single
    assert len(job) > 4


@connected
@pytest.mark.parametrize("name", EVALUATIONS)
def test_two_processes_evaluate_like_one(outputs, name):
    job, single = (folder / name for folder in outputs)
    shards = sorted(path.name for path in job.glob("shard_*"))
    assert shards == ["shard_0000_of_0002", "shard_0001_of_0002"]
    expected, received = (
        json.loads((folder / "results.json").read_text())
        for folder in (single, job)
    )
    assert received["settings"] == expected["settings"]
    assert received["results"] == pytest.approx(
        expected["results"], rel=1e-6, nan_ok=True
    )
    assert (job / "report.csv").exists()


@connected
def test_processes_share_the_work(outputs):
    records = [
        json.loads((outputs[0] / f"process_{i}.json").read_text())
        for i in range(2)
    ]
    # In batches of 2 clips: tokenize (shards of 3, 3, 3 and 1 clips),
    # predict-frames, evaluate reconstruction (three times) and
    # frame-prediction.
    assert [record["encode"] for record in records] == [
        4 + 1 + (1 + 1 + 1) + 1,
        3 + 1 + (2 + 2 + 1) + 2,
    ]
    # generate, predict-frames, evaluate generation and frame-prediction.
    assert [record["generate"] for record in records] == [
        6 + 1 + 1 + 1,
        6 + 1 + 2 + 2,
    ]


@connected
def test_second_job_of_a_folder_is_refused(outputs):
    for i in range(2):
        path = outputs[0] / f"process_{i}.json"
        assert "is being written by" in json.loads(path.read_text())["refusal"]


@pytest.fixture
def launched(monkeypatch):
    """The environment of the first of two processes under torchrun."""
    for name, value in {
        "RANK": "0",
        "WORLD_SIZE": "2",
        "LOCAL_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29500",
    }.items():
        monkeypatch.setenv(name, value)


@connected
@pytest.mark.parametrize("command", [generate, evaluate_reconstruction])
def test_shard_flags_under_a_launcher_are_refused(launched, command):
    flags = ["--tokenizer=x", "--shard=0/2"]
    if command is generate:
        flags.append("--generator=x")
    with pytest.raises(ValueError, match="Omit --shard, .*--shard=0/2"):
        run_here(command, *flags)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tests TensorFlow")
def test_tensorflow_names_the_way_to_split_the_work(launched, presets):
    models = [f"--tokenizer={presets}/tokenizer", "--generator=x"]
    with pytest.raises(ValueError, match="or pass --shard=i/n to process i"):
        run_here(generate, *models)
    with pytest.raises(ValueError, match="KERAS_BACKEND=jax or torch. Rec"):
        run_here(tokenize, models[0])
    with pytest.raises(ValueError, match="Preset 'x'|'x'"):  # Not refused.
        run_here(generate, *models, "--shard=0/2")


@pytest.mark.once
def test_ray_starts_its_own_workers(launched):
    with pytest.raises(ValueError, match="Ray starts the workers"):
        run_here(tokenize, "--tokenizer=x", "--engine=ray")


@pytest.mark.once
@pytest.mark.parametrize("flag", ["num_actors=2", "ray_address=auto"])
def test_flags_of_ray_need_the_engine(flag):
    with pytest.raises(ValueError, match="needs --engine=ray"):
        run_here(tokenize, "--tokenizer=x", f"--{flag}")
