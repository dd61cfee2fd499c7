"""Names in PyTorch checkpoints that training wrappers have changed."""

from collections.abc import Iterable, Mapping
from typing import Any

# `torch.nn.DataParallel`, `torch.compile`, and nested dictionaries that were
# flattened.
_PREFIXES = ("module.", "_orig_mod.", "state_dict.")
# Keys of the weights in checkpoints that also hold the state of training.
_WEIGHT_KEYS = ("state_dict", "model_state_dict", "model")


def original_names(names: Iterable[str]) -> dict[str, str]:
    """Removes the prefixes of wrappers, if all names have them.

    Returns:
        Dictionary from the name without prefixes to the name in the file.
    """
    result = {name: name for name in names}
    while result:
        prefix = next(
            (p for p in _PREFIXES if all(n.startswith(p) for n in result)), None
        )
        if prefix is None:
            break
        result = {n.removeprefix(prefix): name for n, name in result.items()}
    return result


def without_wrappers(state: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the weights of a checkpoint under their original names.

    Args:
        state: Dictionary of weights, or of training state that holds them as
            `"state_dict"`, `"model_state_dict"` or `"model"`.
    """
    for key in _WEIGHT_KEYS:
        if isinstance(state.get(key), Mapping):
            state = state[key]
            break
    names = original_names(state)
    return {name: state[stored] for name, stored in names.items()}
