"""Runs the commands that share their work between processes.

The test runs it in its own process, and in two processes under torchrun.
"""

import json
import pathlib
import sys

from run_command import run_here

from keras_larp import distribution, models
from keras_larp.cli import (
    clip_files,
    evaluate_frame_prediction,
    evaluate_generation,
    evaluate_reconstruction,
    generate,
    launcher,
    predict_frames,
    tokenize,
)

EVALUATIONS = ("reconstruction", "again", "generation", "frame_prediction")


def run_all(presets, folder):
    """Runs all commands.

    Args:
        presets: Path of presets `tokenizer`, `generator` and `frames`.
        folder: Path of the outputs.
    """
    clip_files.GRID_CLIPS = 2
    tokenizer = f"--tokenizer={presets}/tokenizer"
    generator = f"--generator={presets}/generator"
    frames = f"--generator={presets}/frames"

    def run(command, name, *arguments):
        run_here(
            command,
            f"--output={folder / name}",
            *(tokenizer, "--batch_size=2", *arguments),
        )

    clips = "--num_computed_clips=10"
    run(tokenize, "tokens", clips, "--clips_per_shard=3")
    run(generate, "generated", generator, "--num_samples=2")
    run(predict_frames, "continued", frames, clips, "--num_clips=3")
    evaluation = clips, "--num_clips=5"
    run(evaluate_reconstruction, "reconstruction", *evaluation)
    run(evaluate_reconstruction, "again", *evaluation)
    other = "--num_clips=4", "--overwrite"
    run(evaluate_reconstruction, "again", clips, *other)
    run(evaluate_generation, "generation", generator, *evaluation)
    run(evaluate_frame_prediction, "frame_prediction", frames, *evaluation)


def count_calls(counts, owner, name):
    """Counts the calls of a method in a dictionary."""
    function = getattr(owner, name)

    def call(*args, **kwargs):
        counts[name] = counts.get(name, 0) + 1
        return function(*args, **kwargs)

    setattr(owner, name, call)


def main(presets, folder):
    """One process of the job: it also records its part of the work."""
    distribution.initialize()
    index = distribution.process_index()
    try:
        with distribution.lock_job_folder(folder / "locked"):
            refusal = None
    except (BlockingIOError, ValueError) as error:
        refusal = str(error)
    counts = {}
    count_calls(counts, models.LARPTokenizer, "encode")
    count_calls(counts, models.ARVideoGenerator, "generate")
    run_all(presets, folder)
    record = {"refusal": refusal, "launched": launcher.is_launched(), **counts}
    path = folder / f"process_{index}.json"
    path.write_text(json.dumps(record))


if __name__ == "__main__":
    main(*map(pathlib.Path, sys.argv[1:]))
