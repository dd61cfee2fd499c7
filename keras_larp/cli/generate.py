"""Generates clips of classes and writes them as video files and a grid.

    keras-larp generate --tokenizer=larp_l_long_tokenizer \\
        --generator=larp_l_long_generator --classes=0,5,42 --output=runs/clips

Files are named after classes, such as boxing_000.mp4. Each file is written as
soon as its clip is generated, and running the command again generates only the
missing ones. The processes of a launcher, such as torchrun or srun, share the
work; --shard splits it without a launcher.
"""

import re

import numpy as np
from absl import flags

from keras_larp.cli import clip_files, data_flags, launcher, model_flags
from keras_larp.utils.arrays import to_numpy

FLAGS = flags.FlagValues()
flags.DEFINE_list(
    "classes",
    None,
    "Class names or class ids, -1 for no class. If omitted, all classes.",
    flag_values=FLAGS,
)
flags.DEFINE_string(
    "class_names",
    None,
    "Class names, if the generator does not have them: ucf101, moving_shapes, "
    "atari, or a text file with one name per line.",
    flag_values=FLAGS,
)
flags.DEFINE_integer("num_samples", 4, "Clips per class.", 1, flag_values=FLAGS)
flags.DEFINE_integer(
    "batch_size", 8, "Clips generated per batch.", 1, flag_values=FLAGS
)
model_flags.define_tokenizer(FLAGS)
model_flags.define_generator(FLAGS)
model_flags.define_sampling(FLAGS, guided=True, seed="seed")
clip_files.define(FLAGS, "runs/clips")


def main(values: flags.FlagValues) -> None:
    """Generates the missing clips and writes their files.

    Args:
        values: The parsed `FLAGS`.
    """
    launcher.initialize(values)
    tokenizer = model_flags.load_tokenizer(values)
    generator = model_flags.load_generator(values)
    class_names = generator.class_names
    if values.class_names is not None:
        class_names = data_flags.load_class_names(values.class_names)
        if len(class_names) != generator.num_classes:
            raise ValueError(
                f"This generator has {generator.num_classes} classes. "
                f"Received: --class_names={values.class_names} with "
                f"{len(class_names)} names"
            )
    # Each class once, whether it is given by name or by id.
    class_ids = list(
        dict.fromkeys(
            _class_id(value, class_names, generator.num_classes)
            for value in values.classes or generator.known_classes
        )
    )
    stems = file_stems(class_names, generator.num_classes)
    sampling = model_flags.sampling_options(values, seed="seed")
    row_names = None
    if class_names is not None:
        row_names = [
            class_names[class_id] if class_id >= 0 else "no class"
            for class_id in class_ids
        ]
    labels = np.repeat(class_ids, values.num_samples)
    batch_size = min(values.batch_size, len(labels))
    with clip_files.open_clip_files(
        values,
        [
            f"{stems[class_id]}_{sample:03d}"
            for class_id in class_ids
            for sample in range(values.num_samples)
        ],
        values.num_samples,
        {
            **model_flags.fingerprints(tokenizer, generator),
            "classes": class_ids,
            "class_files": [stems[class_id] for class_id in class_ids],
            "num_samples": values.num_samples,
            **sampling,
        },
    ) as files:
        for batch in files.batches(batch_size):
            videos = generator.generate(
                labels[batch.start : batch.stop],
                tokenizer=tokenizer,
                batch_size=batch_size,
                sample_offset=batch.start,
                **sampling,
            )
            for index, video in zip(batch, to_numpy(videos), strict=True):
                files.write(index, video)
        files.finish(row_names)


def file_stems(
    class_names: list[str] | None, num_classes: int
) -> dict[int, str]:
    """Returns the start of the file names of each class.

    Args:
        class_names: List of strings, or `None` to use class ids.
        num_classes: Integer. Number of classes.

    Returns:
        Dictionary from class ids, and -1 for no class, to strings. They are
        distinct even on file systems that ignore case.

    Example:

    ```python
    file_stems(["Clean and Jerk", "a/b", "a b"], 3)
    # {-1: "no_class", 0: "Clean_and_Jerk", 1: "a_b", 2: "a_b_002"}
    ```
    """
    stems = {-1: "no_class"}
    used = set(stems.values())
    for class_id, name in enumerate(class_names or [""] * num_classes):
        stem = re.sub(r"\W+", "_", name).strip("_")[:80]
        stem = stem or f"class_{class_id:03d}"
        while stem.lower() in used:
            stem = f"{stem}_{class_id:03d}"
        used.add(stem.lower())
        stems[class_id] = stem
    return stems


def _class_id(value, class_names, num_classes):
    """Returns the class id of a class name or of a string with an id."""
    if class_names is not None and value in class_names:
        return class_names.index(value)
    try:
        class_id = int(value)
    except ValueError:
        class_id = None
    if class_id is None or not -1 <= class_id < num_classes:
        known = "none" if class_names is None else ", ".join(class_names)
        raise ValueError(
            "--classes must be class names or class ids from -1 to "
            f"{num_classes - 1}. Received: {value!r}; class names: {known}"
        )
    return class_id
