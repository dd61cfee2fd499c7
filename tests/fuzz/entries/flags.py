"""Entries of the flags of all commands."""

import copy
import functools
import importlib
import itertools

from absl import flags
from fuzz.bad_values import Kind
from fuzz.entries.data import folder
from fuzz.entries.models import frame_generator, generator, tokenizer
from fuzz.entry import Entry
from hypothesis import strategies as st

from keras_larp.cli import main

_WORDS = ("preset", "such file")
_NUMBERS = itertools.count()
_TEXTS = st.text("abcxyz_-. 0123456789", max_size=10)
_MISSING = st.sampled_from(
    ["/nonexistent/a", "/nonexistent/b/c", "/dev/null", "/proc/self/mem"]
)
# Flags whose value is the path of an existing file or folder.
_INPUTS = {
    "class_names",
    "data",
    "generator",
    "i3d",
    "lpips",
    "preset",
    "run",
    "test_data",
    "test_tokens",
    "tokenizer",
    "tokens",
    "folder",
}
_TEXT_FLAGS = {
    "classes": st.sampled_from(["x", "99", "-2", "1.5", "0,x", "nan", "0,,1"]),
    "clip_sizes": st.sampled_from(
        ["x", "16", "16x", "0x16", "-4x16", "4x16,", "4x16x16", "4.0x16"]
    ),
    "crop_scale": st.sampled_from(
        ["a,b", "0.5", "1,0.5", "nan,1", "-1,1", "0.5,2", "0.1,0.2,0.3"]
    ),
    "dtype": st.sampled_from(["x", "float", "mixed", "int8", "1", "float65"]),
    "games": st.sampled_from(["pong", "x", "1"]),
    "kept_tokens": st.sampled_from(["x", "-1", "99", "1.5", "nan"]),
    "shard": st.sampled_from(["3/2", "1", "a/b", "-1/2", "0/0", "1/1", "/"]),
    "size": st.sampled_from(["x", "llama", "1", "llama-abs"]),
}
# Paths that are written, and free texts.
_OTHERS = {"output", "report", "classifier", "i3d_sha256"}


def _numbers(parser, is_integer):
    bad = [
        st.sampled_from(["abc", "nan", "inf", "-inf", "1,2", "0x", "--", "1e"]),
        st.text("abcdefg", min_size=1, max_size=5),
    ]
    low = parser.lower_bound
    low = 0 if low is None else low
    bad += [st.integers(-(10**9), int(low) - 1).map(str)]
    if is_integer:
        bad += [st.floats(0.1, 0.9).map(str), st.just("1.5")]
    if parser.upper_bound is not None:
        high = int(parser.upper_bound)
        bad += [st.integers(high + 1, high + 10**9).map(str)]
    return st.one_of(*bad)


def _bad_texts(name, flag):
    """A strategy of invalid texts of a flag, or `None`."""
    parser = getattr(flag.parser, "_inner", flag.parser)
    if isinstance(parser, flags.EnumParser):
        return _TEXTS.filter(lambda text: text not in parser.enum_values)
    if isinstance(parser, flags.BooleanParser):
        return st.sampled_from(["maybe", "2", "yes!", "nan", "none"])
    if isinstance(parser, flags.IntegerParser):
        return _numbers(parser, True)
    if isinstance(parser, flags.FloatParser):
        return _numbers(parser, False)
    if type(parser).__name__ == "_IntegersParser":
        return st.sampled_from(["8", "a,b,c", "1,2", "4,8,8,8", "0,8,8", ""])
    if name in _INPUTS:
        return _MISSING
    if name in ("prior", "perceptual_model"):
        return st.sampled_from(["x", "gptc", "1", "lpips", "nan"])
    return _TEXT_FLAGS.get(name)


@functools.cache
def _presets():
    """Paths of small presets."""
    from keras_larp import presets

    paths = {}
    for name, make in (
        ("tokenizer", tokenizer),
        ("generator", generator),
        ("frames", frame_generator),
    ):
        paths[name] = folder() / f"{name}_preset"
        presets.save(make(), paths[name], overwrite=True)
    return paths


def _arguments(command):
    """Valid arguments, with which the command takes a moment."""
    preset = _presets()
    # A new folder for each call, in case that one is not refused.
    output = f"--output={folder() / 'commands' / str(next(_NUMBERS))}"
    tokenizer_ = f"--tokenizer={preset['tokenizer']}"
    generator_ = f"--generator={preset['generator']}"
    frames = f"--generator={preset['frames']}"
    data = ["--num_computed_clips=2"]
    evaluation = [*data, "--num_clips=2", "--batch_size=2", "--overwrite"]
    training = [
        *data,
        "--epochs=1",
        "--steps_per_epoch=1",
        "--batch_size=1",
        "--verbose=0",
        "--warmup_epochs=0",
    ]
    return {
        "train-tokenizer": [
            *training,
            "--recipe=small_data_tokenizer",
            "--num_frames=4",
            "--image_size=16",
            "--num_tokens=4",
            "--hidden_dim=16",
            "--num_heads=2",
            "--encoder_num_layers=1",
            "--decoder_num_layers=1",
            "--prior=gptc-tiny",
            output,
        ],
        "train-generator": [
            *training,
            "--recipe=small_data_generator",
            tokenizer_,
            output,
        ],
        "tokenize": [tokenizer_, *data, output],
        "reconstruct": [tokenizer_, *data, "--num_clips=1", output],
        "generate": [tokenizer_, generator_, "--num_samples=1", output],
        "predict-frames": [
            tokenizer_,
            frames,
            *data,
            "--num_clips=1",
            "--num_samples=1",
            output,
        ],
        "inspect-tokens": [tokenizer_, *data, "--num_clips=2", output],
        "evaluate reconstruction": [tokenizer_, *evaluation, output],
        "evaluate generation": [
            tokenizer_,
            generator_,
            *evaluation,
            "--features=random",
            output,
        ],
        "evaluate frame-prediction": [
            tokenizer_,
            frames,
            *evaluation,
            "--features=random",
            output,
        ],
        "evaluate rate-distortion": [
            tokenizer_,
            *data,
            "--num_clips=1",
            output,
        ],
        "evaluate compare": [f"--first={folder()}", f"--second={folder()}"],
        "evaluate merge": [f"--folder={folder()}"],
        "convert": [f"--preset={preset['tokenizer']}", output],
        "plot-run": [f"--run={folder()}"],
    }[command]


def _run(command, **values):
    """Runs a command in this process with more flags."""
    module = command.replace("-", "_").replace(" ", "_")
    module = importlib.import_module(f"keras_larp.cli.{module}")
    parsed = module.FLAGS
    module.FLAGS = copy.deepcopy(parsed)
    given = [f"--{name}={value}" for name, value in values.items()]
    try:
        main.run([*command.split(), *_arguments(command), *given])
    finally:
        module.FLAGS = parsed


def entries():
    for command in main.COMMANDS:
        module = command.replace("-", "_").replace(" ", "_")
        module = importlib.import_module(f"keras_larp.cli.{module}")
        kinds = {}
        for name in module.FLAGS:
            texts = _bad_texts(name, module.FLAGS[name])
            if texts is not None:
                kinds[name] = Kind(lambda valid, texts=texts: texts, _WORDS)
        yield Entry(
            f"keras-larp {command}",
            functools.partial(_run, command),
            dict,
            kinds,
            can_run=False,
        )
