import os

import numpy as np

from keras_larp.models.i3d import check_clips
from keras_larp.utils.arrays import to_numpy
from keras_larp.utils.checks import check_instance
from keras_larp.utils.downloads import fetch_file
from keras_larp.utils.fingerprints import file_sha256
from keras_larp.utils.optional_imports import require

_URL = "https://www.dropbox.com/s/ge9e5ujwgetktms/i3d_torchscript.pt?dl=1"
_SHA256 = "bec6519f66ea534e953026b4ae2c65553c17bf105611c746d904657e5860a5e2"
DOWNLOAD_HINT = (
    f" `i3d_torchscript.pt` is available from {_URL}; download it and pass its "
    "path."
)


class TorchScriptI3D:
    """The I3D network of the StyleGAN-V evaluation protocol.

    Most published FVD values were computed with this TorchScript file. It runs
    in PyTorch, on every Keras backend. Since TorchScript files are programs,
    only a file with the expected checksum is run.

    Args:
        source: String or path. Path or URL of `i3d_torchscript.pt`. Defaults
            to the URL of its authors.
        sha256: String. Expected checksum of the file; `None` is refused.
            Defaults to the checksum of the published file.
        device: String. PyTorch device. `None` selects a GPU if one is
            available. Defaults to `None`.

    Attributes:
        name: String. Class name and checksum of the file.

    Call arguments:
        videos: Float tensor of shape `(B, T, H, W, 3)` with values in
            [0, 1] and `T >= 9`. The network resizes frames to 224 x 224.

    Returns:
        float32 NumPy array of shape `(B, 400)`, logits of the classes.

    Raises:
        FileNotFoundError: If the file does not exist or cannot be downloaded.
            The message says where it is available.
        ImportError: If PyTorch is not installed.
        ValueError: If `sha256` is `None`, the file has another checksum or
            format, or clips have an unsupported shape or dtype.

    Example:

    ```python
    i3d = keras_larp.presets.TorchScriptI3D("i3d_torchscript.pt")
    fvd = keras_larp.metrics.FrechetVideoDistance(i3d)
    ```

    Reference:
        [StyleGAN-V](https://arxiv.org/abs/2112.14683)
    """

    def __init__(
        self,
        source: str | os.PathLike = _URL,
        sha256: str = _SHA256,
        device: str | None = None,
    ):
        if sha256 is None:
            raise ValueError(
                "A TorchScript file is a program, and loading it runs what it "
                "contains. `TorchScriptI3D` therefore needs the checksum of a "
                "file that you trust: omit `sha256` for the published file, "
                "or pass the output of `sha256sum` for your own. Received: "
                f"sha256=None for {source}"
            )
        if device is not None:
            check_instance("device", device, str)
        torch = require("torch", "torch")
        path = fetch_file(source, sha256, hint=DOWNLOAD_HINT)
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = device
        self.name = f"TorchScriptI3D sha256:{file_sha256(path)}"
        try:
            self.module = torch.jit.load(path, map_location=device).eval()
            names = {a.name for a in self.module.forward.schema.arguments}
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(
                f"Expected a TorchScript file. Received: {path} "
                f"({reason}).{DOWNLOAD_HINT}"
            ) from error
        if not {"rescale", "resize", "return_features"} <= names:
            raise ValueError(
                "Expected a TorchScript module with the arguments `rescale`, "
                f"`resize` and `return_features`. Received: {path}, whose "
                "arguments are "
                f"{sorted(names - {'self'})}.{DOWNLOAD_HINT}"
            )

    def __call__(self, videos):
        check_clips(videos)
        torch = require("torch", "torch")
        # Copy, because PyTorch warns about read-only arrays.
        videos = np.array(to_numpy(videos), "float32")
        with torch.inference_mode():
            x = torch.from_numpy(videos).to(self.device)
            x = 2.0 * x.permute(0, 4, 1, 2, 3) - 1.0  # (B, 3, T, H, W)
            features = self.module(
                x, rescale=False, resize=True, return_features=True
            )
        return features.float().cpu().numpy()
