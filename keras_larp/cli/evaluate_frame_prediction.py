"""Measures clips that a generator continued, against the clips.

    keras-larp evaluate frame-prediction --data=k600_train.csv \\
        --test_data=k600_val.csv --data_format=csv --num_clips=50000 \\
        --seed=42 \\
        --tokenizer=larp_l_long_tokenizer \\
        --generator=larp_l_long_frame_prediction --i3d=i3d_torchscript.pt

Clips are drawn from all windows of the test videos, and are compared at the
paper's 64 x 64.
"""

from absl import flags

from keras_larp import evaluation
from keras_larp.cli import evaluate_flags, model_flags

FLAGS = flags.FlagValues()
evaluate_flags.define(FLAGS, "runs/frame_prediction")
model_flags.define_generator(FLAGS)
model_flags.define_sampling(FLAGS, guided=False)
flags.DEFINE_integer(
    "num_condition_frames",
    None,
    "Frames to go on from; the generator's own where not given.",
    1,
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "compare_size",
    64,
    "Height and width at which clips are compared.",
    1,
    flag_values=FLAGS,
)


def main(values):
    """Evaluates, and reports.

    Args:
        values: The parsed `FLAGS`.
    """
    # First what a slip of the pen ends, then what takes long.
    options = evaluate_flags.shard_options(values, values.num_clips)
    tokenizer, extractor = evaluate_flags.load_tokenizer_and_extractor(
        values, default="random"
    )
    clips = evaluate_flags.choose_clips(values, "test", tokenizer, "windows")
    shard = evaluation.evaluate_frame_prediction(
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
    evaluate_flags.finish(values, shard)
