"""Layers of the tokenizer, the autoregressive prior and the generator."""

from keras_larp.layers.causal_transformer_block import CausalTransformerBlock
from keras_larp.layers.holistic_query_encoder import HolisticQueryEncoder
from keras_larp.layers.patch_query_decoder import PatchQueryDecoder
from keras_larp.layers.positions import sincos_1d, sincos_3d
from keras_larp.layers.token_dropout import TokenDropout
from keras_larp.layers.transformer_block import TransformerBlock
from keras_larp.layers.vector_quantizer import VectorQuantizer
from keras_larp.layers.video_patch_embedding import VideoPatchEmbedding

__all__ = [
    "CausalTransformerBlock",
    "HolisticQueryEncoder",
    "PatchQueryDecoder",
    "TokenDropout",
    "TransformerBlock",
    "VectorQuantizer",
    "VideoPatchEmbedding",
    "sincos_1d",
    "sincos_3d",
]
