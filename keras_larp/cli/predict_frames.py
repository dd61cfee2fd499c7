"""Continues clips from their first frames, and writes them as video files.

    keras-larp predict-frames --tokenizer=larp_l_long_tokenizer \\
        --generator=larp_l_long_frame_prediction \\
        --data=k600_val.csv --data_format=csv --output=runs/continued

Clips are the middle ones of the test videos. Beside a file a clip there is a
grid: a row has the original and then each of --num_samples continuations. Each
file is written as it is made, and a run that was killed goes on with those
that are missing; --shard shares many clips out among processes.
"""

import itertools

from absl import flags
from keras import ops

from keras_larp.cli import clip_files, data_flags, evaluate_flags, model_flags

FLAGS = flags.FlagValues()
data_flags.define(FLAGS, batch_size=8)
model_flags.define_tokenizer(FLAGS)
model_flags.define_generator(FLAGS)
model_flags.define_sampling(FLAGS, guided=False)
clip_files.define(FLAGS, "runs/continued")
flags.DEFINE_integer("num_clips", 8, "How many clips.", 1, flag_values=FLAGS)
flags.DEFINE_integer(
    "num_samples", 2, "Continuations of each clip.", 1, flag_values=FLAGS
)
flags.DEFINE_integer(
    "num_condition_frames",
    None,
    "Frames to go on from; the generator's own where not given.",
    1,
    flag_values=FLAGS,
)


def main(values):
    """Continues clips, and writes the files that are missing.

    Args:
        values: The parsed `FLAGS`.
    """
    tokenizer = model_flags.load_tokenizer(values)
    generator = model_flags.load_generator(values)
    clips = evaluate_flags.choose_clips(
        values, "test", tokenizer, "center", flag=None
    )
    count = min(values.num_clips, len(clips))
    each = values.num_samples
    sampling = model_flags.sampling_options(values)
    files = clip_files.ClipFiles(
        values,
        [
            f"clip_{clip:03d}_{sample:03d}"
            for clip, sample in itertools.product(range(count), range(each))
        ],
        each,
        {
            **model_flags.identities(tokenizer, generator),
            "clips": {**clips.settings(), "num_clips": count},
            "num_condition_frames": values.num_condition_frames,
            "num_samples": each,
            **sampling,
        },
    )
    batch_size = min(values.batch_size, count)
    batches = files.batches(batch_size * each)
    batches = [range(b.start // each, b.stop // each) for b in batches]
    for chosen, batch in zip(batches, clips.batches(batches), strict=True):
        originals, _, kept = batch
        if not kept:
            continue
        videos = generator.predict_frames(
            originals,
            tokenizer,
            values.num_condition_frames,
            each,
            batch_size,
            sample_offset=chosen.start * each,
            stream=True,
            **sampling,
        )
        videos = (v for part in videos for v in ops.convert_to_numpy(part))
        for clip, original in zip(kept, originals, strict=True):
            files.show(clip, original)
            for sample in range(each):
                files.write(clip * each + sample, next(videos))
    files.finish()
