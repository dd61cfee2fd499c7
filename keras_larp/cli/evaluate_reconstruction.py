"""Measures what a tokenizer makes of clips, against the clips.

    keras-larp evaluate reconstruction --data=UCF-101 \\
        --tokenizer=larp_l_long_tokenizer --lpips=lpips_vgg16 \\
        --i3d=i3d_pretrained_400.pt --output=runs/rfvd

MSE, PSNR, SSIM, use of the codebook; LPIPS and rFVD where weights are given.
"""

from absl import flags

from keras_larp import evaluation, models
from keras_larp.cli import evaluate_flags

FLAGS = flags.FlagValues()
evaluate_flags.define(FLAGS, "runs/reconstruction")
flags.DEFINE_enum(
    "split", "test", ["train", "test"], "Which videos.", flag_values=FLAGS
)
flags.DEFINE_enum(
    "frame_sampling",
    "center",
    ["first", "center", "random", "uniform", "windows"],
    "Which frames make a clip; `random` as in the authors' code.",
    flag_values=FLAGS,
)
flags.DEFINE_string(
    "lpips",
    None,
    "Preset of LPIPS, such as lpips_vgg16, or a file of VGG16.",
    flag_values=FLAGS,
)


def main(values):
    """Evaluates, and reports.

    Args:
        values: The parsed `FLAGS`.
    """
    # First what a slip of the pen ends, then what takes long.
    options = evaluate_flags.shard_options(values, values.num_clips)
    tokenizer, extractor = evaluate_flags.load_tokenizer_and_extractor(values)
    clips = evaluate_flags.choose_clips(
        values, values.split, tokenizer, values.frame_sampling
    )
    settings = evaluate_flags.settings(
        values, split=evaluate_flags.split_name(values, values.split)
    )
    if values.split == "test":
        settings["overlap"] = evaluate_flags.check_overlap(values, clips)
    perceptual_model = None
    if values.lpips:
        perceptual_model = models.LPIPS.from_preset(values.lpips)
    shard = evaluation.evaluate_reconstruction(
        values.output,
        tokenizer,
        clips,
        extractor,
        perceptual_model,
        settings=settings,
        **options,
    )
    evaluate_flags.finish(values, shard)
