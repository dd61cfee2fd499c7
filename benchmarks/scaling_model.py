"""Computes how training scales to many GPUs. Nothing is measured.

    python -m benchmarks.scaling_model
    python -m benchmarks.scaling_model --nic_gbps=100 --price=2

It prints the tables of `docs/scaling.md`, in Markdown. A step of n devices, b
clips each, takes

    compute(b) + (1 - overlap) * all_reduce(n).

`compute` starts from the measured step on one H100 (`paper_size.py`): all
models are assumed to reach the same fraction of the peak, at `reference` clips
per device, and `fixed_fraction` of this step does not depend on the number of
clips. `all_reduce` is hierarchical: with g devices per machine and m machines,
each device sends 2 (g - 1) / g of the gradients' bytes within its machine, and
2 (m - 1) / m of one g-th of them to other machines.

The latency of messages, stragglers, data loading, validation and checkpoints do
not count, nor does the traffic of shared statistics.
"""

import argparse
import dataclasses
import json
import math
import pathlib

from benchmarks.step_flops import step_flops
from keras_larp import models, recipes

RESULTS = pathlib.Path(__file__).parent / "results"
DEVICES = (8, 64, 512)
# Weights, gradients and both moments of Adam, in float32.
BYTES_PER_PARAMETER = 4 + 4 + 2 * 4
# Clips of training sets: split 1 of UCF101; Kinetics-600, approximately.
UCF101_CLIPS, KINETICS600_CLIPS = 9_537, 380_000


@dataclasses.dataclass(frozen=True)
class Assumptions:
    """What the tables depend on; each is a flag of the command."""

    backend: str = "torch"  # Whose measured step to use: torch or jax.
    fixed_fraction: float = 0.3
    peak_teraflops: float = 989.0
    devices_per_machine: int = 8
    nvlink_gigabytes: float = 450.0
    nic_gbps: float = 400.0
    bandwidth_fraction: float = 0.8
    overlap: float = 0.0
    price: float = 3.0


HELP = {
    "backend": "Backend whose measured step counts: torch or jax.",
    "fixed_fraction": "Fraction of a step that does not depend on the number "
    "of clips. In a profile of the measured step, small kernels and waiting "
    "for the host took 60 + 70 of 430 ms.",
    "peak_teraflops": "Peak TFLOP/s of a device.",
    "devices_per_machine": "Devices per machine.",
    "nvlink_gigabytes": "GB/s per device and direction within a machine.",
    "nic_gbps": "Gbit/s per device between machines.",
    "bandwidth_fraction": "Fraction of both bandwidths that an all-reduce "
    "reaches.",
    "overlap": "Fraction of the all-reduce during which devices compute.",
    "price": "Dollars per device and hour.",
}


@dataclasses.dataclass(frozen=True)
class Workload:
    """A model in training.

    Attributes:
        name: String.
        parameters: Integer, the number of trained parameters.
        reduced_parameters: Float, the number of parameters whose gradients
            are reduced in a step, averaged over steps.
        clip_flops: Float, operations per clip in a step.
        batch_size: Integer, the global batch size of the paper.
        epochs: Integer, the number of epochs of the paper.
        reference: Integer, clips per device at which the measured fraction of
            the peak is assumed.
    """

    name: str
    parameters: int
    reduced_parameters: float
    clip_flops: float
    batch_size: int
    epochs: int
    reference: int


def tokenizer_workload(reference):
    """The paper's tokenizer with prior, discriminator and LPIPS."""
    recipe = recipes.larp_l_long_tokenizer(1000)
    counts = tokenizer_parameters(recipe)
    discriminator = counts.pop("discriminator")
    always = sum(counts.values())
    return Workload(
        "LARP-L with prior and discriminator",
        always + discriminator,
        always + discriminator / recipe.discriminator_every,
        step_flops(recipe)["total"],
        recipe.batch_size,
        recipe.epochs,
        reference,
    )


def generator_workload(size, conditioning="class"):
    """A generator at the settings of the paper."""
    make_recipe = (
        recipes.larp_l_long_generator
        if conditioning == "class"
        else recipes.larp_l_long_frame_prediction
    )
    recipe = make_recipe(1000, size=size)
    count = generator_parameters(recipe)
    return Workload(
        f"`{size}`",
        count,
        count,
        3 * generator_forward_flops(recipe),
        recipe.batch_size,
        recipe.epochs,
        # The paper's batch on one machine.
        recipe.batch_size // 8,
    )


def tokenizer_parameters(recipe):
    """Returns the trained parameters of `tokenizer`, `prior` and
    `discriminator`."""
    values = math.prod(recipe.patch_size) * 3
    decoder_patch = recipe.decoder_patch_size or recipe.patch_size
    decoder_values = math.prod(decoder_patch) * 3
    width, code = recipe.hidden_dim, recipe.code_dim
    layers = recipe.encoder_num_layers + recipe.decoder_num_layers
    tokenizer = (
        dense(values, width)
        + recipe.num_tokens * width  # Queries.
        + layers * block_parameters(width)
        + dense(width, code)
        + recipe.codebook_size * code
        + dense(code, width)
        + width  # Type embedding of the decoder's queries.
        + 2 * width  # Norm.
        + dense(width, decoder_values)
    )
    layers, _, width = models.ARPrior.sizes[recipe.prior]
    prior = (
        dense(code, width)
        + max(1024, recipe.num_tokens) * width  # Positions.
        # Query, key and value have a bias.
        + layers * (block_parameters(width) + 3 * width)
        + 2 * width
        + dense(width, code)
    )
    width = recipe.discriminator_hidden_dim
    discriminator = (
        dense(values, width)
        + width  # Class token.
        + recipe.discriminator_num_layers * block_parameters(width)
        + 2 * width
        + dense(width, 1)
    )
    return {
        "tokenizer": tokenizer,
        "prior": prior,
        "discriminator": discriminator,
    }


def generator_parameters(recipe):
    """Returns the number of parameters of a generator."""
    layers, _, width = models.ARVideoGenerator.sizes[recipe.size]
    rows = 2 * recipe.vocab_size  # Embedding and head.
    if recipe.conditioning == "class":
        rows += recipe.num_classes + (recipe.class_dropout > 0)
    else:
        rows += 1  # Separator.
    rows += sequence_length(recipe)  # Positions.
    block = 4 * width**2 + 3 * width * mlp_width(width) + 2 * width
    return rows * width + layers * block + width


def generator_forward_flops(recipe):
    """Returns the operations of a forward pass per clip.

    Matrix products count, and causal attention counts in full, as in
    `step_flops`.
    """
    layers, _, width = models.ARVideoGenerator.sizes[recipe.size]
    n = sequence_length(recipe)
    products = 2 * n * (4 * width**2 + 3 * width * mlp_width(width))
    attention = 4 * n**2 * width
    head = 2 * recipe.num_tokens * width * recipe.vocab_size
    return layers * (products + attention) + head


def sequence_length(recipe):
    """Condition and tokens, except for the last one."""
    is_class = recipe.conditioning == "class"
    condition = 1 if is_class else recipe.num_tokens + 1
    return condition + recipe.num_tokens - 1


def dense(inputs, outputs):
    """Parameters of a dense layer with bias."""
    return inputs * outputs + outputs


def block_parameters(width):
    """Parameters of a `TransformerBlock` without bias of query, key, value."""
    norms = 2 * 2 * width
    attention = 3 * width**2 + dense(width, width)
    return norms + attention + dense(width, 4 * width) + dense(4 * width, width)


def mlp_width(width):
    """Width of the SwiGLU of a `CausalTransformerBlock`."""
    return -(-(8 * width // 3) // 256) * 256


def measured_step(backend):
    """Returns the batch size and the fraction of the peak of the largest
    measured step."""
    content = json.loads((RESULTS / "paper_size.json").read_text())
    by_batch = content["results"][backend]
    batch = max(by_batch, key=int)
    return int(batch), by_batch[batch]["flops_utilization"]


def measured_clips_per_core(resize):
    """Returns the clips per second that a core decodes with two workers."""
    content = json.loads((RESULTS / "input.json").read_text())
    (result,) = (
        result
        for result in content["results"]
        if result["run"] == "2 workers" and result["resize"] == resize
    )
    return result["clips_per_second"] / result["cores"]


def compute_seconds(workload, clips, assumptions):
    """Returns the time of a step on one device, without communication."""
    _, utilization = measured_step(assumptions.backend)
    flops = workload.reference * workload.clip_flops
    reference = flops / (assumptions.peak_teraflops * 1e12 * utilization)
    fixed = assumptions.fixed_fraction
    return reference * (fixed + (1 - fixed) * clips / workload.reference)


def gradient_bytes(workload):
    """Returns the bytes of the float32 gradients of a step."""
    return 4 * workload.reduced_parameters


def ring_bytes(size, devices):
    """Returns the bytes that each device sends in an all-reduce."""
    return 2 * (devices - 1) / devices * size


def all_reduce_seconds(size, devices, assumptions):
    """Returns the time of an all-reduce of `size` bytes."""
    local = min(devices, assumptions.devices_per_machine)
    machines = devices / local
    within = ring_bytes(size, local) / (assumptions.nvlink_gigabytes * 1e9)
    between = ring_bytes(size / local, machines) / (
        assumptions.nic_gbps / 8 * 1e9
    )
    return (within + between) / assumptions.bandwidth_fraction


def step_seconds(workload, devices, clips, assumptions):
    """Returns the time of a step with `clips` clips per device."""
    size = gradient_bytes(workload)
    visible = 1 - assumptions.overlap
    return compute_seconds(
        workload, clips, assumptions
    ) + visible * all_reduce_seconds(size, devices, assumptions)


def efficiency(workload, devices, clips, assumptions):
    """Returns clips per second and device, relative to one device with
    `reference` clips."""
    reference = workload.reference
    one = reference / compute_seconds(workload, reference, assumptions)
    step = step_seconds(workload, devices, clips, assumptions)
    return clips / step / one


def run_hours(workload, devices, clips_per_epoch, assumptions):
    """Returns the duration of a run at the paper's batch size."""
    clips = workload.batch_size // devices
    steps = workload.epochs * (clips_per_epoch // workload.batch_size)
    return steps * step_seconds(workload, devices, clips, assumptions) / 3600


def tables(assumptions):
    """Returns the tables, a dictionary of names to Markdown."""
    tokenizer = tokenizer_workload(measured_step(assumptions.backend)[0])
    sizes = ["L", "LP", "XL", "XXL", "XXXL"]
    generators = [generator_workload(f"llama-abs-{size}") for size in sizes]
    trained = [tokenizer, *generators[:2]]
    return {
        "models": models_table([tokenizer, *generators], assumptions),
        "steps": steps_table(trained, assumptions),
        "networks": networks_table(trained, assumptions),
        "input": input_table(tokenizer, assumptions),
        "runs": runs_table(tokenizer, assumptions),
    }


def models_table(workloads, assumptions):
    rows = []
    for workload in workloads:
        clips = workload.reference
        rate = clips / compute_seconds(workload, clips, assumptions)
        rows.append(
            [
                workload.name,
                f"{workload.parameters / 1e6:.0f}M",
                f"{gradient_bytes(workload) / 1e6:,.0f} MB",
                f"{workload.clip_flops / 1e12:.2f}",
                f"{rate:.1f}",
                f"{BYTES_PER_PARAMETER * workload.parameters / 1e9:.1f} GB",
            ]
        )
    head = ["model", "parameters", "gradients per step", "TFLOP per clip"]
    head += ["clips per second and GPU", "weights, gradients, Adam"]
    return table(head, rows)


def steps_table(workloads, assumptions):
    rows = []
    for workload in workloads:
        for devices in DEVICES:
            for clips in clips_per_device(workload, devices):
                rows.append(step_row(workload, devices, clips, assumptions))
    head = ["model", "GPUs", "batch", "per GPU", "sent per GPU", "compute"]
    head += ["all-reduce", "clips per second", "efficiency"]
    return table(head, rows)


def clips_per_device(workload, devices):
    """The paper's batch, if it can be split, and constant work per device."""
    choices = [workload.reference]
    if workload.batch_size % devices == 0:
        choices.insert(0, workload.batch_size // devices)
    return dict.fromkeys(choices)


def step_row(workload, devices, clips, assumptions):
    size = gradient_bytes(workload)
    compute = compute_seconds(workload, clips, assumptions)
    reduction = all_reduce_seconds(size, devices, assumptions)
    step = step_seconds(workload, devices, clips, assumptions)
    return [
        workload.name,
        devices,
        f"{devices * clips:,}",
        clips,
        f"{ring_bytes(size, devices) / 1e6:,.0f} MB",
        f"{1000 * compute:.0f} ms",
        f"{1000 * reduction:.1f} ms",
        f"{devices * clips / step:,.0f}",
        f"{100 * efficiency(workload, devices, clips, assumptions):.0f} %",
    ]


def networks_table(workloads, assumptions, devices=64):
    rows = []
    for gbps in dict.fromkeys([assumptions.nic_gbps, 200.0, 100.0, 25.0]):
        network = dataclasses.replace(assumptions, nic_gbps=gbps)
        row = [f"{gbps:g} Gbit/s"]
        for workload in workloads:
            size = gradient_bytes(workload)
            seconds = all_reduce_seconds(size, devices, network)
            ratio = efficiency(workload, devices, workload.reference, network)
            row.append(f"{1000 * seconds:.0f} ms, {100 * ratio:.0f} %")
        rows.append(row)
    return table(["per GPU", *(w.name for w in workloads)], rows)


def input_table(workload, assumptions):
    clips = workload.reference
    rate = clips / compute_seconds(workload, clips, assumptions)
    rows = []
    for resize in ("pillow", "ffmpeg"):
        per_core = measured_clips_per_core(resize)
        cores = rate / per_core
        rows.append(
            [
                f'`resize="{resize}"`',
                f"{per_core:.0f}",
                f"{cores:.2f}",
                f"{cores * assumptions.devices_per_machine:.1f}",
            ]
        )
    head = ["resizing", "clips per second and core", "cores per GPU"]
    head.append(f"cores per machine of {assumptions.devices_per_machine} GPUs")
    return table(head, rows)


def runs_table(tokenizer, assumptions):
    both = UCF101_CLIPS + KINETICS600_CLIPS
    classes = generator_workload("llama-abs-LP")
    frames = generator_workload("llama-abs-LP", "frames")
    runs = [
        ("tokenizer, UCF101 and Kinetics-600", tokenizer, both),
        ("`llama-abs-LP`, UCF101", classes, UCF101_CLIPS),
        ("`llama-abs-LP`, frame prediction", frames, KINETICS600_CLIPS),
    ]
    rows = []
    for name, workload, clips in runs:
        for devices in (8, 64):
            hours = run_hours(workload, devices, clips, assumptions)
            rows.append(
                [
                    name,
                    workload.epochs,
                    workload.batch_size,
                    devices,
                    f"{hours / 24:.1f}",
                    f"{hours * devices:,.0f}",
                    f"{hours * devices * assumptions.price:,.0f}",
                ]
            )
    head = ["run", "epochs", "batch", "GPUs", "days", "GPU hours", "dollars"]
    return table(head, rows)


def table(head, rows):
    """Returns a Markdown table."""
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join(lines) + "\n"


def parse(arguments=None):
    """Returns the `Assumptions` of a command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    for field in dataclasses.fields(Assumptions):
        parser.add_argument(
            f"--{field.name}",
            type=field.type,
            default=field.default,
            choices=["torch", "jax"] if field.name == "backend" else None,
            help=HELP[field.name],
        )
    return Assumptions(**vars(parser.parse_args(arguments)))


def main():
    print("\n".join(tables(parse()).values()))


if __name__ == "__main__":
    main()
