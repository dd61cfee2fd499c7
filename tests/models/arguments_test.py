"""Invalid constructor arguments are named."""

import inspect

import pytest
from tiny_models import tiny_generator, tiny_tokenizer

from keras_larp import layers, models
from keras_larp.utils import arguments

pytestmark = pytest.mark.once

NAN, INFINITY = float("nan"), float("inf")
INVALID = {
    **dict.fromkeys(arguments._INTEGERS, ("8", 4.0, True, 0, -1, NAN)),
    **dict.fromkeys(arguments._NUMBERS, ("0.1", True, -1, NAN, INFINITY)),
    **dict.fromkeys(arguments._BOOLEANS, ("yes", 2, NAN)),
    **dict.fromkeys(arguments._CHOICES, ("other", 1, None)),
}
# Valid arguments of all public classes.
VALID = {
    layers.CausalTransformerBlock: {"hidden_dim": 16, "num_heads": 2},
    layers.HolisticQueryEncoder: {
        "num_tokens": 4,
        "hidden_dim": 16,
        "num_layers": 1,
        "num_heads": 2,
    },
    layers.PatchQueryDecoder: {
        "num_tokens": 4,
        "video_size": (4, 16, 16),
        "patch_size": (2, 8, 8),
        "hidden_dim": 16,
        "num_layers": 1,
        "num_heads": 2,
    },
    layers.TransformerBlock: {"hidden_dim": 16, "num_heads": 2},
    layers.VectorQuantizer: {"codebook_size": 8, "code_dim": 4},
    layers.VideoPatchEmbedding: {
        "video_size": (4, 16, 16),
        "patch_size": (2, 8, 8),
        "hidden_dim": 16,
    },
    models.ARPrior: {},
    models.VideoDiscriminator: {},
    models.LPIPS: {},
}
CASES = [
    (make, name)
    for make in (*VALID, tiny_tokenizer, tiny_generator)
    for name in inspect.signature(
        {
            tiny_tokenizer: models.LARPTokenizer,
            tiny_generator: models.ARVideoGenerator,
        }.get(make, make)
    ).parameters
    if name in INVALID
]


@pytest.mark.parametrize(
    "make, name", CASES, ids=[f"{m.__name__}-{n}" for m, n in CASES]
)
def test_invalid_arguments_are_named(make, name):
    for value in INVALID[name]:
        with pytest.raises(ValueError, match=f"`{name}` must be.*Received: "):
            make(**{**VALID.get(make, {}), name: value})


def test_class_names_must_be_unique():
    with pytest.raises(ValueError, match="more than once: 'a'"):
        tiny_generator(class_names=["a", "b", "a"])
