"""Names of weights in checkpoints of wrapped models."""

import pytest

from keras_larp.presets.converters.state_dict import (
    original_names,
    without_wrappers,
)

pytestmark = pytest.mark.once


def test_prefixes_that_all_names_have_are_removed():
    names = ["module._orig_mod.a.weight", "module._orig_mod.b"]
    assert original_names(names) == {"a.weight": names[0], "b": names[1]}
    for names in (["module.a", "b"], ["a.module.b"], []):
        assert original_names(names) == {name: name for name in names}


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_weights_in_training_state_are_found(key):
    state = {key: {"module.a": 1, "module.b": 2}, "epoch": 3}
    assert without_wrappers(state) == {"a": 1, "b": 2}
    assert without_wrappers({"model": 1, "b": 2}) == {"model": 1, "b": 2}
