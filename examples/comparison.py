"""Compares tokenizer settings: same clips, same budget, several seeds.

For each variant and seed, a tokenizer and then a generator on its tokens are
trained, and both are evaluated on held-out clips.
"""

import json
import pathlib

import keras
import matplotlib
import numpy as np
from absl import flags
from keras import ops

from keras_larp import evaluation, recipes
from keras_larp.cli import data_flags, evaluate_flags
from keras_larp.utils.files import atomic_write_text

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

# Results that tables and plots show, in this order.
_SHOWN = (
    "tokenizer_codebook_usage",
    "tokenizer_perplexity",
    "reconstruction_PSNR",
    "reconstruction_*",  # The Fréchet distance, named after its features.
    "tokenizer_prior_top1",
    "generator_loss",
    "generation_class_fidelity",
    "generation_*",
)


def define(values, output, variants):
    """Defines the flags of a comparison.

    Args:
        values: A `flags.FlagValues`.
        output: String. Default folder of the results.
        variants: List of strings. Names of the variants.
    """
    data_flags.define(values)

    def integer(name, default, text, least=1):
        flags.DEFINE_integer(name, default, text, least, flag_values=values)

    def string(name, default, text):
        flags.DEFINE_string(name, default, text, flag_values=values)

    flags.DEFINE_multi_enum(
        "variant",
        variants,
        variants,
        "Variants to train. Several processes can train one each.",
        flag_values=values,
    )
    integer("num_seeds", 3, "Runs per variant.")
    string("tokenizer_recipe", "small_data_tokenizer", "Recipe name.")
    string("generator_recipe", "small_data_generator", "Recipe name.")
    integer("epochs", 8, "Epochs of tokenizer and of generator.")
    integer("tokenizer_steps", 2000, "Training steps per tokenizer.")
    integer("generator_steps", 800, "Training steps per generator.")
    integer(
        "num_evaluated",
        480,
        "Generated clips, and held-out clips of generated data.",
        2,
    )
    flags.DEFINE_float(
        "guidance_scale",
        1.0,
        "Classifier-free guidance scale; 1 disables guidance.",
        1.0,
        flag_values=values,
    )
    string("i3d", None, "File with I3D weights, to compute FVD.")
    string("output", output, "Folder for the results.")


def compare(values, variants):
    """Trains and evaluates the missing runs, and reports the results.

    Writes `comparison.md`, `.json` and `.png` to `values.output`. They contain
    the variants for which all runs are complete.

    Args:
        values: The parsed flags of `define`.
        variants: Dictionary from variant names to settings of the tokenizer's
            recipe.

    Returns:
        String. The tables in Markdown.
    """
    output = pathlib.Path(values.output)
    for seed in range(values.num_seeds):
        for name in values.variant:
            path = _results_path(output, name, seed)
            if not path.exists():
                print(f"== {name}, seed {seed}")
                results = _train_and_evaluate(
                    values, variants[name], seed, path
                )
                _write_json(path, results)
    complete = {}
    for name in variants:
        paths = [
            _results_path(output, name, seed)
            for seed in range(values.num_seeds)
        ]
        if all(path.exists() for path in paths):
            complete[name] = [json.loads(path.read_text()) for path in paths]
    return _write(values, output, complete)


def _results_path(output, name, seed):
    return output / f"{name}_{seed}" / "results.json"


def _write_json(path, content):
    # Written atomically: a run whose results exist is complete.
    atomic_write_text(path, json.dumps(content, indent=2) + "\n")


def _train_and_evaluate(values, overrides, seed, path):
    """Trains a tokenizer and a generator; returns metrics by name."""
    folder = path.parent
    keras.utils.set_random_seed(values.seed + seed)
    recipe = recipes.RECIPES[values.tokenizer_recipe](
        -(-values.tokenizer_steps // values.epochs),
        epochs=values.epochs,
        **overrides,
    )
    sizes = recipe.num_frames, recipe.image_size
    train = data_flags.make_source(values, "train", *sizes)
    test = data_flags.make_source(values, "test", *sizes, values.num_evaluated)
    train, test = (
        data_flags.kept(values, source, sizes[1]) for source in (train, test)
    )

    def clips_of(source, training):
        return data_flags.make_dataset(
            values, source, *sizes, recipe.batch_size, training
        )

    tokenizer = recipe.build(clips_of(train, True))
    arguments = recipe.fit_arguments()
    tokenizer.fit(clips_of(train, True), verbose=2, **arguments)
    results = _evaluate("tokenizer", tokenizer, clips_of(test, False))
    generator_recipe = recipes.RECIPES[values.generator_recipe](
        -(-values.generator_steps // values.epochs),
        epochs=values.epochs,
        vocab_size=tokenizer.codebook_size,
        num_tokens=tokenizer.num_tokens,
        num_classes=len(train.class_names),
    )
    generator = generator_recipe.build()
    batch_size = generator_recipe.batch_size
    arguments = generator_recipe.fit_arguments()
    count = batch_size * arguments.pop("steps_per_epoch")  # Per epoch.
    train_tokens = _encode(tokenizer, clips_of(train, True), count)
    test_tokens = _encode(tokenizer, clips_of(test, False))
    generator.fit(train_tokens, batch_size=batch_size, verbose=2, **arguments)
    results |= _evaluate("generator", generator, test_tokens)

    clips = evaluation.EvaluationClips(test, *sizes, frame_sampling="center")
    labels = train_tokens["class_ids"][: values.num_evaluated]
    extractor, classifier = _load_feature_extractor(values, sizes[0])
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
        generate_options={
            "guidance_scale": values.guidance_scale,
            "seed": seed,
        },
        classifier=classifier,
        verbose=0,
    )
    for kind in ("reconstruction", "generation"):
        merged, _ = evaluation.merge(folder / kind)
        results |= {f"{kind}_{name}": value for name, value in merged.items()}
    return {
        name: value
        for name, value in results.items()
        if isinstance(value, int | float)
    }


def _evaluate(kind, model, dataset):
    metrics = model.evaluate(dataset, verbose=0, return_dict=True)
    return {f"{kind}_{name}": value for name, value in metrics.items()}


def _encode(tokenizer, clips, count=None):
    """Returns tokens and class ids of `count` clips; of all if `None`."""
    token_ids, labels = [], []
    for video, label in clips:
        token_ids.append(ops.convert_to_numpy(tokenizer.encode(video)))
        labels.append(label)
        if count is not None and sum(map(len, labels)) >= count:
            break
    return {
        "token_ids": np.concatenate(token_ids)[:count],
        "class_ids": np.concatenate(labels)[:count],
    }


def _load_feature_extractor(values, num_frames):
    """Returns a feature extractor, and a classifier or `None`."""
    if values.i3d is not None:
        return evaluation.i3d_features(values.i3d), None
    if data_flags.data_format(values) not in data_flags.CLASSIFIED:
        return evaluation.random_features(), None
    classifier = evaluate_flags.load_classifier(values, num_frames)
    return evaluation.class_features(classifier), classifier


def _settings(values):
    """Returns the flags that the results depend on.

    A script shares `absl.flags.FLAGS` with other packages, whose flags are left
    out.
    """
    own = flags.FlagValues()
    define(own, values.output, values.variant)
    return {name: values[name].value for name in own if name != "output"}


def _write(values, output, results):
    """Writes tables of means and standard deviations, and a plot."""
    if not results:
        return "No variant is complete yet.\n"
    first = next(iter(results))
    names = _select_columns(results[first][0])
    columns = {
        variant: {n: np.array([run[n] for run in runs]) for n in names}
        for variant, runs in results.items()
    }
    _write_json(
        output / "comparison.json",
        {
            "backend": keras.backend.backend(),
            "flags": _settings(values),
            **results,
        },
    )
    tables = [_table("", names, columns)]
    if len(columns) > 1:
        differences = {
            variant: {n: column[n] - columns[first][n] for n in names}
            for variant, column in columns.items()
            if variant != first
        }
        tables.append(_table(f"difference to {first}", names, differences))
    text = f"Mean and standard deviation of {values.num_seeds} runs:\n\n"
    text += "\n".join(tables)
    (output / "comparison.md").write_text(text)

    height = 1 + 0.3 * len(columns)
    figure, axes = pyplot.subplots(
        1, len(names), figsize=(2 * len(names) + 2, height), sharey=True
    )
    for axis, name in zip(axes, names, strict=True):
        for row, column in enumerate(columns.values()):
            runs = column[name]
            axis.scatter(runs, [row] * len(runs), alpha=0.6)
            axis.plot(runs.mean(), row, "k|", markersize=12)
        axis.set_title(name.replace("_", "\n", 1), fontsize=7)
    axes[0].set_yticks(range(len(columns)), list(columns))
    axes[0].set_ylim(len(columns) - 0.5, -0.5)
    figure.tight_layout()
    figure.savefig(output / "comparison.png", dpi=120)
    pyplot.close(figure)
    return text


def _select_columns(results):
    """Returns the names of the results that tables show, in order."""
    names = []
    for pattern in _SHOWN:
        prefix, star, _ = pattern.partition("*")
        names += [
            name
            for name in results
            if name == pattern
            or star
            and name.startswith(prefix)
            and (name.endswith("FVD") or name.endswith("distance"))
        ]
    return names


def _table(title, names, columns):
    lines = [f"| {title} | {' | '.join(names)} |", "|---" * (len(names) + 1)]
    lines[1] += "|"
    for variant, column in columns.items():
        cells = [
            f"{column[n].mean():.4g} ± {column[n].std():.2g}" for n in names
        ]
        lines.append(f"| {variant} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
