import keras
import numpy as np

from keras_larp.models.i3d import check_clips
from keras_larp.presets.weight_files import fetch_file, file_sha256
from keras_larp.utils.optional_imports import require

_URL = "https://www.dropbox.com/s/ge9e5ujwgetktms/i3d_torchscript.pt?dl=1"
_SHA256 = "bec6519f66ea534e953026b4ae2c65553c17bf105611c746d904657e5860a5e2"
WHERE = (
    f" `i3d_torchscript.pt` is to be had from {_URL}; download it and pass its "
    "path."
)


class TorchScriptI3D:
    """The I3D of the StyleGAN-V protocol, through PyTorch on any backend.

    Most published FVDs were computed with this file. A TorchScript file is a
    program: only the one with the given checksum is run.

    Args:
        source: Path or URL of `i3d_torchscript.pt`.
        sha256: String, checksum that the file must have.
        device: String, PyTorch's name of a device. By default a GPU where
            there is one.

    Call arguments:
        videos: float `(B, T, H, W, 3)` in [0, 1], with T of 9 or more. Frames
            are resized to 224 x 224 by the file's own code.

    Returns:
        float32 NumPy array `(B, 400)`, logits of the classes.

    Raises:
        FileNotFoundError: where the file is not there or cannot be
            downloaded; says where to get it.
        ImportError: where PyTorch is not installed.
        ValueError: for another file, and for clips that `models.I3D` does
            not take.

    Example:

    ```python
    i3d = keras_larp.presets.TorchScriptI3D("i3d_torchscript.pt")
    fvd = keras_larp.metrics.FrechetVideoDistance(i3d)
    ```

    Reference:
        [StyleGAN-V](https://arxiv.org/abs/2112.14683)
    """

    def __init__(self, source=_URL, sha256=_SHA256, device=None):
        torch = require("torch", "torch")
        path = fetch_file(source, sha256, hint=WHERE)
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = device
        self.extractor = f"TorchScriptI3D sha256:{file_sha256(path)}"
        try:
            self.module = torch.jit.load(path, map_location=device).eval()
            names = {a.name for a in self.module.forward.schema.arguments}
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(
                f"Expected a TorchScript file. Received: {path} "
                f"({reason}).{WHERE}"
            ) from error
        if not {"rescale", "resize", "return_features"} <= names:
            raise ValueError(
                "Expected a program with the arguments `rescale`, `resize` and "
                f"`return_features`. Received: {path}, whose arguments are "
                f"{sorted(names - {'self'})}.{WHERE}"
            )

    def __call__(self, videos):
        check_clips(videos)
        torch = require("torch", "torch")
        # A copy, since PyTorch warns of arrays that are not its to write.
        videos = np.array(keras.ops.convert_to_numpy(videos), "float32")
        with torch.inference_mode():
            x = torch.from_numpy(videos).to(self.device)
            x = 2.0 * x.permute(0, 4, 1, 2, 3) - 1.0  # (B, 3, T, H, W)
            features = self.module(
                x, rescale=False, resize=True, return_features=True
            )
        return features.float().cpu().numpy()
