"""Trains a LARP tokenizer with its prior.

    keras-larp train-tokenizer --data=UCF-101 --output=runs/tokenizer

Without --data it trains on generated clips of moving shapes. By default
(--recipe=auto) it chooses a recipe and sizes by the videos and the machine, and
prints why. --recipe=larp_l_long_tokenizer is the recipe of the paper, for GPUs.
Each setting of the recipe has a flag that overrides it.
"""

import re

import keras
from absl import flags

from keras_larp import recipes
from keras_larp.callbacks import CodebookCollapseWarning, ReconstructionGrid
from keras_larp.cli import (
    data_flags,
    distribution_flags,
    initial_preset,
    recipe_flags,
    run_folder,
)

_CLIP_SIZE = re.compile("[1-9][0-9]{0,5}x[1-9][0-9]{0,5}")

FLAGS = flags.FlagValues()
data_flags.define(FLAGS)
recipe_flags.define(
    FLAGS, ["larp_l_long_tokenizer", "small_data_tokenizer"], auto=True
)
initial_preset.define(FLAGS)
flags.DEFINE_list(
    "clip_sizes",
    None,
    "Sizes of training batches as frames x pixels, such as 16x64,8x64,16x96: "
    "each batch has one of them. Each size is compiled once. If omitted, all "
    "clips have --num_frames and --image_size, as validation clips always do.",
    flag_values=FLAGS,
)
run_folder.define(FLAGS, "runs/tokenizer")
distribution_flags.define(FLAGS)


def main(values):
    """Trains a tokenizer.

    Args:
        values: The parsed `FLAGS`.

    Returns:
        The trained `LARPTokenizer`.
    """
    distribution_flags.start(values)
    with run_folder.RunFolder(values) as run:
        return _train(values, run)


def _train(values, run):
    keras.utils.set_random_seed(values.seed)
    initial = initial_preset.load(values)
    min_steps = 0
    if values.recipe == "auto":
        min_steps = _choose_recipe(values)
    recipe = recipe_flags.make_recipe(values)
    fixed = initial_preset.fixed_settings(initial, recipe)
    recipe = recipe_flags.make_recipe(values, **fixed)
    train = _make_dataset(values, recipe, "train")
    test = _make_dataset(values, recipe, "test")

    steps_per_epoch = max(train.steps_per_epoch, min_steps)
    recipe = recipe_flags.make_recipe(values, steps_per_epoch, **fixed)
    run.write_config(values, recipe)
    print(recipe)
    if initial is None:
        tokenizer = recipe.build(train)
    else:
        tokenizer = initial
        tokenizer.compile(**recipe.compile_arguments())
    _print_estimate(tokenizer, recipe)
    others = [CodebookCollapseWarning()]
    if values.show_every:
        clips, _ = next(iter(test))
        others.append(
            ReconstructionGrid(
                clips[:8], run.path / "reconstructions", values.show_every
            )
        )
    callbacks = run.callbacks(
        values, train, recipe.batch_size, "val_psnr", "max", others
    )
    arguments = recipe.fit_arguments()
    arguments["callbacks"] = callbacks + arguments["callbacks"]
    tokenizer.fit(
        train, validation_data=test, verbose=values.verbose, **arguments
    )
    run.finish(tokenizer, averaged=recipe.ema_decay is not None)
    return tokenizer


def _choose_recipe(values):
    """Sets the flags to those of the chosen recipe, and prints the reasons.

    Returns:
        Integer. The minimum number of steps per epoch.
    """
    # Clip sizes for generated data; video files have their own.
    source = data_flags.make_source(values, "train", 16, 64)
    choice = recipes.choose_tokenizer_recipe(source)
    print("\n".join(choice.reasons))
    recipe_flags.apply_choice(values, choice)
    return choice.min_steps_per_epoch


def _make_dataset(values, recipe, split):
    """Returns the batches of clips of a split."""
    own_size = recipe.num_frames, recipe.image_size
    training = split == "train"
    clip_sizes = _parse_clip_sizes(values.clip_sizes) if training else None
    # Generated videos and cached frames are as large as the largest clips.
    largest = [
        max(sizes) for sizes in zip(*(clip_sizes or [own_size]), strict=True)
    ]
    source = data_flags.make_source(values, split, *largest)
    source = data_flags.kept(values, source, largest[1])
    flip = training and recipe.horizontal_flip
    sizes = (None, None) if clip_sizes else own_size
    return data_flags.make_dataset(
        values, source, *sizes, recipe.batch_size, training, flip, clip_sizes
    )


def _parse_clip_sizes(texts):
    """Returns pairs of numbers of frames and image sizes, or `None`."""
    if texts is None:
        return None
    if not texts or not all(map(_CLIP_SIZE.fullmatch, texts)):
        raise ValueError(
            "--clip_sizes must be numbers of frames x pixels, such as "
            f"16x64,8x64. Received: --clip_sizes={','.join(texts)}"
        )
    return [tuple(map(int, text.split("x"))) for text in texts]


def _print_estimate(tokenizer, recipe):
    seconds, memory = recipes.estimate_training_cost(
        tokenizer, recipe.batch_size
    )
    print(
        f"{recipe.total_steps} steps. Rough estimate for this machine: "
        f"{seconds * recipe.total_steps / 60:.0f} minutes, "
        f"{memory / 2**30:.1f} GiB of memory, not counting video decoding, "
        "perceptual loss, discriminator and the memory of the libraries."
    )
