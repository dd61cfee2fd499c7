"""Trains a LARP tokenizer with its prior.

    keras-larp train-tokenizer --data=UCF-101 --output=runs/tokenizer

Without --data it trains on moving shapes. --recipe=auto, the default, looks at
the videos and at the machine, chooses a recipe and sizes, and says why;
larp_l_long_tokenizer is the paper's, which wants GPUs. Each setting of a
recipe has a flag, which counts before what was chosen.
"""

import keras
from absl import flags

from keras_larp.callbacks import CodebookCollapseWarning, ReconstructionGrid
from keras_larp.cli import auto_recipe, data_flags, recipe_flags, run_folder

FLAGS = flags.FlagValues()
data_flags.define(FLAGS)
recipe_flags.define(
    FLAGS, ["larp_l_long_tokenizer", "small_data_tokenizer"], auto=True
)
run_folder.define(FLAGS, "runs/tokenizer")


def main(values):
    """Trains, and returns the tokenizer.

    Args:
        values: The parsed `FLAGS`.
    """
    run = run_folder.RunFolder(values)
    keras.utils.set_random_seed(values.seed)
    least_steps = 0
    if values.recipe == "auto":
        least_steps = _choose(values)
    sizes = [
        recipe_flags.setting(values, name)
        for name in ("num_frames", "image_size", "batch_size")
    ]
    flip = recipe_flags.setting(values, "horizontal_flip")
    source = data_flags.make_source(values, "train", *sizes[:2])
    source = data_flags.kept(values, source, sizes[1])
    train = data_flags.make_dataset(values, source, *sizes, True, flip)
    source = data_flags.make_source(values, "test", *sizes[:2])
    source = data_flags.kept(values, source, sizes[1])
    test = data_flags.make_dataset(values, source, *sizes, False)

    recipe = recipe_flags.make_recipe(
        values, max(train.steps_per_epoch, least_steps)
    )
    run.write_config(values, recipe)
    print(recipe)
    tokenizer = recipe.build(train)
    seconds, size = auto_recipe.estimate(tokenizer, sizes[2])
    minutes = seconds * recipe.total_steps / 60
    print(
        f"{recipe.total_steps} steps: roughly {minutes:.0f} minutes on this "
        f"machine without LPIPS and decoding, and {size / 2**30:.1f} GiB of "
        "memory beside the libraries'. The first epoch tells it exactly."
    )
    arguments = recipe.fit_arguments()
    callbacks = run.callbacks(values, train, sizes[2], "val_psnr", "max")
    callbacks.append(CodebookCollapseWarning())
    if values.show_every:
        clips, _ = next(iter(test))
        callbacks.append(
            ReconstructionGrid(
                clips[:8], run.path / "reconstructions", values.show_every
            )
        )
    tokenizer.fit(
        train,
        validation_data=test,
        verbose=values.verbose,
        **{**arguments, "callbacks": callbacks + arguments["callbacks"]},
    )
    run.finish(tokenizer, recipe.settings["ema_decay"] is not None)
    return tokenizer


def _choose(values):
    """Chooses recipe and sizes, says why, and returns the least steps of an
    epoch."""
    # The sizes are of clips that are computed; files have their own.
    source = data_flags.make_source(values, "train", 16, 64)
    name, settings, least_steps, reasons = auto_recipe.choose_recipe(source)
    print("\n".join(reasons))
    recipe_flags.take(values, name, settings)
    return least_steps
