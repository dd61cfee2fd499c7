"""Models: the tokenizer, its prior, and the generator."""

from keras_larp.models.ar_prior import ARPrior
from keras_larp.models.ar_video_generator import ARVideoGenerator
from keras_larp.models.larp_tokenizer import LARPTokenizer

__all__ = ["ARPrior", "ARVideoGenerator", "LARPTokenizer"]
