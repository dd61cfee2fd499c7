"""Counted operations of a step, compared with PyTorch's counter."""

import keras
import numpy as np
import pytest

from benchmarks.step_flops import step_flops
from keras_larp import recipes

TINY = {
    "num_frames": 4,
    "image_size": 16,
    "patch_size": (2, 4, 4),
    "decoder_patch_size": (2, 8, 8),
    "num_tokens": 16,
    "codebook_size": 64,
    "code_dim": 8,
    "hidden_dim": 32,
    "num_heads": 2,
    "encoder_num_layers": 2,
    "decoder_num_layers": 3,
    "prior": "gptc-tiny",
    "dtype": "float32",
    "epochs": 2,
    "warmup_epochs": 0.5,
    "discriminator_hidden_dim": 32,
    "discriminator_num_heads": 2,
    "discriminator_num_layers": 2,
    "discriminator_every": 2,
}


@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="needs PyTorch's counter"
)
@pytest.mark.parametrize("perceptual_model", [None, "random"])
def test_step_flops_match_the_counter_of_pytorch(perceptual_model):
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    class Counter(TorchDispatchMode):
        total = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            kwargs = kwargs or {}
            out = func(*args, **kwargs)
            count = flop_registry.get(func._overloadpacket)
            if count is not None:
                self.total += count(*args, **kwargs, out_val=out)
            return out

    recipe = recipes.larp_l_long_tokenizer(
        10, **TINY, perceptual_model=perceptual_model
    )
    tokenizer = recipe.build()
    clips = np.zeros((2, 4, 16, 16, 3), "float32")
    # The math kernel consists of products that the counter knows.
    with sdpa_kernel(SDPBackend.MATH), Counter() as counter:
        for _ in range(2):  # One update of the discriminator.
            tokenizer.train_on_batch(clips)
    counted = counter.total / (2 * 2)  # Steps, clips.
    expected = step_flops(recipe)["total"]
    np.testing.assert_allclose(counted, expected, rtol=0.02)
