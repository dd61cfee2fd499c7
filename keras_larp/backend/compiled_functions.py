"""Compiled functions of a model that follow changes of its layers."""

import operator
import threading
from collections.abc import Callable, Hashable
from typing import Any

import keras

from keras_larp.backend import compat

# Held while functions are created and traced: PyTorch's tracer changes global
# state, so that two threads must not trace at the same time.
TRACING_LOCK = threading.RLock()


class Structure:
    """What a trace of a model assumes to be constant: its layers, their dtype
    policies and its variables, but not the variables' values.

    Quantization, `enable_lora`, a new `dtype_policy` and replaced layers
    change it. Assigning weights does not.

    Args:
        model: A built `keras.Model`.
    """

    def __init__(self, model: keras.Model):
        layers = compat.flatten_layers(model)
        policies = [layer.dtype_policy for layer in layers]
        self.objects = [*layers, *policies, *compat.weights_of(layers)]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Structure)
            and len(self.objects) == len(other.objects)
            and all(map(operator.is_, self.objects, other.objects))
        )

    __hash__ = None  # type: ignore[assignment]


class CompiledFunctions:
    """Compiled functions of a model, by key.

    All are dropped when the `Structure` of the model changes. Several threads
    may use them; each function is created once.

    Args:
        model: A built `keras.Model`.
    """

    def __init__(self, model: keras.Model):
        self.model = model
        self.state: tuple[Structure | None, dict] = None, {}

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Returns the function of a key, created by `make` if necessary."""
        structure = Structure(self.model)
        current, functions = self.state
        if structure == current and key in functions:
            return functions[key]
        with TRACING_LOCK:
            current, functions = self.state
            if structure != current:
                functions = {}
                self.state = structure, functions
            if key not in functions:
                functions[key] = make()
            return functions[key]
