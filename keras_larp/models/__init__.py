"""Models: the tokenizer, its prior, the generator and models for losses."""

from keras_larp.models.ar_prior import ARPrior
from keras_larp.models.ar_video_generator import ARVideoGenerator
from keras_larp.models.i3d import I3D
from keras_larp.models.larp_tokenizer import LARPTokenizer
from keras_larp.models.lpips import LPIPS
from keras_larp.models.video_discriminator import VideoDiscriminator
from keras_larp.models.video_reconstruction import reconstruct_video

__all__ = [
    "ARPrior",
    "ARVideoGenerator",
    "I3D",
    "LARPTokenizer",
    "LPIPS",
    "VideoDiscriminator",
    "reconstruct_video",
]
