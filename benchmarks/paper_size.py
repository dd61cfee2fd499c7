"""Measures the training step at the paper's size on an accelerator.

    python benchmarks/paper_size.py --backends=jax,torch --batches=8,16,32
    python benchmarks/paper_size.py --lpips --checkpointing --batches=64,128

The recipe `larp_l_long_tokenizer` on random clips that lie on the device, with
prior and discriminator: clips a second, and what share of the chip's peak
(`--peak_teraflops`) the products of the step are; see `step_flops.py` for what
counts. A time is the median of epochs of `fit`, of ten steps with two turns of
the discriminator, after one that compiles; PyTorch compiles blocks and losses,
without `--notorch_compile`. Each batch size is measured in a process of its
own, in ascending order, and the first that does not fit in memory is the last.
Results go to `results/paper_size.json` and `.md`; `--tiny`, which tries the
script on any processor, writes none. What an earlier call with the same options
measured stays.
"""

import itertools
import json
import statistics
import time

from absl import app, flags
from measuring import FOLDER, in_own_process, report, write_results
from step_flops import step_flops

FLAGS = flags.FLAGS

flags.DEFINE_list("backends", ["jax", "torch"], "On which of these two.")
flags.DEFINE_list("batches", ["8", "16", "32"], "Clips in a batch, each.")
flags.DEFINE_string("dtype", "mixed_bfloat16", "Policy of all models.")
flags.DEFINE_bool("lpips", False, "Train with LPIPS, of random weights.")
flags.DEFINE_bool("checkpointing", False, "Compute blocks a second time.")
flags.DEFINE_bool("torch_compile", True, "Whether PyTorch compiles parts.")
flags.DEFINE_integer("repeats", 3, "Measured epochs.", 1)
flags.DEFINE_float(
    "peak_teraflops",
    989.0,
    "What the chip can do at most in this dtype. 989 is what NVIDIA's data "
    "sheet says for the H100 SXM in bfloat16, without sparsity.",
)
flags.DEFINE_bool("tiny", False, "A tiny model in place of the paper's.")
flags.DEFINE_integer("child", None, "Measure this batch in this process.")

TINY = {
    "num_frames": 4,
    "image_size": 16,
    "num_tokens": 8,
    "hidden_dim": 32,
    "num_heads": 2,
    "encoder_num_layers": 2,
    "decoder_num_layers": 2,
    "prior": "gptc-tiny",
    "discriminator_hidden_dim": 32,
    "discriminator_num_heads": 2,
    "discriminator_num_layers": 2,
}
SHARED = ("dtype", "lpips", "checkpointing", "torch_compile", "repeats")
SHARED += ("peak_teraflops",)
NAME = "paper_size"
OUT_OF_MEMORY = ("out of memory", "resource_exhausted", "resourceexhausted")


def main(_):
    if FLAGS.child:
        report(measure(FLAGS.child))
        return
    options = {name: FLAGS[name].value for name in (*SHARED, "tiny")}
    results = earlier({name: FLAGS[name].value for name in SHARED})
    for backend in FLAGS.backends:
        results.setdefault(backend, {})
        for batch in sorted(map(int, FLAGS.batches)):
            result = in_own_process(__file__, backend, child=batch, **options)
            if result is None:
                print(f"{backend}: {batch} clips do not fit in memory")
                break
            results[backend][str(batch)] = result
        if not FLAGS.tiny:
            write({name: FLAGS[name].value for name in SHARED}, results)


def earlier(options):
    """Results of an earlier call with the same options."""
    path = FOLDER / f"{NAME}.json"
    if FLAGS.tiny or not path.exists():
        return {}
    content = json.loads(path.read_text())
    results = content.pop("results")
    return results if content == options else {}


def measure(batch):
    """Numbers of a step with so many clips; `None` if they do not fit."""
    try:
        return measure_step(batch)
    except Exception as error:  # Each backend has another.
        text = f"{type(error).__name__}: {error}".lower()
        if any(words in text for words in OUT_OF_MEMORY):
            return None
        raise


def measure_step(batch):
    import keras

    from keras_larp import recipes

    recipe = recipes.larp_l_long_tokenizer(
        steps_per_epoch=1000,
        batch_size=batch,
        dtype=FLAGS.dtype,
        perceptual_model="random" if FLAGS.lpips else None,
        gradient_checkpointing=FLAGS.checkpointing,
        torch_compile=FLAGS.torch_compile,
        **(TINY if FLAGS.tiny else {}),
    )
    tokenizer = recipe.build()
    steps = 2 * tokenizer.discriminator_every
    clips = keras.random.uniform((batch, *tokenizer.video_shape), seed=0)
    ends = []  # At the end of an epoch, `fit` reads numbers, and so waits.
    tokenizer.fit(
        ((clips,) for _ in itertools.count()),
        steps_per_epoch=steps,
        epochs=1 + FLAGS.repeats,
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda *_: ends.append(time.perf_counter())
            )
        ],
    )
    step_seconds = statistics.median(
        (end - start) / steps for start, end in itertools.pairwise(ends)
    )
    teraflops = step_flops(recipe.settings)["total"] * batch / 1e12
    return {
        "step_seconds": step_seconds,
        "clips_per_second": batch / step_seconds,
        "step_teraflops": teraflops,
        "share_of_peak": teraflops / step_seconds / FLAGS.peak_teraflops,
        "device": device(),
    }


def device():
    """The accelerator's name, as the backend has it."""
    import keras

    if keras.backend.backend() == "torch":
        import torch

        cuda = torch.cuda.is_available()
        return torch.cuda.get_device_name() if cuda else "cpu"
    import jax

    return jax.devices()[0].device_kind


def write(options, results):
    head = ["backend", "largest batch that fits, of those tried"]
    head += ["clips a second", "share of peak", "step, seconds", "device"]
    rows = []
    for backend, by_batch in results.items():
        if not by_batch:
            rows.append([backend, "none", "", "", "", ""])
            continue
        batch = max(by_batch, key=int)
        result = by_batch[batch]
        names = ["clips_per_second", "share_of_peak", "step_seconds", "device"]
        rows.append([backend, batch, *(result[name] for name in names)])
    write_results(NAME, {**options, "results": results}, head, rows)


if __name__ == "__main__":
    app.run(main)
