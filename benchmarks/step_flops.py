"""How many floating-point operations a step of a tokenizer's training takes.

Matrix products and convolutions of the model as it is defined: a product of
`(a, b)` and `(b, c)` counts `2 a b c`. What gradient checkpointing computes a
second time, norms, softmaxes and the optimizer do not count; causal attention
counts in full. Of one clip, with P patches, N tokens, width D and codes of d
numbers, K codes, prior of width E, discriminator of width F:

    blocks(n, m, D, L) = (L - 1) (24 n D^2 + 4 n^2 D)
                         + 6 n D^2 + 18 m D^2 + 4 n m D
        of L blocks on n tokens, of which the last computes m;
    tokenizer = 2 P v D + blocks(P + N, N, D, encoder_num_layers) + 4 N d D
                + blocks(N + P, P, D, decoder_num_layers) + 2 P D v'
        with v and v' numbers in a patch of encoder and decoder;
    prior     = rounds (4 n d E + blocks(n, n, E, L) + 2 n d K), n = N - 1;
    judge     = 2 P v F + blocks(P + 1, 1, F, discriminator_num_layers) + 2 F;
    lpips     = T H W times the convolutions of VGG16 a pixel.

A step computes these and their gradients, which take twice as much where
weights are trained: 3 (tokenizer + prior). (Products with a factor that needs
no gradient, such as the clip or the prior's codebook, take less; they count as
the others do.) The search for codes, 2 N d K, has no gradient. The
discriminator judges each reconstruction, 2 judge for logit and gradient of the
reconstruction, and has a turn with clip and reconstruction, 2 times 3 judge, on
one step of `discriminator_every`. LPIPS passes both and has a gradient of one:
3 lpips.
"""

# Convolutions and width of VGG16's stages, each at half the size before it.
VGG16 = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))


def step_flops(settings):
    """Operations a clip, a mean over steps.

    Args:
        settings: Dictionary, of a `TokenizerRecipe`.

    Returns:
        Dictionary of floats: `tokenizer`, `prior`, `discriminator` and
        `perceptual_model`, and `total`, their sum.
    """
    from keras_larp.models import ARPrior

    s = settings
    patches, values = _patches(s, s["patch_size"])
    own = s["decoder_patch_size"] or s["patch_size"]
    decoder_patches, decoder_values = _patches(s, own)
    tokens, width = s["num_tokens"], s["hidden_dim"]
    code, codes = s["code_dim"], s["codebook_size"]

    tokenizer = (
        2 * patches * values * width
        + blocks(patches + tokens, tokens, width, s["encoder_num_layers"])
        + 4 * tokens * code * width
        + blocks(
            tokens + decoder_patches,
            decoder_patches,
            width,
            s["decoder_num_layers"],
        )
        + 2 * decoder_patches * width * decoder_values
    )
    parts = {"tokenizer": 3 * tokenizer + 2 * tokens * code * codes}
    if s["prior"] is not None:
        layers, _, inner = ARPrior.sizes[s["prior"]]
        seen = tokens - 1
        prior = (
            4 * seen * code * inner
            + blocks(seen, seen, inner, layers)
            + 2 * seen * code * codes
        )
        parts["prior"] = 3 * s["prior_num_rounds"] * prior
    if s["discriminator"]:
        inner, layers = (
            s["discriminator_hidden_dim"],
            s["discriminator_num_layers"],
        )
        judge = (
            2 * patches * values * inner
            + blocks(patches + 1, 1, inner, layers)
            + 2 * inner
        )
        parts["discriminator"] = (2 + 6 / s["discriminator_every"]) * judge
    if s["perceptual_model"] is not None:
        pixels, channels, frame = s["image_size"] ** 2, 3, 0
        for stage, (count, width) in enumerate(VGG16):
            for _ in range(count):
                frame += 2 * 9 * channels * width * pixels / 4**stage
                channels = width
        parts["perceptual_model"] = 3 * s["num_frames"] * frame
    return {**parts, "total": sum(parts.values())}


def blocks(num_tokens, num_outputs, width, count):
    """Operations of transformer blocks, the last of which computes only
    `num_outputs` of the tokens."""
    n, m = num_tokens, num_outputs
    each = 24 * n * width**2 + 4 * n * n * width
    last = 6 * n * width**2 + 18 * m * width**2 + 4 * n * m * width
    return (count - 1) * each + last


def _patches(settings, patch_size):
    """How many patches a clip has, and how many numbers a patch."""
    frames, height, width = patch_size
    size = settings["image_size"]
    count = settings["num_frames"] // frames * (size // height)
    return count * (size // width), frames * height * width * 3
