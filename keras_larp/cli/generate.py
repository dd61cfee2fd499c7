"""Generates clips of classes, and writes them as video files and a grid.

    keras-larp generate --tokenizer=larp_l_long_tokenizer \\
        --generator=larp_l_long_generator --classes=0,5,42 --output=runs/clips

A preset is a name, a folder, or an address such as hf://owner/repository.
"""

import pathlib

import numpy as np
from absl import flags
from keras import ops

from keras_larp import data, models

FLAGS = flags.FlagValues()

flags.DEFINE_string(
    "tokenizer", None, "Preset of the tokenizer.", flag_values=FLAGS
)
flags.DEFINE_string(
    "generator", None, "Preset of the generator.", flag_values=FLAGS
)
flags.mark_flags_as_required(["tokenizer", "generator"], flag_values=FLAGS)
flags.DEFINE_list(
    "classes", None, "Class ids; all where not given.", flag_values=FLAGS
)
flags.DEFINE_integer(
    "num_samples", 4, "Clips of each class.", 1, flag_values=FLAGS
)
flags.DEFINE_integer(
    "batch_size", 8, "Clips generated at once.", 1, flag_values=FLAGS
)
flags.DEFINE_float(
    "guidance_scale", 1.25, "1 for no guidance.", 1.0, flag_values=FLAGS
)
flags.DEFINE_integer(
    "guidance_interval", -1, "Guided steps; -1 for all.", -1, flag_values=FLAGS
)
flags.DEFINE_float(
    "temperature", 1.0, "0 takes the likeliest token.", 0.0, flag_values=FLAGS
)
flags.DEFINE_integer(
    "top_k", 0, "Draw among so many tokens; 0 for all.", 0, flag_values=FLAGS
)
flags.DEFINE_float(
    "top_p", 1.0, "Draw among the likeliest tokens.", flag_values=FLAGS
)
flags.DEFINE_integer("seed", 0, "Seed of the samples.", 0, flag_values=FLAGS)
flags.DEFINE_integer(
    "fps", 8, "Frames a second of the files.", 1, flag_values=FLAGS
)
flags.DEFINE_string(
    "output", "runs/clips", "Folder of the video files.", flag_values=FLAGS
)


def main(values):
    """Generates, and writes the files.

    Args:
        values: The parsed `FLAGS`.
    """
    output = pathlib.Path(values.output)
    tokenizer = models.LARPTokenizer.from_preset(values.tokenizer)
    generator = models.ARVideoGenerator.from_preset(values.generator)
    classes = [int(c) for c in values.classes or range(generator.num_classes)]
    labels = np.repeat(classes, values.num_samples)
    videos = generator.generate(
        labels,
        guidance_scale=values.guidance_scale,
        guidance_interval=values.guidance_interval,
        temperature=values.temperature,
        top_k=values.top_k,
        top_p=values.top_p,
        seed=values.seed,
        decode=tokenizer,
        batch_size=min(values.batch_size, len(labels)),
        verbose=1,
    )
    videos = ops.convert_to_numpy(videos)
    for i, (label, video) in enumerate(zip(labels, videos, strict=True)):
        number = i % values.num_samples
        path = output / f"class_{label:03d}_{number:03d}.mp4"
        data.write_video(path, video, values.fps)
    grid = data.video_grid(videos, values.num_samples)
    data.write_video(output / "grid.gif", grid, values.fps)
    print(f"Wrote {len(videos)} clips and grid.gif to {output}")
