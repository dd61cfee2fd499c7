"""Does a prior that is trained along make tokens easier to generate?

    python examples/prior_ablation.py                        # moving shapes
    python examples/prior_ablation.py --data_format=atari
    python examples/prior_ablation.py --data=UCF-101 \\
        --i3d=i3d_pretrained_400.pt \\
        --tokenizer_recipe=larp_l_long_tokenizer \\
        --generator_recipe=larp_l_long_generator

Trains, for each seed, two tokenizers that are equal but for the weight of the
prior loss, and a generator on the tokens of each, with the same budget. Writes
to --output what came out, with its spread: `prior_ablation.md`, `.json` and
`.png`. Runs that are done are not done again.

With Kinetics weights of I3D (--i3d) distances are FVDs; without, features are
those of a classifier of moving shapes, or of a fixed random network.
"""

import json
import pathlib

import keras
import matplotlib
import numpy as np
from absl import app, flags
from keras import ops

from keras_larp import evaluation
from keras_larp.cli import data_flags
from keras_larp.training import recipes

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

FLAGS = flags.FLAGS

data_flags.define(FLAGS)
flags.DEFINE_integer("num_seeds", 3, "Runs of each kind.", 1)
flags.DEFINE_float("prior_loss_weight", 0.06, "Of those with the prior.", 0.0)
flags.DEFINE_string("tokenizer_recipe", "small_data_tokenizer", "By name.")
flags.DEFINE_string("generator_recipe", "small_data_generator", "By name.")
flags.DEFINE_integer("epochs", 8, "Points of the curves.", 1)
flags.DEFINE_integer("tokenizer_steps", 2000, "Of each run.", 1)
flags.DEFINE_integer("generator_steps", 800, "Of each run.", 1)
flags.DEFINE_integer(
    "num_evaluated",
    480,
    "Generated clips; and real ones, where these are computed.",
    2,
)
flags.DEFINE_float("guidance_scale", 1.0, "1 for no guidance.", 1.0)
flags.DEFINE_string("i3d", None, "File of I3D's weights.")
flags.DEFINE_string("output", "runs/prior_ablation", "Folder of the results.")


def main(_):
    output = pathlib.Path(FLAGS.output)
    results = {}
    for seed in range(FLAGS.num_seeds):
        for kind, weight in (
            ("prior", FLAGS.prior_loss_weight),
            ("no_prior", 0.0),
        ):
            path = output / f"{kind}_{seed}" / "results.json"
            if not path.exists():
                run(path, weight, seed)
            results.setdefault(kind, []).append(json.loads(path.read_text()))
    write(output, results)


def run(path, prior_loss_weight, seed):
    """Trains and measures a tokenizer and a generator of its tokens."""
    folder = path.parent
    keras.utils.set_random_seed(FLAGS.seed + seed)
    recipe = recipes.RECIPES[FLAGS.tokenizer_recipe](
        -(-FLAGS.tokenizer_steps // FLAGS.epochs),
        epochs=FLAGS.epochs,
        prior_loss_weight=prior_loss_weight,
    )
    sizes = recipe.settings["num_frames"], recipe.settings["image_size"]
    train = data_flags.make_source(FLAGS, "train", *sizes)
    test = data_flags.make_source(FLAGS, "test", *sizes, FLAGS.num_evaluated)

    def clips_of(source, training):
        batch_size = recipe.settings["batch_size"]
        return data_flags.make_dataset(
            FLAGS, source, *sizes, batch_size, training
        )

    tokenizer = recipe.build(clips_of(train, True))
    arguments = recipe.fit_arguments()
    tokenizer.fit(clips_of(train, True), verbose=2, **arguments)
    recipe = recipes.RECIPES[FLAGS.generator_recipe](
        -(-FLAGS.generator_steps // FLAGS.epochs),
        epochs=FLAGS.epochs,
        vocab_size=tokenizer.codebook_size,
        num_tokens=tokenizer.num_tokens,
        num_classes=len(train.class_names),
    )
    generator = recipe.build()
    batch_size = recipe.settings["batch_size"]
    arguments = recipe.fit_arguments()
    count = batch_size * arguments.pop("steps_per_epoch")  # In an epoch.
    train_tokens = tokens_of(tokenizer, clips_of(train, True), count)
    test_tokens = tokens_of(tokenizer, clips_of(test, False))
    generator.fit(train_tokens, batch_size=batch_size, verbose=2, **arguments)
    measured = generator.evaluate(test_tokens, verbose=0, return_dict=True)
    results = {f"generator_{name}": value for name, value in measured.items()}

    # Of videos that neither was trained on, as many as there are.
    clips = evaluation.ChosenClips(test, *sizes, sampling="center")
    labels = train_tokens["condition"][: FLAGS.num_evaluated]
    extractor, classifier = judges(sizes[0])
    evaluation.evaluate_reconstruction(
        folder / "reconstruction", tokenizer, clips, extractor, verbose=0
    )
    evaluation.evaluate_generation(
        folder / "generation",
        generator,
        tokenizer,
        labels,
        clips,
        extractor,
        sampling={"guidance_scale": FLAGS.guidance_scale, "seed": seed},
        classifier=classifier,
        verbose=0,
    )
    for kind in ("reconstruction", "generation"):
        found, _ = evaluation.merge(folder / kind)
        results |= {f"{kind}_{name}": value for name, value in found.items()}
    path.write_text(json.dumps(results, indent=2) + "\n")


def tokens_of(tokenizer, clips, count=None):
    """Tokens and classes of so many clips, or all, encoded once."""
    token_ids, labels = [], []
    for video, label in clips:
        token_ids.append(ops.convert_to_numpy(tokenizer.encode(video)))
        labels.append(label)
        if count is not None and sum(map(len, labels)) >= count:
            break
    return {
        "token_ids": np.concatenate(token_ids)[:count],
        "condition": np.concatenate(labels)[:count],
    }


def judges(num_frames):
    """What clips are compared by: features, and a classifier or `None`."""
    if FLAGS.i3d is not None:
        return evaluation.i3d_features(FLAGS.i3d), None
    if FLAGS.data or FLAGS.data_format not in (None, "moving_shapes"):
        return evaluation.random_features(), None
    classifier = evaluation.load_or_train_shape_classifier(
        pathlib.Path(FLAGS.output) / "shapes.weights.h5", num_frames
    )
    return evaluation.shape_features(classifier), classifier


def write(output, results):
    """A table of means and standard deviations, and a picture."""
    names = [
        name
        for name, value in results["prior"][0].items()
        if isinstance(value, int | float)
    ]
    columns = {
        kind: {name: [run[name] for run in runs] for name in names}
        for kind, runs in results.items()
    }
    text = json.dumps({"flags": FLAGS.flag_values_dict(), **columns}, indent=2)
    (output / "prior_ablation.json").write_text(text + "\n")
    lines = ["| | prior | no prior | difference |", "|---|---|---|---|"]
    for name in names:
        with_prior, without = (columns[k][name] for k in ("prior", "no_prior"))
        difference = np.subtract(with_prior, without)
        cells = map(spread, (with_prior, without, difference))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    table = "\n".join(lines) + "\n"
    (output / "prior_ablation.md").write_text(table)
    print(f"Mean and standard deviation of {FLAGS.num_seeds} runs:\n\n{table}")

    shown = [
        name
        for name in names
        if "distance" in name or "FVD" in name or name.endswith("PSNR")
    ]
    shown.append("generator_loss")
    figure, axes = pyplot.subplots(1, len(shown), figsize=(3 * len(shown), 3))
    for axis, name in zip(axes, shown, strict=True):
        for place, kind in enumerate(columns):
            values = columns[kind][name]
            axis.scatter([place] * len(values), values, alpha=0.6)
            axis.errorbar(place, np.mean(values), np.std(values), fmt="k_")
        axis.set_xticks([0, 1], list(columns))
        axis.set_xlim(-0.5, 1.5)
        axis.set_title(name, fontsize=7)
    figure.tight_layout()
    figure.savefig(output / "prior_ablation.png", dpi=120)
    pyplot.close(figure)


def spread(values):
    return f"{np.mean(values):.4g} ± {np.std(values):.2g}"


if __name__ == "__main__":
    app.run(main)
