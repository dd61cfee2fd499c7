import collections

import numpy as np
import pytest
from keras import ops
from tiny_models import tiny_tokenizer

from keras_larp import presets
from keras_larp.utils import files


def diverged_tokenizer():
    tokenizer = tiny_tokenizer()
    kernel = tokenizer.to_code.kernel
    kernel.assign(kernel * float("nan"))
    return tokenizer


def test_diverged_models_are_not_saved(tmp_path):
    with pytest.raises(ValueError, match="save LARPTokenizer.*not finite"):
        diverged_tokenizer().save_to_preset(tmp_path / "preset")
    assert list(tmp_path.iterdir()) == []


def test_diverged_presets_are_not_loaded(tmp_path):
    tiny_tokenizer().save_to_preset(tmp_path / "preset")
    diverged_tokenizer().save_weights(tmp_path / "preset" / "model.weights.h5")
    with pytest.raises(ValueError, match="load LARPTokenizer.*not finite"):
        presets.load(tmp_path / "preset")


@pytest.mark.once
def test_presets_are_replaced_on_request_only(tmp_path):
    first, second = tiny_tokenizer(), tiny_tokenizer()
    first.save_to_preset(tmp_path / "preset")
    with pytest.raises(FileExistsError, match="preset exists"):
        second.save_to_preset(tmp_path / "preset")
    second.save_to_preset(tmp_path / "preset", overwrite=True)
    loaded = presets.load(tmp_path / "preset")
    np.testing.assert_array_equal(
        *(ops.convert_to_numpy(m.to_code.kernel) for m in (loaded, second))
    )
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.once
def test_full_disk_leaves_no_preset(tmp_path, monkeypatch):
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(
        files.shutil, "disk_usage", lambda _: usage(2**30, 2**30, 0)
    )
    with pytest.raises(OSError, match="has 0 MiB left"):
        tiny_tokenizer().save_to_preset(tmp_path / "preset")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.once
def test_disk_that_becomes_full_leaves_no_half_precision_preset(
    tmp_path, monkeypatch
):
    # Its weights are written twice.
    usage = collections.namedtuple("usage", "total used free")
    free = iter([2**30, 0])
    monkeypatch.setattr(
        files.shutil, "disk_usage", lambda _: usage(2**30, 0, next(free))
    )
    with pytest.raises(OSError, match="has 0 MiB left"):
        presets.save(tiny_tokenizer(), tmp_path / "preset", "float16")
    assert list(tmp_path.iterdir()) == []
