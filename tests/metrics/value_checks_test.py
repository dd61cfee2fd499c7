"""Metrics refuse clips that are not floats in [0, 1]."""

import numpy as np
import pytest
from keras import ops

from keras_larp import metrics, models


def clips(shape=(1, 9, 16, 16, 3)):
    return np.random.default_rng(0).random(shape, "float32")


def i3d_features(videos, reconstructions):
    network = models.I3D()
    metrics.FrechetVideoDistance(network).update_real(videos)


ENTRIES = {
    "psnr": metrics.psnr,
    "ssim": metrics.ssim,
    "moving_psnr": metrics.moving_psnr,
    "still_flicker": metrics.still_flicker,
    "PSNR": lambda *x: metrics.PSNR().update_state(*x),
    "SSIM": lambda *x: metrics.SSIM().update_state(*x),
    "MovingPSNR": lambda *x: metrics.MovingPSNR().update_state(*x),
    "StillFlicker": lambda *x: metrics.StillFlicker().update_state(*x),
    "lpips": lambda *x: models.LPIPS(seed=0)(*map(ops.convert_to_tensor, x)),
    "i3d": lambda x, _: models.I3D()(x),
    "fvd": i3d_features,
}
CASES = {
    "uint8": ((clips() * 255).astype("uint8"), "Divide 8-bit video by 255"),
    "8-bit floats": (clips() * 255, "0..255 by 255"),
    "signed": (2.0 * clips() - 1.0, r"\(video \+ 1\) / 2"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("entry", ENTRIES)
def test_clips_of_another_range_are_refused(entry, case):
    video, message = CASES[case]
    with pytest.raises(ValueError, match=message):
        ENTRIES[entry](video, video)


@pytest.mark.parametrize("entry", ["psnr", "ssim", "lpips"])
def test_reconstructions_may_overshoot_but_not_be_8_bit(entry):
    ENTRIES[entry](clips(), 1.5 * clips() - 0.4)
    for case in ("uint8", "8-bit floats"):
        video, message = CASES[case]
        with pytest.raises(ValueError, match=message):
            ENTRIES[entry](clips(), video)


@pytest.mark.parametrize("entry", ["psnr", "ssim", "PSNR", "SSIM", "lpips"])
def test_clips_of_unequal_shape_are_refused(entry):
    with pytest.raises(ValueError, match=r"equal shape.*\(4, 9, 16, 16, 3\) "):
        ENTRIES[entry](clips((4, 9, 16, 16, 3)), clips((1, 9, 16, 16, 3)))
