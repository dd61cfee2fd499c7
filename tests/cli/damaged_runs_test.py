"""Run folders and output folders whose files are damaged."""

import json

import pytest
from absl import flags
from damaged_files import (
    assert_reads_or_names,
    damaged_bytes,
    damaged_json,
    quick,
)
from hypothesis import given
from hypothesis import strategies as st

from keras_larp.cli import clip_files, run_folder
from keras_larp.cli.run_folder import RunFolder

pytestmark = pytest.mark.once

CONFIG = {
    "flags": {
        "epochs": 3,
        "keep_last": 2,
        "save_every_steps": None,
        "crop": ["0.5", "1"],
        "rate": 0.1,
    },
    "steps_per_epoch": 4,
}


def parse(folder):
    values = flags.FlagValues()
    run_folder.define(values, str(folder))
    flags.DEFINE_integer("epochs", 1, "", flag_values=values)
    flags.DEFINE_float("rate", 1.0, "", flag_values=values)
    flags.DEFINE_list("crop", None, "", flag_values=values)
    values(["", "--resume"])
    return values


def write(folder, config=CONFIG):
    (folder / "checkpoints").mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def resume(folder):
    values = parse(folder)
    with RunFolder(values):
        return values


def test_flags_of_a_valid_run_are_restored(tmp_path):
    values = resume(write(tmp_path))
    assert (values.epochs, values.rate, values.crop) == (3, 0.1, ["0.5", "1"])


@pytest.mark.parametrize(
    "name, value",
    [
        ("epochs", "many"),
        ("epochs", 1.5),
        ("keep_last", 0),
        ("tensorboard", "maybe"),
        ("rate", {}),
    ],
)
def test_invalid_flags_of_a_run_are_named(name, value, tmp_path):
    config = {**CONFIG, "flags": {**CONFIG["flags"], name: value}}
    with pytest.raises(ValueError, match=f"config.json.*--{name}.*Restore it"):
        resume(write(tmp_path, config))


@pytest.mark.parametrize(
    "config, message",
    [
        ([], "JSON object"),
        ({}, "`flags`"),
        ({"flags": []}, "`flags`"),
        ({"flags": {}, "steps_per_epoch": "4"}, "`steps_per_epoch`"),
    ],
)
def test_damaged_configurations_are_named(config, message, tmp_path):
    with pytest.raises(ValueError, match=f"config.json.*{message}"):
        resume(write(tmp_path, config))


@pytest.mark.parametrize("row", ["x,1", "1.5,1", "-1,1", ",1", "9" * 99])
def test_damaged_logs_are_named(row, tmp_path):
    folder = write(tmp_path)
    (folder / "log.csv").write_text(f"epoch,loss\n0,1\n{row}\n")
    with pytest.raises(ValueError, match="log.csv is damaged"):
        RunFolder(parse(folder))._trim_log()


def test_damaged_settings_of_clips_are_named(tmp_path):
    (tmp_path / "settings.json").write_text("{")
    values = flags.FlagValues()
    clip_files.define(values, str(tmp_path))
    values([""])
    with pytest.raises(ValueError, match="settings.json.*Delete"):
        clip_files.ClipFiles(values, ["a"], 1, {})


@quick
@given(st.data())
def test_damaged_runs_raise_clear_errors(tmp_path_factory, data):
    folder = write(tmp_path_factory.mktemp("run"))
    path = folder / "config.json"
    if data.draw(st.booleans()):
        path.write_text(data.draw(damaged_json(CONFIG)))
    else:
        path.write_bytes(data.draw(damaged_bytes(path.read_bytes())))
    assert_reads_or_names(lambda: resume(folder), folder)
