"""Generates clips of classes, and writes them as video files and a grid.

    keras-larp generate --tokenizer=larp_l_long_tokenizer \\
        --generator=larp_l_long_generator --classes=0,5,42 --output=runs/clips

A preset is a name, a folder, or an address such as hf://owner/repository.
Each file is written as it is made, and a run that was killed goes on with
those that are missing; --shard shares many clips out among processes.
"""

import numpy as np
from absl import flags
from keras import ops

from keras_larp.cli import clip_files, data_flags, model_flags

FLAGS = flags.FlagValues()

model_flags.define_tokenizer(FLAGS)
model_flags.define_generator(FLAGS)
model_flags.define_sampling(FLAGS, guided=True, seed="seed")
clip_files.define(FLAGS, "runs/clips")
flags.DEFINE_list(
    "classes",
    None,
    "Ids or names of classes, -1 for no class; all where not given.",
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
    """Generates the clips that are missing, and writes the files.

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
    classes = values.classes or generator.known_classes
    # Each once, by name or by id.
    classes = list(dict.fromkeys(_class_id(value, names) for value in classes))
    labels = np.repeat(classes, values.num_samples)
    sampling = model_flags.sampling_options(values, seed="seed")
    files = clip_files.ClipFiles(
        values,
        [
            f"{_class_file(label)}_{i % values.num_samples:03d}"
            for i, label in enumerate(labels)
        ],
        values.num_samples,
        {
            **model_flags.identities(tokenizer, generator),
            "classes": classes,
            "num_samples": values.num_samples,
            **sampling,
        },
    )
    batch_size = min(values.batch_size, len(labels))
    for numbers in files.batches(batch_size):
        videos = generator.generate(
            labels[numbers.start : numbers.stop],
            tokenizer=tokenizer,
            batch_size=batch_size,
            sample_offset=numbers.start,
            **sampling,
        )
        videos = ops.convert_to_numpy(videos)
        for number, video in zip(numbers, videos, strict=True):
            files.write(number, video)
    row_names = None
    if names is not None:
        row_names = [names[c] if c >= 0 else "no class" for c in classes]
    files.finish(row_names)


def _class_file(label):
    return f"class_{label:03d}" if label >= 0 else "no_class"


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
