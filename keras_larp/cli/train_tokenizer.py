"""Trains a LARP tokenizer with its prior.

    keras-larp train-tokenizer --data=UCF-101 --output=runs/tokenizer

Without --data it trains on moving shapes. The settings are those of a recipe,
by default the paper's LARP-L, which wants GPUs; each has a flag.
"""

import keras
from absl import flags

from keras_larp.callbacks import CollapseWarning, ReconstructionGrid
from keras_larp.cli import data_flags, recipe_flags, run_folder

FLAGS = flags.FlagValues()
data_flags.define(FLAGS)
recipe_flags.define(FLAGS, ["larp_l_long_tokenizer", "small_data_tokenizer"])
run_folder.define(FLAGS, "runs/tokenizer")


def main(values):
    """Trains, and returns the tokenizer.

    Args:
        values: The parsed `FLAGS`.
    """
    run = run_folder.RunFolder(values.output, values.resume)
    keras.utils.set_random_seed(values.seed)
    sizes = [
        recipe_flags.setting(values, name)
        for name in ("num_frames", "image_size", "batch_size")
    ]
    flip = recipe_flags.setting(values, "horizontal_flip")
    source = data_flags.make_source(values, "train", *sizes[:2])
    train = data_flags.make_dataset(values, source, *sizes, True, flip)
    source = data_flags.make_source(values, "test", *sizes[:2])
    test = data_flags.make_dataset(values, source, *sizes, False)

    recipe = recipe_flags.make_recipe(values, train.steps_per_epoch)
    run.write_config(values, recipe)
    print(recipe)
    tokenizer = recipe.build(train)
    arguments = recipe.fit_arguments()
    callbacks = run.callbacks(values, train, sizes[2], "val_psnr", "max")
    callbacks.append(CollapseWarning())
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
    run.finish(tokenizer)
    return tokenizer
