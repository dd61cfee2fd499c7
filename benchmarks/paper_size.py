"""Measures the training step at the paper's size on an accelerator.

    python benchmarks/paper_size.py --backends=jax,torch --batches=8,16,32
    python benchmarks/paper_size.py --lpips --checkpointing --batches=64,128

It trains the recipe `larp_l_long_tokenizer`, with prior and discriminator, on
random clips in device memory. It reports clips per second and model FLOPs
utilization: the fraction of the chip's peak (`--peak_teraflops`) that the
matrix products of a step reach (`step_flops.py` defines what counts). Times are
medians over epochs of `fit` with ten steps and two discriminator updates each,
after one epoch that compiles. PyTorch compiles blocks and losses unless
`--notorch_compile` is given. Batch sizes are measured in ascending order, each
in a separate process, until one does not fit in memory. Results are added to
`results/paper_size.json` and `.md`, if these have the same options. `--tiny`
tests the script on any machine and writes no results.
"""

import itertools
import json
import statistics
import time

from absl import app, flags
from measuring import FOLDER, report, run_in_process, write_results
from step_flops import step_flops

FLAGS = flags.FLAGS

flags.DEFINE_list(
    "backends", ["jax", "torch"], "Backends to measure: jax, torch."
)
flags.DEFINE_list("batches", ["8", "16", "32"], "Batch sizes.")
flags.DEFINE_string("dtype", "mixed_bfloat16", "Dtype policy of all models.")
flags.DEFINE_bool("lpips", False, "Train with LPIPS (random weights).")
flags.DEFINE_bool("checkpointing", False, "Use gradient checkpointing.")
flags.DEFINE_bool("torch_compile", True, "Use torch.compile on PyTorch.")
flags.DEFINE_integer("repeats", 3, "Measured epochs.", 1)
flags.DEFINE_float(
    "peak_teraflops",
    989.0,
    "Peak TFLOP/s of the chip in this dtype. 989 is NVIDIA's specification of "
    "the H100 SXM for bfloat16 without sparsity.",
)
flags.DEFINE_bool("tiny", False, "Use a tiny model instead of the paper's.")
flags.DEFINE_integer(
    "child", None, "Measure this batch size in this process (internal)."
)

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
    results = load_results({name: FLAGS[name].value for name in SHARED})
    for backend in FLAGS.backends:
        results.setdefault(backend, {})
        for batch in sorted(map(int, FLAGS.batches)):
            result = run_in_process(__file__, backend, child=batch, **options)
            if result is None:
                print(f"{backend}: {batch} clips do not fit in memory")
                break
            results[backend][str(batch)] = result
        if not FLAGS.tiny:
            write({name: FLAGS[name].value for name in SHARED}, results)


def load_results(options):
    """Returns the results of an earlier call with the same options."""
    path = FOLDER / f"{NAME}.json"
    if FLAGS.tiny or not path.exists():
        return {}
    content = json.loads(path.read_text())
    results = content.pop("results")
    return results if content == options else {}


def measure(batch):
    """Measures a step with `batch` clips; `None` if they do not fit."""
    try:
        return measure_step(batch)
    except Exception as error:  # The type depends on the backend.
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
    ends = []  # `fit` waits for the device at the end of an epoch.
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
    teraflops = step_flops(recipe)["total"] * batch / 1e12
    return {
        "step_seconds": step_seconds,
        "clips_per_second": batch / step_seconds,
        "step_teraflops": teraflops,
        "flops_utilization": teraflops / step_seconds / FLAGS.peak_teraflops,
        "device": device(),
    }


def device():
    """Returns the name of the accelerator."""
    import keras

    if keras.backend.backend() == "torch":
        import torch

        cuda = torch.cuda.is_available()
        return torch.cuda.get_device_name() if cuda else "cpu"
    import jax

    return jax.devices()[0].device_kind


def write(options, results):
    head = ["backend", "largest measured batch that fits"]
    head += ["clips per second", "FLOPs utilization", "step, seconds", "device"]
    rows = []
    for backend, by_batch in results.items():
        if not by_batch:
            rows.append([backend, "none", "", "", "", ""])
            continue
        batch = max(by_batch, key=int)
        result = by_batch[batch]
        names = [
            "clips_per_second",
            "flops_utilization",
            "step_seconds",
            "device",
        ]
        rows.append([backend, batch, *(result[name] for name in names)])
    write_results(NAME, {**options, "results": results}, head, rows)


if __name__ == "__main__":
    app.run(main)
