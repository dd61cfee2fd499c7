"""Compares clips continued by a generator with the original clips.

    keras-larp evaluate frame-prediction --data=k600_train.csv \\
        --test_data=k600_val.csv --data_format=csv --num_clips=50000 \\
        --seed=42 \\
        --tokenizer=larp_l_long_tokenizer \\
        --generator=larp_l_long_frame_prediction --i3d=i3d_torchscript.pt

Clips are sampled from all windows of the test videos. By default they are
compared at 64 x 64 pixels, as in the paper.
"""

from absl import flags

import keras_larp
from keras_larp.cli import evaluate_flags, model_flags

FLAGS = flags.FlagValues()
flags.DEFINE_integer(
    "num_condition_frames",
    None,
    "Number of frames to continue from. If omitted, that of the generator.",
    1,
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "compare_size",
    64,
    "Height and width, in pixels, to which clips are resized for comparison.",
    1,
    flag_values=FLAGS,
)
model_flags.define_generator(FLAGS)
model_flags.define_sampling(FLAGS, guided=False)
evaluate_flags.define(FLAGS, "runs/frame_prediction")


def main(values: flags.FlagValues) -> None:
    """Evaluates and reports.

    Args:
        values: The parsed `FLAGS`.
    """
    # Reject invalid flags before loading models.
    with evaluate_flags.run_evaluation(values, values.num_clips) as options:
        tokenizer, extractor = evaluate_flags.load_tokenizer_and_extractor(
            values, default="random"
        )
        clips = evaluate_flags.choose_clips(
            values, "test", tokenizer, "windows"
        )
        keras_larp.evaluation.evaluate_frame_prediction(
            values.output,
            model_flags.load_generator(values),
            tokenizer,
            clips,
            extractor,
            values.num_condition_frames,
            values.compare_size,
            model_flags.sampling_options(values),
            settings=evaluate_flags.settings(
                values,
                split=evaluate_flags.split_name(values, "test"),
                overlap=evaluate_flags.check_overlap(values, clips),
            ),
            **options,
        )
