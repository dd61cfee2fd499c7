"""Backend-specific code with a common interface.

Only `compat` and the modules named after a backend import it. `devices`,
`processes` and `replicas`, which distribute training, choose the module of the
active backend, as this one chooses the driver (`jax_driver`,
`tensorflow_driver`, `torch_driver`). Each driver defines

- `StepDriver`: a mixin with the `train_step` and `test_step` that Keras calls
  (they call the model's `train_on(data)` and `test_on(data)`), and with the
  operations that a train step needs: `differentiate`, `input_gradient`,
  `conditionally`, `apply_if`, `all_finite`, `current_step`, `num_replicas` and
  `metrics_over_replicas`;
- `register_dataclass`: a class decorator that makes a dataclass of tensors
  a valid output of differentiated functions;
- `compile_function(model, function)`: compiles a function of tensors that
  reads the model's weights, for inference;
- `compile_loop(body)`: a loop inside such a function;
- `with_unknown_sizes`: prepares a data set of clips of several sizes;
- `fused_attention`: attention in one kernel, if the backend has one;
- `pack_kernel` and `packed_matmul`: see `keras_larp.backend.packed_matmul`.

`CompiledFunctions` caches the compiled functions of a model.
"""

import importlib

import keras

from keras_larp.backend.compiled_functions import CompiledFunctions, Structure

__all__ = [
    "CompiledFunctions",
    "StepDriver",
    "Structure",
    "compile_function",
    "compile_loop",
    "fused_attention",
    "pack_kernel",
    "packed_matmul",
    "register_dataclass",
    "with_unknown_sizes",
]

_driver = importlib.import_module(
    f"keras_larp.backend.{keras.backend.backend()}_driver"
)
StepDriver = _driver.StepDriver
register_dataclass = _driver.register_dataclass
compile_function = _driver.compile_function
compile_loop = _driver.compile_loop
fused_attention = _driver.fused_attention
pack_kernel = _driver.pack_kernel
packed_matmul = _driver.packed_matmul
with_unknown_sizes = _driver.with_unknown_sizes
