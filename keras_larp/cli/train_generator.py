"""Trains a generator on the tokens of a trained tokenizer.

    keras-larp train-generator --tokens=runs/tokens --output=runs/generator
    keras-larp train-generator --tokenizer=runs/tokenizer/preset --data=UCF-101

Either on a token data set, which `keras-larp tokenize` wrote, or on video,
which the tokenizer encodes again in each step. After each epoch it is evaluated
on --test_tokens, or on the test split of the video. --recipe=auto, the default,
chooses one for classes by the number of clips and the machine; frame prediction
has larp_l_long_frame_prediction. Each setting of a recipe has a flag, which
counts before what was chosen.
"""

import keras
from absl import flags

from keras_larp import data, models
from keras_larp.callbacks import SampleGrid
from keras_larp.cli import auto_recipe, data_flags, recipe_flags, run_folder
from keras_larp.recipes.settings import SETTINGS

FLAGS = flags.FlagValues()
data_flags.define(FLAGS)
recipe_flags.define(
    FLAGS,
    [
        "larp_l_long_generator",
        "larp_l_long_frame_prediction",
        "small_data_generator",
    ],
    without=("vocab_size", "num_tokens", "num_classes", "conditioning"),
    auto=True,
)
run_folder.define(FLAGS, "runs/generator")
flags.DEFINE_string(
    "tokenizer", None, "Preset of the tokenizer.", flag_values=FLAGS
)
flags.DEFINE_string(
    "tokens", None, "Folder of a token data set.", flag_values=FLAGS
)
flags.DEFINE_string(
    "test_tokens",
    None,
    "Folder of one to evaluate on after each epoch.",
    flag_values=FLAGS,
)


def main(values):
    """Trains, and returns the generator.

    Args:
        values: The parsed `FLAGS`.
    """
    run = run_folder.RunFolder(values)
    if not (values.tokens or values.tokenizer):
        raise ValueError(
            "Pass --tokens, what `keras-larp tokenize` wrote, or --tokenizer "
            "and video. Received: neither"
        )
    keras.utils.set_random_seed(values.seed)
    tokenizer = None
    if values.tokenizer:
        tokenizer = models.LARPTokenizer.from_preset(values.tokenizer)
    least_steps = 0
    if values.recipe == "auto":
        least_steps = _choose(values, tokenizer)
    if values.tokens:
        train, test, class_names, found = _token_data(values, tokenizer)
    else:
        train, test, class_names, found = _video_data(values, tokenizer)
    recipe = recipe_flags.make_recipe(
        values, max(train.steps_per_epoch, least_steps), **found
    )
    run.write_config(values, recipe)
    print(recipe)
    generator = recipe.build(class_names)
    arguments = recipe.fit_arguments()
    batch_size = recipe.settings["batch_size"]
    monitor = "loss" if test is None else "val_loss"
    callbacks = run.callbacks(values, train, batch_size, monitor, "min")
    if values.show_every and tokenizer is not None:
        condition = _shown(
            generator, tokenizer, train if test is None else test
        )
        folder = run.path / "samples"
        callbacks.append(
            SampleGrid(condition, tokenizer, folder, values.show_every)
        )
    generator.fit(
        train,
        tokenizer=None if values.tokens else tokenizer,
        validation_data=test,
        verbose=values.verbose,
        **{**arguments, "callbacks": callbacks + arguments["callbacks"]},
    )
    run.finish(generator, recipe.settings["ema_decay"] is not None)
    return generator


def _shown(generator, tokenizer, dataset):
    """The classes, or the first frames' tokens, of the clips in a grid."""
    if generator.conditioning == "class":
        return generator.known_classes[:8]
    batch = next(iter(dataset))
    if isinstance(batch, dict):
        return batch["condition_ids"][:8]
    return generator.encode_first_frames(batch[0][:8], tokenizer)


def _choose(values, tokenizer):
    """Chooses the recipe, says why, and returns the least steps of an
    epoch."""
    if values.tokens:
        source = data.TokenSource(values.tokens)
    else:
        sizes = tokenizer.num_frames, tokenizer.image_size
        source = data_flags.make_source(values, "train", *sizes)
    chosen = auto_recipe.choose_generator_recipe(len(source))
    name, settings, least_steps, reasons = chosen
    print("\n".join(reasons))
    recipe_flags.take(values, name, settings)
    return least_steps


def _token_data(values, tokenizer):
    """Batches of tokens to train on and to test on, names of classes, and the
    settings that follow."""
    source = data.TokenSource(values.tokens)
    if tokenizer is not None:  # Others decode these tokens to noise.
        identity = data.model_fingerprint(tokenizer)
        _check_same_tokenizer(values, source, identity, values.tokenizer)
    conditioning = SETTINGS[values.recipe]["conditioning"]
    batch_size, test = recipe_flags.setting(values, "batch_size"), None
    train = data.token_dataset(
        source, batch_size, seed=values.seed, conditioning=conditioning
    )
    if values.test_tokens:
        test = data.TokenSource(values.test_tokens)
        _check_same_tokenizer(
            values, source, test.tokenizer, values.test_tokens
        )
        test = data.token_dataset(
            test,
            batch_size,
            shuffle=False,
            repeat=False,
            conditioning=conditioning,
        )
    found = {
        "vocab_size": source.vocab_size,
        "num_tokens": source.num_tokens,
        "num_classes": max(len(source.class_names), 1),
    }
    if conditioning == "frames":
        given, frames = values.num_condition_frames, source.num_condition_frames
        if given not in (None, frames):
            raise ValueError(
                f"These tokens are for {frames} frames to go on from. "
                f"Received: --num_condition_frames={given}"
            )
        values.num_condition_frames = frames
    return train, test, source.class_names or None, found


def _check_same_tokenizer(values, source, identity, path):
    if identity != source.tokenizer:
        raise ValueError(
            "All tokens must be of one tokenizer, and --tokenizer that one. "
            "Pass the preset that `keras-larp tokenize` was given, or write "
            f"the tokens again. Received: tokens of {source.tokenizer[:12]} in "
            f"{values.tokens}, and {identity[:12]}, {path}"
        )


def _video_data(values, tokenizer):
    """Batches of clips to train on and to test on, names of classes, and the
    settings that follow."""
    sizes = tokenizer.num_frames, tokenizer.image_size
    batch_size, test = recipe_flags.setting(values, "batch_size"), None
    source = data_flags.make_source(values, "train", *sizes)
    source = data_flags.kept(values, source, sizes[1])
    train = data_flags.make_dataset(
        values,
        source,
        *sizes,
        batch_size,
        True,
        recipe_flags.setting(values, "horizontal_flip"),
    )
    if data_flags.has_test_split(values):
        test = data_flags.make_source(values, "test", *sizes)
        test = data_flags.kept(values, test, sizes[1])
        test = data_flags.make_dataset(values, test, *sizes, batch_size, False)
    found = {
        "vocab_size": tokenizer.codebook_size,
        "num_tokens": tokenizer.num_tokens,
        "num_classes": max(len(source.class_names), 1),
    }
    return train, test, source.class_names or None, found
