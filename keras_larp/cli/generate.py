"""Generates clips of classes, and writes them as video files and a grid.

    keras-larp generate --tokenizer=larp_l_long_tokenizer \\
        --generator=larp_l_long_generator --classes=0,5,42 --output=runs/clips

A preset is a name, a folder, or an address such as hf://owner/repository.
"""

import numpy as np
from absl import flags
from keras import ops

from keras_larp import data
from keras_larp.cli import data_flags, model_flags

FLAGS = flags.FlagValues()

model_flags.define_tokenizer(FLAGS)
model_flags.define_generator(FLAGS)
model_flags.define_sampling(FLAGS, guided=True, seed="seed")
model_flags.define_files(FLAGS, "runs/clips")
flags.DEFINE_list(
    "classes",
    None,
    "Ids or names of classes; all where not given.",
    flag_values=FLAGS,
)
flags.DEFINE_string(
    "class_names",
    None,
    "Names of the classes, where the generator does not know them: ucf101, "
    "moving_shapes, atari, or a text file with a name a line.",
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "num_samples", 4, "Clips of each class.", 1, flag_values=FLAGS
)
flags.DEFINE_integer(
    "batch_size", 8, "Clips generated at once.", 1, flag_values=FLAGS
)


def main(values):
    """Generates, and writes the files.

    Args:
        values: The parsed `FLAGS`.
    """
    tokenizer = model_flags.load_tokenizer(values)
    generator = model_flags.load_generator(values)
    names = generator.class_names
    if values.class_names is not None:
        names = data_flags.load_class_names(values.class_names)
        if len(names) != generator.num_classes:
            raise ValueError(
                f"This generator has {generator.num_classes} classes. "
                f"Received: --class_names={values.class_names}, of {len(names)}"
            )
    classes = values.classes or range(generator.num_classes)
    classes = [_class_id(value, names) for value in classes]
    labels = np.repeat(classes, values.num_samples)
    videos = generator.generate(
        labels,
        decode=tokenizer,
        batch_size=min(values.batch_size, len(labels)),
        verbose=1,
        **model_flags.sampling_options(values, seed="seed"),
    )
    videos = ops.convert_to_numpy(videos)
    row_names = None if names is None else [names[c] for c in classes]
    grid = data.video_grid(videos, values.num_samples, row_names=row_names)
    files = [
        f"class_{label:03d}_{i % values.num_samples:03d}"
        for i, label in enumerate(labels)
    ]
    model_flags.write_files(values, files, videos, grid)


def _class_id(value, names):
    """The class id that a flag's value, an id or a name, stands for."""
    if names is not None and value in names:
        return names.index(value)
    try:
        return int(value)
    except ValueError:
        known = "none" if names is None else ", ".join(names)
        raise ValueError(
            "--classes takes ids and names of classes. "
            f"Received: {value!r}; names: {known}"
        ) from None
