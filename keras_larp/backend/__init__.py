"""What one backend needs, behind functions that are equal on all.

The drivers (`jax_driver`, `tensorflow_driver`, `torch_driver`) are the only
modules that import a backend. Each defines

- `StepDriver`, a mixin with `train_step` and `test_step` for models that
  define `train_on(data)` and `test_on(data)`, and with the operations that
  those need: `differentiate`, `input_gradient`, `conditionally`, `apply_if`,
  `all_finite` and `current_step`;
- `compile_function(model, function)`, which compiles a function of tensors
  that reads the model's weights, without gradients;
- `compile_loop(body)`, for a loop inside such a function;
- `fused_attention`, attention in one kernel if the backend has one;
- `pack_kernel` and `packed_matmul`, see
  `keras_larp.backend.packed_matmul`.
"""

import importlib

import keras

_driver = importlib.import_module(
    f"keras_larp.backend.{keras.backend.backend()}_driver"
)
StepDriver = _driver.StepDriver
compile_function = _driver.compile_function
compile_loop = _driver.compile_loop
fused_attention = _driver.fused_attention
pack_kernel = _driver.pack_kernel
packed_matmul = _driver.packed_matmul
