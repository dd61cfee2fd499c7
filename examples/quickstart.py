"""Shows LARP with a pretrained preset and by training, in minutes on two cores.

    python examples/quickstart.py                    # both parts
    python examples/quickstart.py --part=preset      # only the preset
    python examples/quickstart.py --part=fit         # only training
    python examples/quickstart.py --data=UCF-101     # training on video files

The first part loads a preset that comes with the package. It writes unseen
clips with their reconstructions, generated clips of each class, continued clips
(GIF and PNG) and a table of metrics to --output. The second part trains a
tokenizer with its prior and a generator from scratch. It writes the same
images, training curves, a table of the metrics before and after training, and
both models as presets to --output/fit.
"""

import pathlib
import shutil
import time

import keras
import matplotlib
import numpy as np
from absl import app, flags
from keras import ops

from keras_larp import data, metrics, models, recipes

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

FLAGS = flags.FLAGS

flags.DEFINE_enum("part", None, ["preset", "fit"], "Run only this part.")
flags.DEFINE_string(
    "data",
    None,
    "Folder of UCF101 to train on. Default: generated moving shapes.",
)
flags.DEFINE_string("output", "runs/quickstart", "Folder for the results.")
flags.DEFINE_integer("num_frames", 8, "Frames per training clip.", 1)
flags.DEFINE_integer(
    "image_size", 32, "Height and width of a training clip.", 8
)
flags.DEFINE_integer(
    "tokenizer_steps", 1000, "Training steps of the tokenizer.", 1
)
flags.DEFINE_integer(
    "generator_steps", 300, "Training steps of the generator.", 1
)
flags.DEFINE_integer("batch_size", 16, "Clips per batch.", 1)
flags.DEFINE_integer("seed", 0, "Seed of data, weights and samples.", 0)

PRESET = "larp_tiny_moving_shapes"
NUM_CLIPS = 96  # Clips to evaluate on, with another seed than for training.
NUM_EPOCHS = 8  # Points per curve.
GENERATOR_BATCH = 64  # Token sequences per batch.


def main(_):
    started = time.time()
    output = pathlib.Path(FLAGS.output)
    keras.utils.set_random_seed(FLAGS.seed)
    if FLAGS.part == "preset" or (FLAGS.part is None and FLAGS.data is None):
        show_preset(output)
        print(f"{time.time() - started:.0f} seconds; see {output}\n")
    if FLAGS.part in ("fit", None):
        fit(output / "fit")
        print(f"{time.time() - started:.0f} seconds; see {output}/fit")


def show_preset(output):
    """Writes images and metrics of the preset for unseen clips."""
    tokenizer = models.LARPTokenizer.from_preset(f"{PRESET}_tokenizer")
    generator = models.ARVideoGenerator.from_preset(f"{PRESET}_generator")
    predictor = models.ARVideoGenerator.from_preset(
        f"{PRESET}_frame_prediction"
    )
    sizes = tokenizer.num_frames, tokenizer.image_size
    source = data.MovingShapes(NUM_CLIPS, *sizes, seed=1000 + FLAGS.seed)
    videos = np.stack([source.render(i) for i in range(len(source))])
    names = source.class_names

    token_ids = tokenizer.encode(videos)
    reconstructions = ops.convert_to_numpy(tokenizer.decode(token_ids))
    write_rows(output / "reconstructions", names, videos, reconstructions)

    labels = np.arange(len(names)).repeat(2)
    generated = generator.generate(
        labels, guidance_scale=1.25, seed=FLAGS.seed, tokenizer=tokenizer
    )
    generated = ops.convert_to_numpy(generated)
    write_rows(output / "generated", names, generated[::2], generated[1::2])

    num_given = predictor.num_condition_frames
    given = videos[: len(names), :num_given]
    continued = predictor.predict_frames(given, tokenizer, seed=FLAGS.seed)
    continued = ops.convert_to_numpy(continued)
    write_rows(output / "continued", names, videos, continued)

    later = videos[: len(names), num_given:], continued[:, num_given:]
    codes = metrics.CodeStatistics(tokenizer.codebook_size)
    codes.update_state(token_ids)
    write_table(
        output / "metrics.md",
        ["metric", "value"],
        [
            [
                "PSNR of reconstructions",
                evaluate_metric(metrics.PSNR(), videos, reconstructions),
            ],
            [
                "SSIM of reconstructions",
                evaluate_metric(metrics.SSIM(), videos, reconstructions),
            ],
            [
                f"PSNR of frames after the first {num_given}",
                evaluate_metric(metrics.PSNR(), *later),
            ],
            ["tokens per clip", tokenizer.num_tokens],
            ["fraction of codes used", float(codes.result()["codebook_usage"])],
            ["codebook perplexity", float(codes.result()["perplexity"])],
        ],
    )


def evaluate_metric(metric, videos, others):
    metric.update_state(videos, others)
    return float(metric.result())


def fit(output):
    """Trains a tokenizer and a generator from scratch."""
    train, test = make_sources()
    table = {}

    tokenizer = make_tokenizer(make_dataset(train, training=True))
    test_clips = make_dataset(test, training=False)
    table["tokenizer"] = [evaluate(tokenizer, test_clips)]
    curves = tokenizer.fit(
        make_dataset(train, training=True),
        epochs=NUM_EPOCHS,
        steps_per_epoch=steps_per_epoch(FLAGS.tokenizer_steps),
        verbose=2,
    ).history
    table["tokenizer"].append(evaluate(tokenizer, test_clips))
    write_reconstructions(output, tokenizer, test)

    generator = make_generator(tokenizer, len(train.class_names))
    # As many clips as an epoch has.
    count = GENERATOR_BATCH * steps_per_epoch(FLAGS.generator_steps)
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
    labels = train_tokens["class_ids"]
    write_samples(output, generator, tokenizer, labels, train.class_names)

    write_curves(output / "curves.png", curves)
    rows = [
        [model, name, before[name], after[name]]
        for model, (before, after) in table.items()
        for name in before
    ]
    header = ["model", "metric", "before", "after"]
    write_table(output / "metrics.md", header, rows)
    for name, model in (("tokenizer", tokenizer), ("generator", generator)):
        shutil.rmtree(output / name, ignore_errors=True)  # of an earlier run
        model.save_to_preset(output / name)


def make_sources():
    """Returns the videos for training and for evaluation."""
    if FLAGS.data is None:
        sizes = FLAGS.num_frames, FLAGS.image_size
        return (
            data.MovingShapes(4096, *sizes, seed=FLAGS.seed),
            data.MovingShapes(NUM_CLIPS, *sizes, seed=FLAGS.seed + 1),
        )
    try:
        return tuple(
            data.UCF101(FLAGS.data, split, on_error="skip")
            for split in ("train", "test")
        )
    except ValueError as error:
        print(f"{error}\nEvaluating on the training videos.")
        return (data.UCF101(FLAGS.data, "all"),) * 2


def make_dataset(source, training):
    return data.video_dataset(
        source,
        FLAGS.num_frames,
        FLAGS.image_size,
        FLAGS.batch_size,
        shuffle=training,
        seed=FLAGS.seed,
        frame_sampling="random" if training else "center",
        repeat=training,
        on_error="skip",
    )


def make_tokenizer(clips):
    """Returns a tokenizer with 0.4 million parameters, 16 tokens per clip."""
    recipe = recipes.small_data_tokenizer(
        steps_per_epoch(FLAGS.tokenizer_steps),
        epochs=NUM_EPOCHS,
        warmup_epochs=NUM_EPOCHS / 20,
        num_frames=FLAGS.num_frames,
        image_size=FLAGS.image_size,
    )
    return recipe.build(clips)


def make_generator(tokenizer, num_classes):
    recipe = recipes.small_data_generator(
        steps_per_epoch(FLAGS.generator_steps),
        epochs=NUM_EPOCHS,
        warmup_epochs=NUM_EPOCHS / 20,
        vocab_size=tokenizer.codebook_size,
        num_tokens=tokenizer.num_tokens,
        num_classes=num_classes,
    )
    return recipe.build()


def steps_per_epoch(steps):
    return -(-steps // NUM_EPOCHS)


def make_tokens(tokenizer, source, count):
    """Returns the tokens and class ids of `count` clips."""
    clips = make_dataset(source, training=True)
    ids, labels = [], []
    for video, label in clips:
        ids.append(ops.convert_to_numpy(tokenizer.encode(video)))
        labels.append(label)
        if len(ids) * FLAGS.batch_size >= count:
            break
    return {
        "token_ids": np.concatenate(ids)[:count],
        "class_ids": np.concatenate(labels)[:count],
    }


def evaluate(model, dataset):
    return model.evaluate(dataset, verbose=0, return_dict=True)


def write_reconstructions(output, tokenizer, source):
    """Writes originals (left) and their reconstructions (right)."""
    video, labels = next(iter(make_dataset(source, training=False)))
    video, labels = video[:12], labels[:12]
    reconstruction = tokenizer.decode(tokenizer.encode(video))
    reconstruction = ops.convert_to_numpy(reconstruction)
    names = [source.class_names[label] for label in labels]
    write_rows(output / "reconstructions", names, video, reconstruction)


def write_samples(output, generator, tokenizer, labels, class_names):
    """Writes two clips each of up to twelve classes of the data."""
    labels = np.unique(labels)[:12]
    video = generator.generate(
        np.repeat(labels, 2),
        guidance_scale=1.5,
        seed=FLAGS.seed,
        tokenizer=tokenizer,
    )
    video = ops.convert_to_numpy(video)
    names = [class_names[label] for label in labels]
    write_rows(output / "generated", names, video[::2], video[1::2])


def write_rows(path, names, *columns):
    """Writes rows of clips with names, as a GIF and as film strips."""
    columns = [videos[: len(names)] for videos in columns]
    clips = np.stack(columns, axis=1)  # (rows, columns, T, H, W, 3)
    clips = clips.reshape(-1, *clips.shape[2:])
    scale = max(1, 64 // clips.shape[2])  # Enlarges small clips.
    clips = clips.repeat(scale, axis=2).repeat(scale, axis=3)
    grid = data.video_grid(clips, len(columns), row_names=names)
    data.write_video(path.with_suffix(".gif"), grid)
    strips = data.film_strips(clips, num_columns=len(columns), row_names=names)
    data.write_image(path.with_suffix(".png"), strips)


def write_curves(path, curves):
    names = ["loss", "psnr", "codebook_usage", "prior_loss", "generator_loss"]
    figure, axes = pyplot.subplots(1, len(names), figsize=(16, 3))
    for axis, name in zip(axes, names, strict=True):
        axis.plot(range(1, len(curves[name]) + 1), curves[name], marker=".")
        axis.set_title(name)
        axis.set_xlabel("epoch")
    figure.tight_layout()
    figure.savefig(path)


def write_table(path, header, rows):
    lines = [header, ["---"] * len(header)]
    for row in rows:
        lines.append(
            [f"{x:.3f}" if isinstance(x, float) else str(x) for x in row]
        )
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    path.write_text(text)
    print(text)


if __name__ == "__main__":
    app.run(main)
