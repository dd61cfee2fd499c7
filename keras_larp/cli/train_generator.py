"""Trains a generator on the tokens of a trained tokenizer.

    keras-larp train-generator --tokens=runs/tokens --output=runs/generator
    keras-larp train-generator --tokenizer=runs/tokenizer/preset --data=UCF-101

It trains either on a token dataset that `keras-larp tokenize` wrote, or on
videos, which the tokenizer then encodes in every step. After each epoch it is
evaluated on --test_tokens, or on the test split of the videos.

By default (--recipe=auto) it chooses a class-conditional recipe by the number
of clips and the machine. --recipe=larp_l_long_frame_prediction trains a model
that continues given frames. Each setting of the recipe has a flag that
overrides it.
"""

import keras
from absl import flags

from keras_larp import data, models, recipes
from keras_larp.callbacks import SampleGrid
from keras_larp.cli import (
    data_flags,
    distribution_flags,
    recipe_flags,
    run_folder,
)

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    "tokenizer",
    None,
    "Preset of the tokenizer: a folder, a bundled name or a hub address. "
    "Required without --tokens; with --tokens it is used for sample grids.",
    flag_values=FLAGS,
    module_name="Tokens",
)
flags.DEFINE_string(
    "tokens",
    None,
    "Folder of the token dataset to train on, written by keras-larp tokenize.",
    flag_values=FLAGS,
    module_name="Tokens",
)
flags.DEFINE_string(
    "test_tokens",
    None,
    "Folder of a token dataset to evaluate on after each epoch.",
    flag_values=FLAGS,
    module_name="Tokens",
)
data_flags.define(FLAGS)
recipe_flags.define(
    FLAGS,
    [
        "larp_l_long_generator",
        "larp_l_long_frame_prediction",
        "small_data_generator",
    ],
    exclude=("vocab_size", "num_tokens", "num_classes", "conditioning"),
    auto=True,
)
run_folder.define(FLAGS, "runs/generator")
distribution_flags.define(FLAGS)


def main(values):
    """Trains a generator.

    Args:
        values: The parsed `FLAGS`.

    Returns:
        The trained `ARVideoGenerator`.
    """
    distribution_flags.start(values)
    with run_folder.RunFolder(values) as run:
        return _train(values, run)


def _train(values, run):
    if not (values.tokens or values.tokenizer):
        raise ValueError(
            "Pass --tokens, a folder that `keras-larp tokenize` wrote, or "
            "--tokenizer to train on videos. Received: neither"
        )
    if values.test_tokens and not values.tokens:
        raise ValueError(
            "--test_tokens needs --tokens, the training tokens. Received: "
            f"--test_tokens={values.test_tokens} alone"
        )
    keras.utils.set_random_seed(values.seed)
    tokenizer = None
    if values.tokenizer:
        tokenizer = models.LARPTokenizer.from_preset(values.tokenizer)
    min_steps = 0
    if values.recipe == "auto":
        min_steps = _choose_recipe(values, tokenizer)
    if values.tokens:
        train, test, class_names, sizes = _token_data(values, tokenizer)
    else:
        train, test, class_names, sizes = _video_data(values, tokenizer)
    recipe = recipe_flags.make_recipe(
        values, max(train.steps_per_epoch, min_steps), **sizes
    )
    run.write_config(values, recipe)
    print(recipe)
    generator = recipe.build(class_names)
    others = []
    if values.show_every and tokenizer is not None:
        condition = _grid_condition(
            generator, tokenizer, train if test is None else test
        )
        folder = run.path / "samples"
        others.append(
            SampleGrid(condition, tokenizer, folder, values.show_every)
        )
    monitor = "loss" if test is None else "val_loss"
    callbacks = run.callbacks(
        values, train, recipe.batch_size, monitor, "min", others
    )
    arguments = recipe.fit_arguments()
    arguments["callbacks"] = callbacks + arguments["callbacks"]
    generator.fit(
        train,
        tokenizer=None if values.tokens else tokenizer,
        validation_data=test,
        verbose=values.verbose,
        **arguments,
    )
    run.finish(generator, averaged=recipe.ema_decay is not None)
    return generator


def _grid_condition(generator, tokenizer, dataset):
    """Returns the class ids, or the tokens of the given frames, that the
    sample grid is generated from."""
    if generator.conditioning == "class":
        return generator.known_classes[:8]
    batch = next(iter(dataset))
    if isinstance(batch, dict):
        return batch["condition_ids"][:8]
    return generator.encode_first_frames(batch[0][:8], tokenizer)


def _choose_recipe(values, tokenizer):
    """Sets the flags to those of the chosen recipe, and prints the reasons.

    Returns:
        Integer. The minimum number of steps per epoch.
    """
    if values.tokens:
        source = data.TokenSource(values.tokens)
    else:
        sizes = tokenizer.num_frames, tokenizer.image_size
        source = data_flags.make_source(values, "train", *sizes)
    choice = recipes.choose_generator_recipe(len(source))
    print("\n".join(choice.reasons))
    recipe_flags.apply_choice(values, choice)
    return choice.min_steps_per_epoch


def _token_data(values, tokenizer):
    """Returns the datasets for training and evaluation, the class names, and
    the settings that depend on the data."""
    source = data.TokenSource(values.tokens)
    if tokenizer is not None:  # Another tokenizer would decode them to noise.
        fingerprint = data.model_fingerprint(tokenizer)
        _check_same_tokenizer(values, source, fingerprint, values.tokenizer)
    recipe = recipe_flags.make_recipe(values)
    conditioning = recipe.conditioning
    train = data.token_dataset(
        source, recipe.batch_size, seed=values.seed, conditioning=conditioning
    )
    test = None
    if values.test_tokens:
        test = data.TokenSource(values.test_tokens)
        _check_same_tokenizer(
            values, source, test.tokenizer, values.test_tokens
        )
        test = data.token_dataset(
            test,
            recipe.batch_size,
            shuffle=False,
            repeat=False,
            conditioning=conditioning,
        )
    sizes = {
        "vocab_size": source.vocab_size,
        "num_tokens": source.num_tokens,
        "num_classes": max(len(source.class_names), 1),
    }
    if conditioning == "frames":
        given, frames = values.num_condition_frames, source.num_condition_frames
        if given not in (None, frames):
            raise ValueError(
                "The token dataset was written for frame prediction from "
                f"{frames} frames. Received: --num_condition_frames={given}"
            )
        values.num_condition_frames = frames
    return train, test, source.class_names or None, sizes


def _check_same_tokenizer(values, source, fingerprint, path):
    if fingerprint != source.tokenizer:
        raise ValueError(
            "--tokens, --test_tokens and --tokenizer must be of the same "
            "tokenizer. Pass the preset that `keras-larp tokenize` was given, "
            "or write the tokens again. Received: fingerprint "
            f"{source.tokenizer[:12]} in {values.tokens}, "
            f"{fingerprint[:12]} in {path}"
        )


def _video_data(values, tokenizer):
    """Returns the datasets for training and evaluation, the class names, and
    the settings that depend on the data."""
    clip = tokenizer.num_frames, tokenizer.image_size
    recipe = recipe_flags.make_recipe(values)
    source = data_flags.make_source(values, "train", *clip)
    source = data_flags.kept(values, source, tokenizer.image_size)
    train = data_flags.make_dataset(
        values,
        source,
        *clip,
        recipe.batch_size,
        True,
        recipe.horizontal_flip,
    )
    test = None
    if data_flags.has_test_split(values):
        test = data_flags.make_source(values, "test", *clip)
        test = data_flags.kept(values, test, tokenizer.image_size)
        test = data_flags.make_dataset(
            values, test, *clip, recipe.batch_size, False
        )
    sizes = {
        "vocab_size": tokenizer.codebook_size,
        "num_tokens": tokenizer.num_tokens,
        "num_classes": max(len(source.class_names), 1),
    }
    return train, test, source.class_names or None, sizes
