"""The commands that write, with the smallest models."""

import dataclasses
import pathlib
import shutil

from tiny_models import write_tiny_presets

from keras_larp import data

_TOKENIZER = [
    *("train-tokenizer", "--recipe=larp_l_long_tokenizer", "--dtype=float32"),
    *("--num_frames=4", "--image_size=16", "--batch_size=4", "--epochs=2"),
    *("--patch_size=2,8,8", "--num_tokens=6", "--codebook_size=32"),
    *("--code_dim=4", "--hidden_dim=16", "--num_heads=2", "--prior=gptc-tiny"),
    *("--encoder_num_layers=1", "--decoder_num_layers=1", "--nodiscriminator"),
    *("--perceptual_model=none", "--warmup_epochs=0.5", "--ema_decay=0.9"),
    *("--learning_rate=0.001", "--steps_per_epoch=3", "--verbose=2"),
]
_GENERATOR = [
    *("train-generator", "--recipe=larp_l_long_generator", "--dtype=float32"),
    *("--size=llama-abs-tiny", "--batch_size=4", "--epochs=2", "--verbose=2"),
    *("--steps_per_epoch=3", "--warmup_epochs=0.5", "--ema_decay=0.9"),
]
EVERY_STEP = "--save_every_steps=1"


@dataclasses.dataclass
class Case:
    """A command that writes to a folder.

    Args:
        name: String.
        arguments: List of strings, without the folder.
        trains: Boolean. Whether the command has `--resume`.
        input: Optional path. Folder that is copied to the target first.
        target: String. Flag of the target; an empty string for a positional
            argument.
    """

    name: str
    arguments: list
    trains: bool = False
    input: pathlib.Path | None = None
    target: str = "--output="

    def prepare(self, folder):
        """Creates the target, a new folder inside of `folder`."""
        target = pathlib.Path(folder) / "target"
        shutil.rmtree(folder, ignore_errors=True)
        pathlib.Path(folder).mkdir(parents=True)
        if self.input is not None:
            shutil.copytree(self.input, target)
        return target

    def start(self, target):
        """Arguments of the first start."""
        return [*self.arguments, f"{self.target}{target}"]

    def restart(self, target):
        """Arguments that continue an interrupted command."""
        if self.trains and (target / "config.json").exists():
            return [self.arguments[0], f"--output={target}", "--resume"]
        return self.start(target)


def write_presets(folder):
    """Writes the inputs of all commands. It uses the backend."""
    tokenizer = write_tiny_presets(folder)
    source = data.MovingShapes(24, num_frames=4, image_size=16)
    data.write_token_dataset(folder / "tokens", source, tokenizer)


def make_cases(folder):
    """Returns all cases. `folder` holds the presets and `shards`."""
    tokenizer = f"--tokenizer={folder}/tokenizer"
    classes = f"--generator={folder}/generator"
    frames = f"--generator={folder}/frames"
    computed = "--num_computed_clips=24"
    return [
        Case(
            "train-tokenizer",
            [*_TOKENIZER, computed, EVERY_STEP],
            trains=True,
        ),
        Case(
            "train-generator",
            [
                *_GENERATOR,
                *(f"--tokens={folder}/tokens", EVERY_STEP),
                *(f"--test_tokens={folder}/tokens", tokenizer),
            ],
            trains=True,
        ),
        Case(
            "tokenize",
            ["tokenize", tokenizer, computed, "--clips_per_shard=4"],
        ),
        Case(
            "generate",
            ["generate", tokenizer, classes, "--num_samples=2"],
        ),
        Case(
            "reconstruct",
            ["reconstruct", tokenizer, computed],
        ),
        Case(
            "predict-frames",
            ["predict-frames", tokenizer, frames, computed, "--num_clips=8"],
        ),
        Case(
            "evaluate reconstruction",
            [
                *("evaluate", "reconstruction", tokenizer, computed),
                *("--num_clips=16", "--save_videos", "--features=random"),
            ],
        ),
        Case(
            "evaluate generation",
            [
                *("evaluate", "generation", tokenizer, classes, computed),
                *("--num_clips=16", "--save_videos"),
            ],
        ),
        Case(
            "evaluate frame-prediction",
            [
                *("evaluate", "frame-prediction", tokenizer, frames),
                *(computed, "--num_clips=16", "--save_videos"),
            ],
        ),
        Case(
            "evaluate merge",
            ["evaluate", "merge"],
            input=folder / "shards",
            target="",
        ),
        Case(
            "convert",
            [
                *("convert", f"--preset={folder}/tokenizer"),
                "--weights_dtype=float16",
            ],
        ),
    ]


def shard_arguments(folder, index):
    """Arguments that write one of two shards for `evaluate merge`."""
    return [
        *("evaluate", "reconstruction", f"--tokenizer={folder}/tokenizer"),
        *("--num_computed_clips=24", "--num_clips=16", "--features=random"),
        *(f"--output={folder}/shards", f"--shard={index}/2"),
    ]
