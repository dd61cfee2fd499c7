"""Measures attention of PyTorch on a CPU by number of heads.

    OMP_NUM_THREADS=1 python benchmarks/attention_heads.py

Milliseconds of CPU time of the forward and of the backward pass for 16 clips
and one block of --width: the fused function, which the models use, and the
same computation as two matrix products and a softmax. The best of five runs.
"""

import time

import torch
from absl import app, flags
from torch.nn.functional import scaled_dot_product_attention

FLAGS = flags.FLAGS
flags.DEFINE_integer("width", 192, "Sum of the widths of all heads.", 1)
flags.DEFINE_integer("num_tokens", 384, "Length of the sequence.", 1)
flags.DEFINE_integer("batch_size", 16, "Clips.", 1)


def main(_):
    print("| dtype | heads | width of a head | fused | not fused |")
    print("|---|---|---|---|---|")
    for dtype in (torch.bfloat16, torch.float32):
        for heads in (6, 4, 3, 2):
            cells = [
                "{:.0f} + {:.0f}".format(*measure(attend, heads, dtype))
                for attend in (scaled_dot_product_attention, unfused)
            ]
            name = str(dtype).removeprefix("torch.")
            width = FLAGS.width // heads
            print(f"| {name} | {heads} | {width} | {' | '.join(cells)} |")


def unfused(query, key, value):
    scale = query.shape[-1] ** -0.5
    scores = (scale * query) @ key.transpose(-1, -2)
    return torch.softmax(scores, -1) @ value


def measure(attend, heads, dtype):
    """Milliseconds of the forward and of the backward pass."""
    shape = FLAGS.batch_size, heads, FLAGS.num_tokens, FLAGS.width // heads
    inputs = [torch.randn(shape).to(dtype).requires_grad_() for _ in range(3)]
    runs = []
    for _ in range(5):
        start = time.process_time()
        output = attend(*inputs)
        middle = time.process_time()
        output.backward(torch.ones_like(output))
        runs.append((middle - start, time.process_time() - middle))
    return [1000 * min(times) for times in zip(*runs, strict=True)]


if __name__ == "__main__":
    app.run(main)
