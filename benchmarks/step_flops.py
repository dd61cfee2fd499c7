"""Floating-point operations of a tokenizer's training step.

Matrix products and convolutions of the model count: a product of `(a, b)` and
`(b, c)` counts `2 a b c`. Rematerialization, normalization, softmax and the
optimizer do not count; causal attention counts in full. For one clip with P
patches, N tokens, hidden dimension D, K codes of dimension d, a prior with
hidden dimension E and a discriminator with hidden dimension F:

    blocks(n, m, D, L) = (L - 1) (24 n D^2 + 4 n^2 D)
                         + 6 n D^2 + 18 m D^2 + 4 n m D
        for L blocks on n tokens, the last of which computes m;
    tokenizer = 2 P v D + blocks(P + N, N, D, encoder_num_layers) + 4 N d D
                + blocks(N + P, P, D, decoder_num_layers) + 2 P D v'
        with v and v' values per patch of encoder and decoder;
    prior     = rounds (4 n d E + blocks(n, n, E, L) + 2 n d K), n = N - 1;
    disc      = 2 P v F + blocks(P + 1, 1, F, discriminator_num_layers) + 2 F;
    lpips     = T H W times the convolutions of VGG16 per pixel.

The backward pass of a part with trainable weights takes twice the operations of
its forward pass: 3 (tokenizer + prior). (Products with a factor that needs no
gradient, such as the clip or the prior's codebook, take less, but count like
the others.) The search for the nearest codes, 2 N d K, has no gradient. The
adversarial loss takes 2 disc, for the logits of the reconstruction and their
gradient. An update of the discriminator, every `discriminator_every` steps,
takes 2 times 3 disc, for the clip and its reconstruction. LPIPS is computed for
both, with a gradient for one: 3 lpips.
"""

# Number of convolutions and width of VGG16's stages; each halves the size.
VGG16 = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))


def step_flops(recipe):
    """Returns the operations per clip, averaged over steps.

    Args:
        recipe: A `TokenizerRecipe`.

    Returns:
        Dictionary of floats: `tokenizer`, `prior`, `discriminator`,
        `perceptual_model` and their sum, `total`.
    """
    from keras_larp.models import ARPrior

    patches, values = _patches(recipe, recipe.patch_size)
    decoder_patches, decoder_values = _patches(
        recipe, recipe.decoder_patch_size or recipe.patch_size
    )
    tokens, width = recipe.num_tokens, recipe.hidden_dim
    code, codes = recipe.code_dim, recipe.codebook_size

    tokenizer = (
        2 * patches * values * width
        + blocks(patches + tokens, tokens, width, recipe.encoder_num_layers)
        + 4 * tokens * code * width
        + blocks(
            tokens + decoder_patches,
            decoder_patches,
            width,
            recipe.decoder_num_layers,
        )
        + 2 * decoder_patches * width * decoder_values
    )
    parts = {"tokenizer": 3 * tokenizer + 2 * tokens * code * codes}
    if recipe.prior is not None:
        layers, _, inner = ARPrior.sizes[recipe.prior]
        inputs = tokens - 1
        prior = (
            4 * inputs * code * inner
            + blocks(inputs, inputs, inner, layers)
            + 2 * inputs * code * codes
        )
        parts["prior"] = 3 * recipe.prior_num_rounds * prior
    if recipe.discriminator:
        inner, layers = (
            recipe.discriminator_hidden_dim,
            recipe.discriminator_num_layers,
        )
        disc = (
            2 * patches * values * inner
            + blocks(patches + 1, 1, inner, layers)
            + 2 * inner
        )
        parts["discriminator"] = (2 + 6 / recipe.discriminator_every) * disc
    if recipe.perceptual_model is not None:
        pixels, channels, frame = recipe.image_size**2, 3, 0
        for stage, (count, width) in enumerate(VGG16):
            for _ in range(count):
                frame += 2 * 9 * channels * width * pixels / 4**stage
                channels = width
        parts["perceptual_model"] = 3 * recipe.num_frames * frame
    return {**parts, "total": sum(parts.values())}


def blocks(num_tokens, num_outputs, width, count):
    """Returns the operations of transformer blocks.

    The last block computes only `num_outputs` of the tokens.
    """
    n, m = num_tokens, num_outputs
    each = 24 * n * width**2 + 4 * n * n * width
    last = 6 * n * width**2 + 18 * m * width**2 + 4 * n * m * width
    return (count - 1) * each + last


def _patches(recipe, patch_size):
    """Returns the number of patches per clip and of values per patch."""
    frames, height, width = patch_size
    size = recipe.image_size
    count = recipe.num_frames // frames * (size // height)
    return count * (size // width), frames * height * width * 3
