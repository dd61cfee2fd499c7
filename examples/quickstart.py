"""A tokenizer with its prior and a generator, trained in minutes on two cores.

    python examples/quickstart.py                    # moving shapes
    python examples/quickstart.py --data=UCF-101     # video files

Writes to --output: originals beside reconstructions and generated clips of
each class (GIF and PNG), training curves (PNG), a table of the metrics before
and after training, and both models as presets.
"""

import pathlib
import shutil
import time

import keras
import matplotlib
import numpy as np
from absl import app, flags
from keras import ops

from keras_larp import data
from keras_larp.training import recipes

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

FLAGS = flags.FLAGS

flags.DEFINE_string("data", None, "Folder UCF-101; moving shapes without it.")
flags.DEFINE_string("output", "runs/quickstart", "Folder of the results.")
flags.DEFINE_integer("num_frames", 8, "Frames of a clip.", 1)
flags.DEFINE_integer("image_size", 32, "Height and width of a clip.", 8)
flags.DEFINE_integer("tokenizer_steps", 2500, "Training steps.", 1)
flags.DEFINE_integer("generator_steps", 600, "Training steps.", 1)
flags.DEFINE_integer("batch_size", 16, "Clips in a batch.", 1)
flags.DEFINE_integer("seed", 0, "Seed of data, weights and samples.", 0)

NUM_EPOCHS = 8  # Points of the curves.
GENERATOR_BATCH = 64  # Sequences of tokens.


def main(_):
    started = time.time()
    output = pathlib.Path(FLAGS.output)
    keras.utils.set_random_seed(FLAGS.seed)
    train, test = make_sources()
    table = {}

    tokenizer = make_tokenizer(make_dataset(train, training=True))
    test_clips = make_dataset(test, training=False)
    table["tokenizer"] = [evaluate(tokenizer, test_clips)]
    curves = tokenizer.fit(
        make_dataset(train, training=True),
        epochs=NUM_EPOCHS,
        steps_per_epoch=steps_an_epoch(FLAGS.tokenizer_steps),
        verbose=2,
    ).history
    table["tokenizer"].append(evaluate(tokenizer, test_clips))
    write_reconstructions(output, tokenizer, test)

    generator = make_generator(tokenizer, len(train.class_names))
    # As many as an epoch takes.
    count = GENERATOR_BATCH * steps_an_epoch(FLAGS.generator_steps)
    train_tokens = make_tokens(tokenizer, train, count)
    test_tokens = make_tokens(tokenizer, test, 256)
    table["generator"] = [evaluate(generator, test_tokens)]
    curves["generator_loss"] = generator.fit(
        train_tokens,
        batch_size=GENERATOR_BATCH,
        epochs=NUM_EPOCHS,
        verbose=2,
    ).history["loss"]
    table["generator"].append(evaluate(generator, test_tokens))
    labels = train_tokens["condition"]
    write_samples(output, generator, tokenizer, labels, train.class_names)

    write_curves(output / "curves.png", curves)
    write_table(output / "metrics.md", table)
    for name, model in (("tokenizer", tokenizer), ("generator", generator)):
        shutil.rmtree(output / name, ignore_errors=True)  # an earlier run's
        model.save_to_preset(output / name)
    print(f"{time.time() - started:.0f} seconds; see the files in {output}")


def make_sources():
    """Videos for training and for measuring."""
    if FLAGS.data is None:
        sizes = FLAGS.num_frames, FLAGS.image_size
        return (
            data.MovingShapes(4096, *sizes, seed=FLAGS.seed),
            data.MovingShapes(96, *sizes, seed=FLAGS.seed + 1),
        )
    try:
        return tuple(
            data.UCF101(FLAGS.data, split, missing="skip")
            for split in ("train", "test")
        )
    except ValueError as error:
        print(f"{error}\nMeasuring on the videos of the training.")
        return (data.UCF101(FLAGS.data, "all"),) * 2


def make_dataset(source, training):
    return data.video_dataset(
        source,
        FLAGS.num_frames,
        FLAGS.image_size,
        FLAGS.batch_size,
        shuffle=training,
        seed=FLAGS.seed,
        sampling="random" if training else "center",
        repeat=training,
        on_error="skip",
    )


def make_tokenizer(clips):
    """A tokenizer of 0.4 million parameters for 16 tokens a clip."""
    recipe = recipes.small_data_tokenizer(
        steps_an_epoch(FLAGS.tokenizer_steps),
        epochs=NUM_EPOCHS,
        warmup_epochs=NUM_EPOCHS / 20,
        num_frames=FLAGS.num_frames,
        image_size=FLAGS.image_size,
    )
    return recipe.build(clips)


def make_generator(tokenizer, num_classes):
    recipe = recipes.small_data_generator(
        steps_an_epoch(FLAGS.generator_steps),
        epochs=NUM_EPOCHS,
        warmup_epochs=NUM_EPOCHS / 20,
        vocab_size=tokenizer.codebook_size,
        num_tokens=tokenizer.num_tokens,
        num_classes=num_classes,
    )
    return recipe.build()


def steps_an_epoch(steps):
    return -(-steps // NUM_EPOCHS)


def make_tokens(tokenizer, source, count):
    """The tokens and classes of so many clips, encoded once."""
    clips = make_dataset(source, training=True)
    ids, labels = [], []
    for video, label in clips:
        ids.append(ops.convert_to_numpy(tokenizer.encode(video)))
        labels.append(label)
        if len(ids) * FLAGS.batch_size >= count:
            break
    return {
        "token_ids": np.concatenate(ids)[:count],
        "condition": np.concatenate(labels)[:count],
    }


def evaluate(model, dataset):
    return model.evaluate(dataset, verbose=0, return_dict=True)


def write_reconstructions(output, tokenizer, source):
    """Originals on the left, what the tokenizer makes of them on the right."""
    video, labels = next(iter(make_dataset(source, training=False)))
    video, labels = video[:12], labels[:12]
    reconstruction = tokenizer.decode(tokenizer.encode(video))
    reconstruction = ops.convert_to_numpy(reconstruction)
    pairs = np.stack([video, reconstruction], axis=1)
    names = [source.class_names[label] for label in labels]
    write_pairs(output / "reconstructions", pairs, names)


def write_samples(output, generator, tokenizer, labels, class_names):
    """Two clips of each of up to twelve classes that the videos have."""
    labels = np.unique(labels)[:12]
    video = generator.generate(
        np.repeat(labels, 2),
        guidance_scale=1.5,
        seed=FLAGS.seed,
        decode=tokenizer,
    )
    video = ops.convert_to_numpy(video)
    pairs = video.reshape(-1, 2, *video.shape[1:])
    names = [class_names[label] for label in labels]
    write_pairs(output / "generated", pairs, names)


def write_pairs(path, pairs, names):
    """Pairs of clips as a moving grid, and as film strips with names."""
    scale = max(1, 64 // FLAGS.image_size)  # of small clips, to see them
    pairs = pairs.repeat(scale, axis=3).repeat(scale, axis=4)
    clips = pairs.reshape(-1, *pairs.shape[2:])
    grid = data.video_grid(clips, num_columns=min(8, len(clips)))
    data.write_video(path.with_suffix(".gif"), grid)

    strips = [data.film_strips(pairs[:, side]) for side in (0, 1)]
    picture = np.concatenate(strips, axis=1)
    row = picture.shape[0] / len(names)
    size = picture.shape[1] / 100 + 2.5, picture.shape[0] / 100
    figure, axis = pyplot.subplots(figsize=size, layout="constrained")
    axis.imshow(picture)
    axis.set_yticks((np.arange(len(names)) + 0.5) * row, names)
    axis.set_xticks([])
    axis.set_frame_on(False)
    figure.savefig(path.with_suffix(".png"))
    pyplot.close(figure)


def write_curves(path, curves):
    names = ["loss", "psnr", "codebook_usage", "prior_loss", "generator_loss"]
    figure, axes = pyplot.subplots(1, len(names), figsize=(16, 3))
    for axis, name in zip(axes, names, strict=True):
        axis.plot(range(1, len(curves[name]) + 1), curves[name], marker=".")
        axis.set_title(name)
        axis.set_xlabel("epoch")
    figure.tight_layout()
    figure.savefig(path)


def write_table(path, table):
    lines = ["| model | metric | before | after |", "|---|---|---|---|"]
    for model, (before, after) in table.items():
        for name in before:
            numbers = f"{before[name]:.3f} | {after[name]:.3f}"
            lines.append(f"| {model} | {name} | {numbers} |")
    path.write_text("\n".join(lines) + "\n")
    print(path.read_text())


if __name__ == "__main__":
    app.run(main)
