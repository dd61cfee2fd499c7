"""The commands, run with tiny models."""

import copy
import errno
import itertools
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from run_command import run_here, written
from run_log import last_row
from tiny_models import tiny_generator, tiny_tokenizer

from keras_larp import data, evaluation, models
from keras_larp.callbacks import Checkpoint
from keras_larp.cli import (
    convert,
    data_flags,
    evaluate_generation,
    generate,
    inspect_tokens,
    predict_frames,
    recipe_flags,
    tokenize,
    train_generator,
    train_tokenizer,
)
from keras_larp.cli import main as command_line
from keras_larp.cli.command import UsageError
from keras_larp.cli.run_folder import RunFolder
from keras_larp.evaluation import clip_classifier
from keras_larp.utils.files import atomic_write
from keras_larp.utils.locks import lock_folder

pytestmark = pytest.mark.once


def test_help_lists_commands_and_flags(capsys):
    command_line.run(["--help"])
    listed = capsys.readouterr().out
    for name in command_line.COMMANDS:
        assert name in listed
    command_line.run(["train-tokenizer", "--help"])
    text = capsys.readouterr().out
    assert "--learning_rate" in text and "Peak learning rate" in text


def test_help_describes_flags(capsys):
    command_line.run(["generate", "--help"])
    text = capsys.readouterr().out
    assert "Required flags:\n  --tokenizer=TEXT\n" in text
    assert (
        "  --num_samples=INTEGER\n      Clips per class. Default: 4.\n" in text
    )
    assert "\nSampling:\n  --seed=INTEGER\n" in text
    assert "  --[no]grid\n" in text
    assert "  --quantize=int8\n      Quantize " in text
    assert "flagfile" not in text


def test_help_does_not_import_keras():
    # The flags of training commands derive from recipes, which import Keras.
    names = [n for n in command_line.COMMANDS if not n.startswith("train-")]
    code = f"""
import sys
from keras_larp.cli import command, main
for name in {names}:
    main.run([*name.split(), "--help"])
try:
    main.run(["generate"])
except command.UsageError as error:
    print(error)
sys.exit("keras imported" if "keras" in sys.modules else 0)
"""
    output = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert "--tokenizer=None: the flag is required" in output


def test_unknown_commands_and_flags_are_errors():
    with pytest.raises(UsageError, match="Did you mean 'tokenize'"):
        command_line.run(["tokenise"])
    with pytest.raises(UsageError, match="learning_rat"):
        command_line.run(["train-tokenizer", "--learning_rat=1"])
    with pytest.raises(UsageError, match="Unexpected argument 'runs'"):
        command_line.run(["generate", "--tokenizer=a", "--generator=b", "runs"])


def fail(error):
    def run(arguments):
        raise error

    return run


def end_of(capsys):
    with pytest.raises(SystemExit) as end:
        command_line.main()
    return end.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    "error, status, message",
    [
        (ValueError("Expected 1."), 2, "Expected 1."),
        (FileNotFoundError("a.mp4 does not exist."), 2, "a.mp4 does not exist"),
        (UsageError("Unknown flag."), 2, "Unknown flag."),
        (
            OSError(28, "Disk full", "a"),
            1,
            "OSError: [Errno 28] Disk full: 'a'",
        ),
        (OSError(errno.EROFS, "Read-only", "a"), 2, "Read-only: 'a'"),
        (KeyError("a"), 1, "KeyError: 'a' (--debug shows the traceback)"),
    ],
)
def test_errors_are_one_line_and_an_exit_status(
    error, status, message, monkeypatch, capsys
):
    monkeypatch.setattr(command_line, "run", fail(error))
    monkeypatch.setattr(sys, "argv", ["keras-larp", "generate"])
    code, text = end_of(capsys)
    assert code == status
    assert text.startswith("keras-larp: error: ") and text.count("\n") == 1
    assert message in text
    monkeypatch.setattr(sys, "argv", ["keras-larp", "generate", "--debug"])
    with pytest.raises(type(error)):
        command_line.main()


def test_interrupted_commands_show_no_traceback(monkeypatch, capsys):
    monkeypatch.setattr(command_line, "run", fail(KeyboardInterrupt()))
    monkeypatch.setattr(sys, "argv", ["keras-larp", "generate"])
    assert end_of(capsys) == (130, "Interrupted.\n")


def test_terminated_commands_remove_temporary_files(
    tmp_path, monkeypatch, capsys
):
    def write(arguments):
        with atomic_write(tmp_path / "clip.mp4") as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(command_line, "run", write)
    monkeypatch.setattr(sys, "argv", ["keras-larp", "generate"])
    handler = signal.getsignal(signal.SIGTERM)
    assert end_of(capsys) == (143, "Terminated.\n")
    assert written(tmp_path) == []
    assert signal.getsignal(signal.SIGTERM) == handler


def test_wrong_commands_end_with_status_2_and_one_line():
    for arguments in (["tokenise"], ["generate"], ["plot-run", "--a=1"]):
        process = subprocess.run(
            [sys.executable, "-m", "keras_larp.cli.main", *arguments],
            capture_output=True,
            text=True,
        )
        assert process.returncode == 2
        assert process.stderr.startswith("keras-larp: error: ")
        assert process.stderr.count("\n") == 1, process.stderr


@pytest.mark.parametrize(
    "weights_dtype, max_ratio", [("float16", 0.8), ("int8", 0.6)]
)
def test_convert_changes_the_dtype_of_weights(
    tmp_path, weights_dtype, max_ratio
):
    trained = tiny_tokenizer(dtype="mixed_bfloat16", hidden_dim=64)
    trained.save_to_preset(tmp_path / "trained")
    run_here(
        convert,
        f"--preset={tmp_path}/trained",
        f"--output={tmp_path}/published",
        *(f"--weights_dtype={weights_dtype}", "--dtype=float32"),
    )
    found = models.LARPTokenizer.from_preset(tmp_path / "published")
    assert found.dtype_policy.name == "float32"
    sizes = [
        (tmp_path / name / "model.weights.h5").stat().st_size
        for name in ("published", "trained")
    ]
    assert sizes[0] < max_ratio * sizes[1]


@pytest.fixture
def presets(tmp_path):
    """Flags of a tokenizer and a generator for moving shapes."""
    tiny_tokenizer().save_to_preset(tmp_path / "tokenizer")
    tiny_generator(num_classes=12).save_to_preset(tmp_path / "generator")
    return [
        f"--tokenizer={tmp_path}/tokenizer",
        f"--generator={tmp_path}/generator",
    ]


def test_frame_prediction_trains_on_token_datasets(tmp_path, presets):
    tokens = [f"--tokens={tmp_path}/tokens", f"--output={tmp_path}/run"]
    recipe = ["--recipe=larp_l_long_frame_prediction", "--size=llama-abs-tiny"]
    recipe += ["--epochs=1", "--steps_per_epoch=1", "--batch_size=4"]
    recipe += ["--dtype=float32", "--warmup_epochs=0"]
    run_here(
        tokenize,
        presets[0],
        f"--output={tmp_path}/tokens",
        *("--num_condition_frames=3", "--split=test"),
    )
    with pytest.raises(ValueError, match="3 frames.*num_condition_frames=2"):
        run_here(train_generator, *tokens, *recipe, "--num_condition_frames=2")
    for name, source in (
        ("other", tokens[0]),
        ("video", "--num_condition_frames=3"),
    ):
        run_here(
            train_generator,
            f"--output={tmp_path}/{name}",
            *(source, presets[0]),
            *recipe,
        )
        # Samples continue the first frames of clips.
        assert written(tmp_path / name / "samples") == ["epoch_0001.mp4"]
    generator = models.ARVideoGenerator.from_preset(tmp_path / "other/preset")
    assert generator.conditioning == "frames"
    assert generator.num_condition_frames == 3


def test_inspect_tokens_writes_figures(tmp_path, presets):
    run_here(
        inspect_tokens,
        *presets,
        f"--output={tmp_path}/figures",
        *("--num_clips=2", "--num_shown=3", "--kept_tokens=0,3,6"),
    )
    assert written(tmp_path / "figures") == [
        "reconstructions.gif",
        "token_usage.png",
        "truncation.gif",
    ]


def test_trained_generators_have_class_names(tmp_path, presets):
    run_here(
        tokenize, presets[0], f"--output={tmp_path}/tokens", "--split=test"
    )  # fmt: skip
    run_here(
        train_generator,
        *(f"--tokens={tmp_path}/tokens", f"--output={tmp_path}/run"),
        *("--recipe=small_data_generator", "--epochs=1"),
        *("--steps_per_epoch=1", "--batch_size=4"),
    )
    run_here(
        generate,
        presets[0],
        f"--generator={tmp_path}/run/preset",
        f"--output={tmp_path}/clips",
        *("--classes=disc moves right", "--num_samples=1"),
    )
    assert written(tmp_path / "clips") == [
        "disc_moves_right_000.mp4",
        "grid.gif",
        "settings.json",
    ]


def test_commands_use_the_first_tokens_of_elastic_tokenizers(tmp_path, capsys):
    elastic = tiny_tokenizer(token_dropout={"rate": 0.5}, prior=None)
    elastic.save_to_preset(tmp_path / "tokenizer")
    tokenizer = f"--tokenizer={tmp_path}/tokenizer"
    generator = f"--generator={tmp_path}/run/preset"
    run_here(
        tokenize,
        *(tokenizer, f"--output={tmp_path}/tokens"),
        *("--split=test", "--num_tokens=4"),
    )
    assert "96 clips of 4 tokens" in capsys.readouterr().out
    run_here(
        train_generator,
        *(tokenizer, f"--tokens={tmp_path}/tokens", f"--output={tmp_path}/run"),
        *("--recipe=small_data_generator", "--epochs=1"),
        *("--steps_per_epoch=1", "--batch_size=4"),
    )
    trained = models.ARVideoGenerator.from_preset(tmp_path / "run/preset")
    assert trained.num_tokens == 4
    # Samples of the trained generator are written.
    assert written(tmp_path / "run/samples") == ["epoch_0001.mp4"]
    clips = ["--classes=4", "--num_samples=1", "--num_tokens=2"]
    run_here(
        generate, tokenizer, generator, *clips, f"--output={tmp_path}/clips"
    )
    settings = json.loads((tmp_path / "clips/settings.json").read_text())
    assert settings["num_tokens"] == 2
    run_here(
        inspect_tokens,
        *(tokenizer, generator, f"--output={tmp_path}/figures"),
        *("--num_clips=2", "--num_shown=1"),
    )
    assert "truncation.gif" in written(tmp_path / "figures")


def test_num_tokens_of_fixed_tokenizers_are_refused(tmp_path, presets):
    for command, arguments in (
        (tokenize, [presets[0], "--split=test"]),
        (generate, presets),
    ):
        with pytest.raises(ValueError, match="with_token_dropout"):
            run_here(
                command,
                *arguments,
                f"--output={tmp_path}/output",
                "--num_tokens=4",
            )


def test_generate_accepts_class_names(tmp_path, presets):
    arguments = [f"--output={tmp_path}/clips", "--class_names=moving_shapes"]
    arguments += ["--num_samples=1", "--classes=disc moves right,4"]
    run_here(generate, *presets, *arguments)
    assert written(tmp_path / "clips") == [
        "disc_moves_right_000.mp4",
        "grid.gif",
        "settings.json",
        "square_moves_left_000.mp4",
    ]
    with pytest.raises(
        ValueError, match="'cat'; class names: disc moves left,"
    ):
        run_here(generate, *presets, *arguments, "--classes=cat")
    (tmp_path / "names.txt").write_text("one\ntwo\n")
    with pytest.raises(ValueError, match="12 classes.*names.txt with 2"):
        run_here(
            generate, *presets, f"--class_names={tmp_path}/names.txt"
        )  # fmt: skip


def test_predict_frames_writes_originals_and_continuations(tmp_path, presets):
    tiny_generator(
        conditioning="frames", num_condition_frames=2
    ).save_to_preset(tmp_path / "frames")  # fmt: skip
    run_here(
        predict_frames,
        presets[0],
        f"--generator={tmp_path}/frames",
        f"--output={tmp_path}/clips",
        *("--num_clips=2", "--num_samples=2", "--batch_size=3"),
    )
    clips = [f"clip_{i:03d}_{j:03d}.mp4" for i in (0, 1) for j in (0, 1)]
    assert written(tmp_path / "clips") == [*clips, "grid.gif", "settings.json"]


def test_evaluation_reports_class_fidelity(tmp_path, presets, capsys):
    # An untrained classifier, which assigns every clip to class 3.
    file = tmp_path / "classifiers" / "shapes.weights.h5"
    file.parent.mkdir()
    classifier = evaluation.ClipClassifier(12)
    classifier.head.bias.assign(np.arange(12) == 3)
    names = data.MovingShapes.class_names
    classifier.classes_weight.assign(clip_classifier._checksum(names, False))
    classifier.save_weights(file)
    run_here(
        evaluate_generation,
        *presets,
        *(f"--output={tmp_path}/out", f"--classifier={file}"),
        *("--class_fidelity", "--features=classes"),
        "--num_computed_clips=12",  # one per class
    )
    reported = capsys.readouterr().out
    assert "class_fidelity 0.0833333" in reported
    assert "class_fidelity_of_real_clips 0.0833333" in reported
    assert not list((tmp_path / "out").glob("classifier*"))
    assert "class_frechet_distance " in reported
    for name in "ab":
        (tmp_path / "videos" / name).mkdir(parents=True)
        frames = np.zeros((8, 16, 16, 3), "uint8")
        data.write_video(tmp_path / "videos" / name / "clip.mp4", frames)
    with pytest.raises(ValueError, match="Pass --test_data"):
        run_here(
            evaluate_generation,
            *presets,
            *("--class_fidelity", f"--output={tmp_path}/other"),
            f"--data={tmp_path}/videos",
        )


def test_videos_are_cached_in_memory_without_workers():
    source = data.MovingShapes(2, num_frames=4, image_size=16)

    def kept(*arguments):
        values = copy.deepcopy(train_tokenizer.FLAGS)
        values(["keras-larp", *arguments])
        return data_flags.kept(values, source, 16)

    assert kept() is source
    assert kept("--keep_in_memory").source is source
    with pytest.raises(ValueError, match="--num_workers=2"):
        kept("--keep_in_memory", "--num_workers=2")


@pytest.mark.parametrize("flag", ["--keep_in_memory", "--nokeep_in_memory"])
def test_batches_of_several_sizes(flag):
    values = copy.deepcopy(train_tokenizer.FLAGS)
    values(
        ["keras-larp", "--recipe=small_data_tokenizer", "--batch_size=4", flag]
        + ["--num_computed_clips=8", "--clip_sizes=4x16,2x24"]
    )
    recipe = recipe_flags.make_recipe(values)
    train = train_tokenizer._make_dataset(values, recipe, "train")
    shapes = {clips.shape[1:4] for clips, _ in itertools.islice(train, 20)}
    assert shapes == {(4, 16, 16), (2, 24, 24)}
    assert train.source.default_image_size == 24
    test = train_tokenizer._make_dataset(values, recipe, "test")
    clips, _ = next(iter(test))
    assert clips.shape[1:4] == (8, 32, 32)


@pytest.mark.parametrize("sizes", ["16", "4x16,", "0x16", "4x16x16"])
def test_invalid_clip_sizes(tmp_path, sizes):
    with pytest.raises(ValueError, match=f"--clip_sizes.*Received.*{sizes}"):
        run_here(
            train_tokenizer,
            f"--output={tmp_path / 'run'}",
            "--recipe=small_data_tokenizer",
            f"--clip_sizes={sizes}",
        )


def test_tokens_of_another_tokenizer_are_rejected(tmp_path, presets):
    source = data.MovingShapes(2, num_frames=4, image_size=16)
    tokenizer = tiny_tokenizer()  # other weights than the preset
    data.write_token_dataset(tmp_path / "tokens", source, tokenizer)
    arguments = [f"--tokens={tmp_path}/tokens", f"--output={tmp_path}/run"]
    with pytest.raises(ValueError, match="of the same tokenizer.*/tokens, "):
        run_here(train_generator, presets[0], *arguments)


def test_existing_runs_are_not_overwritten(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(FileExistsError, match="--resume"):
        command_line.run(["train-tokenizer", f"--output={tmp_path}"])


def resume(folder):
    with pytest.raises(FileNotFoundError) as error:
        run_here(train_tokenizer, f"--output={folder}", "--resume")
    return str(error.value)


def test_resuming_without_a_run_names_similar_folders(tmp_path):
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "config.json").write_text("{}")
    message = resume(tmp_path / "tokeniser")
    assert "no run to resume" in message
    assert f"Did you mean '{tmp_path / 'tokenizer'}'?" in message
    assert not (tmp_path / "tokeniser").exists()


def test_resuming_without_checkpoints_is_an_error(tmp_path):
    (tmp_path / "config.json").write_text('{"flags": {}}')
    assert "lost its checkpoints" in resume(tmp_path)
    # Completed epochs had checkpoints.
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "log.csv").write_text("epoch,loss\n0,1.0\n")
    assert "lost its checkpoints" in resume(tmp_path)


@pytest.mark.parametrize(
    "log, kept",
    [
        ("epoch,loss\n0,3.0\n1,2.0\n2,1.0\n", "epoch,loss\n0,3.0\n1,2.0\n"),
        ("epoch,loss\n0,3.0\n1,2", "epoch,loss\n0,3.0\n"),
        ("", ""),
    ],
)
def test_resumed_runs_keep_the_completed_epochs_of_the_log(tmp_path, log, kept):
    values = copy.deepcopy(train_tokenizer.FLAGS)
    values(["keras-larp", f"--output={tmp_path}"])
    step = tmp_path / "checkpoints" / "step_00000008"
    step.mkdir(parents=True)
    (step / "state.json").write_text('{"epoch": 2, "epoch_step": 0, "step": 8}')
    (tmp_path / "log.csv").write_text(log)
    with RunFolder(values) as run:
        run.callbacks(values, None, 1, "loss", "min")
    assert (tmp_path / "log.csv").read_text() == kept


def test_full_disk_during_training_is_reported_with_the_run(tmp_path):
    values = copy.deepcopy(train_tokenizer.FLAGS)
    values(["keras-larp", f"--output={tmp_path / 'run'}"])
    with pytest.raises(OSError, match="No space left on device: .*run'"):
        with RunFolder(values):
            raise OSError(errno.ENOSPC, "No space left on device")
    assert written(tmp_path / "run") == ["checkpoints"]


def test_run_of_another_process_is_not_touched(tmp_path):
    (tmp_path / "config.json").write_text('{"flags": {}}')
    (tmp_path / "checkpoints").mkdir()
    output = f"--output={tmp_path}"
    with lock_folder(tmp_path):
        with pytest.raises(BlockingIOError, match=f"process {os.getpid()} on"):
            run_here(train_tokenizer, output, "--resume")
    assert written(tmp_path) == ["checkpoints", "config.json"]


TINY_TOKENIZER = [
    *("--num_frames=4", "--image_size=16", "--batch_size=4", "--epochs=2"),
    *("--patch_size=2,8,8", "--num_tokens=6", "--codebook_size=32"),
    *("--code_dim=4", "--hidden_dim=16", "--num_heads=2", "--dtype=float32"),
    *("--encoder_num_layers=1", "--decoder_num_layers=1", "--prior=none"),
    *("--steps_per_epoch=2", "--num_computed_clips=64", "--show_every=0"),
    *("--recipe=small_data_tokenizer", "--kmeans_init_clips=none"),
]


def test_run_that_ends_after_an_epoch_has_the_outputs_of_this_epoch(
    tmp_path, monkeypatch
):
    # As SIGTERM does, or a kill after the checkpoint of the epoch.
    on_epoch_end = Checkpoint.on_epoch_end

    def save_and_stop(self, epoch, logs=None):
        on_epoch_end(self, epoch, logs)
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "on_epoch_end", save_and_stop)
    arguments = [*TINY_TOKENIZER, "--show_every=1", f"--output={tmp_path}"]
    with pytest.raises(KeyboardInterrupt):
        run_here(train_tokenizer, *arguments)
    assert last_row(tmp_path)["epoch"] == "0"
    assert written(tmp_path / "reconstructions") == ["epoch_0001.mp4"]


def test_runs_save_averaged_raw_and_best_weights(tmp_path, capsys):
    def weights(name):
        model = models.LARPTokenizer.from_preset(tmp_path / "run" / name)
        return model.to_code.get_weights()[0]

    output = f"--output={tmp_path / 'run'}"
    rate = "--learning_rate=0.01"
    run_here(train_tokenizer, output, *TINY_TOKENIZER, "--ema_decay=0.9", rate)
    averaged, raw = weights("preset"), weights("preset_raw")
    assert not np.allclose(averaged, raw)
    capsys.readouterr()

    # A resumed run keeps its flags, except for those given again.
    run_here(train_tokenizer, output, "--resume", "--epochs=3")
    assert "--epochs: from 2 to 3" in capsys.readouterr().out
    assert int(last_row(tmp_path / "run")["epoch"]) == 2
    assert not np.allclose(weights("preset"), averaged)
    assert not np.allclose(weights("preset_raw"), raw)
    before = json.loads((tmp_path / "run" / "config_1.json").read_text())
    after = json.loads((tmp_path / "run" / "config.json").read_text())
    assert before["settings"] == {**after["settings"], "epochs": 2}
    assert after["settings"]["learning_rate"] == 0.01

    # With a huge learning rate, the previous epoch stays the best one.
    best = weights("preset")
    run_here(
        train_tokenizer, output, "--resume", "--epochs=4", "--learning_rate=1e3"
    )
    np.testing.assert_array_equal(weights("preset_best"), best)
    assert not np.allclose(weights("preset"), best)


def test_outdated_presets_are_removed(tmp_path):
    output = f"--output={tmp_path}"
    for name in ("preset_best", "preset_raw"):
        (tmp_path / name).mkdir()
    run_here(train_tokenizer, output, *TINY_TOKENIZER, "--epochs=1")
    assert (tmp_path / "preset").is_dir()
    assert not (tmp_path / "preset_best").exists()
    assert not (tmp_path / "preset_raw").exists()


@pytest.mark.parametrize("missing", ["tensorflow", "tensorboard"])
def test_missing_tensorboard_fails_before_training(
    tmp_path, monkeypatch, missing
):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=f"package `{missing}`"):
        run_here(
            train_tokenizer,
            f"--output={tmp_path / 'run'}",
            *TINY_TOKENIZER,
            "--tensorboard",
        )
    assert not (tmp_path / "run").exists()


def test_generator_trains_on_a_token_dataset(tmp_path, presets, capsys):
    tokens, run_folder = tmp_path / "tokens", tmp_path / "run"
    run_here(tokenize, presets[0], f"--output={tokens}", "--split=test")
    assert "96 clips of 6 tokens" in capsys.readouterr().out
    assert len(data.TokenSource(tokens)) == 96
    run_here(
        train_generator,
        presets[0],
        f"--tokens={tokens}",
        f"--output={run_folder}",
        *("--epochs=1", "--steps_per_epoch=2", "--batch_size=4"),
        *("--warmup_epochs=0", f"--test_tokens={tokens}"),
    )
    # --recipe=auto chooses the recipe for few clips.
    assert ": the small recipe." in capsys.readouterr().out
    assert float(last_row(run_folder)["val_loss"]) > 0
    generator = models.ARVideoGenerator.from_preset(run_folder / "preset")
    assert generator.num_classes == 12
    assert list((run_folder / "samples").iterdir())
