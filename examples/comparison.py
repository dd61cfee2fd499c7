"""Compares ways to train a tokenizer: same clips, same budget, several seeds.

Of each variant, and with each seed, a tokenizer is trained, then a generator
of its tokens, and both are measured on clips that neither was trained on.
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
from keras_larp.data.video.video_writer import atomic_write

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

# What tables and plots show of a run's results, in this order.
_SHOWN = (
    "tokenizer_codebook_usage",
    "tokenizer_perplexity",
    "reconstruction_PSNR",
    "reconstruction_*",  # A Fréchet distance, of what name it may be.
    "tokenizer_prior_top1",
    "adversarial_loss",
    "generation_class_fidelity",
    "generation_*",
)


def define(values, output, variants):
    """Defines the flags of a comparison.

    Args:
        values: A `flags.FlagValues`.
        output: String, default folder of the results.
        variants: List of strings, the names of the variants.
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
        "Train these only; processes may share the work so.",
        flag_values=values,
    )
    integer("num_seeds", 3, "Runs of each variant.")
    string("tokenizer_recipe", "small_data_tokenizer", "By name.")
    string("generator_recipe", "small_data_generator", "By name.")
    integer("epochs", 8, "Of both; what the schedules are laid out over.")
    integer("tokenizer_steps", 2000, "Of each run.")
    integer("generator_steps", 800, "Of each run.")
    integer(
        "num_evaluated",
        480,
        "Generated clips; and real ones, where these are computed.",
        2,
    )
    flags.DEFINE_float(
        "guidance_scale", 1.0, "1 for no guidance.", 1.0, flag_values=values
    )
    string("i3d", None, "File of I3D's weights, for distances that are FVDs.")
    string("output", output, "Folder of the results.")


def compare(values, variants):
    """Trains and measures what is not done yet, and writes what came out.

    Writes `comparison.md`, `.json` and `.png` to `values.output`, of the
    variants of which all runs are done.

    Args:
        values: The parsed flags of `define`.
        variants: Dictionary of settings of the tokenizer's recipe, by name.

    Returns:
        String, the tables.
    """
    output = pathlib.Path(values.output)
    for seed in range(values.num_seeds):
        for name in values.variant:
            path = _results_path(output, name, seed)
            if not path.exists():
                print(f"== {name}, seed {seed}")
                results = _train_and_measure(values, variants[name], seed, path)
                _write_json(path, results)
    done = {}
    for name in variants:
        paths = [
            _results_path(output, name, seed)
            for seed in range(values.num_seeds)
        ]
        if all(path.exists() for path in paths):
            done[name] = [json.loads(path.read_text()) for path in paths]
    return _write(values, output, done)


def _results_path(output, name, seed):
    return output / f"{name}_{seed}" / "results.json"


def _write_json(path, content):
    # Whole or not at all: what is there counts as done.
    text = json.dumps(content, indent=2) + "\n"
    atomic_write(path, lambda name: pathlib.Path(name).write_text(text))


def _train_and_measure(values, overrides, seed, path):
    """One tokenizer and one generator of its tokens; numbers by name."""
    folder = path.parent
    keras.utils.set_random_seed(values.seed + seed)
    recipe = recipes.RECIPES[values.tokenizer_recipe](
        -(-values.tokenizer_steps // values.epochs),
        epochs=values.epochs,
        **overrides,
    )
    sizes = recipe.settings["num_frames"], recipe.settings["image_size"]
    train = data_flags.make_source(values, "train", *sizes)
    test = data_flags.make_source(values, "test", *sizes, values.num_evaluated)
    train, test = (
        data_flags.kept(values, source, sizes[1]) for source in (train, test)
    )

    def clips_of(source, training):
        batch_size = recipe.settings["batch_size"]
        return data_flags.make_dataset(
            values, source, *sizes, batch_size, training
        )

    tokenizer = recipe.build(clips_of(train, True))
    arguments = recipe.fit_arguments()
    tokenizer.fit(clips_of(train, True), verbose=2, **arguments)
    results = _measured("tokenizer", tokenizer, clips_of(test, False))
    generator_recipe = recipes.RECIPES[values.generator_recipe](
        -(-values.generator_steps // values.epochs),
        epochs=values.epochs,
        vocab_size=tokenizer.codebook_size,
        num_tokens=tokenizer.num_tokens,
        num_classes=len(train.class_names),
    )
    generator = generator_recipe.build()
    batch_size = generator_recipe.settings["batch_size"]
    arguments = generator_recipe.fit_arguments()
    count = batch_size * arguments.pop("steps_per_epoch")  # In an epoch.
    train_tokens = _tokens_of(tokenizer, clips_of(train, True), count)
    test_tokens = _tokens_of(tokenizer, clips_of(test, False))
    generator.fit(train_tokens, batch_size=batch_size, verbose=2, **arguments)
    results |= _measured("generator", generator, test_tokens)

    clips = evaluation.EvaluationClips(test, *sizes, frame_sampling="center")
    labels = train_tokens["class_ids"][: values.num_evaluated]
    extractor, classifier = _judges(values, sizes[0])
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
        found, _ = evaluation.merge(folder / kind)
        results |= {f"{kind}_{name}": value for name, value in found.items()}
    return {
        name: value
        for name, value in results.items()
        if isinstance(value, int | float)
    }


def _measured(kind, model, dataset):
    found = model.evaluate(dataset, verbose=0, return_dict=True)
    return {f"{kind}_{name}": value for name, value in found.items()}


def _tokens_of(tokenizer, clips, count=None):
    """Tokens and classes of so many clips, or all, encoded once."""
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


def _judges(values, num_frames):
    """What clips are compared by: features, and a classifier or `None`."""
    if values.i3d is not None:
        return evaluation.i3d_features(values.i3d), None
    if data_flags.data_format(values) not in data_flags.CLASSIFIED:
        return evaluation.random_features(), None
    classifier = evaluate_flags.load_classifier(values, num_frames)
    return evaluation.class_features(classifier), classifier


def _settings(values):
    """The flags that results depend on: not those of other packages, which
    share `absl.flags.FLAGS` with a script, nor where results lie."""
    return {
        flag.name: flag.value
        for module, found in values.flags_by_module_dict().items()
        for flag in found
        if module.startswith("keras_larp.") and flag.name != "output"
    }


def _write(values, output, results):
    """Tables of means and standard deviations, and a picture."""
    if not results:
        return "No variant is done yet.\n"
    first = next(iter(results))
    names = _shown(results[first][0])
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
        tables.append(_table(f"less {first}", names, differences))
    text = f"Mean and standard deviation of {values.num_seeds} runs:\n\n"
    text += "\n".join(tables)
    (output / "comparison.md").write_text(text)

    height = 1 + 0.3 * len(columns)
    figure, axes = pyplot.subplots(
        1, len(names), figsize=(2 * len(names) + 2, height), sharey=True
    )
    for axis, name in zip(axes, names, strict=True):
        for place, column in enumerate(columns.values()):
            runs = column[name]
            axis.scatter(runs, [place] * len(runs), alpha=0.6)
            axis.plot(runs.mean(), place, "k|", markersize=12)
        axis.set_title(name.replace("_", "\n", 1), fontsize=7)
    axes[0].set_yticks(range(len(columns)), list(columns))
    axes[0].set_ylim(len(columns) - 0.5, -0.5)
    figure.tight_layout()
    figure.savefig(output / "comparison.png", dpi=120)
    pyplot.close(figure)
    return text


def _shown(results):
    """The names of results that tables show, in their order."""
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
