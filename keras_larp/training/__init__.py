"""How models are trained: loss terms, optimizers and one driver a backend.

The drivers (`jax_driver`, `tensorflow_driver`, `torch_driver`) are the only
places that know a backend. Each gives

- `TrainStep`, a mixin with `train_step` and `test_step`, for models that
  define `step_outputs(data, training)` (a scalar loss and a dictionary of
  tensors) and `update_metrics(outputs)`;
- `compile_function(model, function)`, which makes a function of tensors that
  reads the model's weights into a compiled one, without gradients;
- `compile_loop(body)`, for a loop inside such a function;
- `fused_attention`, attention in one kernel where the backend has one;
- `lay_out_kernel` and `few_rows_product`, see `keras_larp.layers.few_rows`.
"""

import importlib

import keras

_driver = importlib.import_module(
    f"keras_larp.training.{keras.backend.backend()}_driver"
)
TrainStep = _driver.TrainStep
compile_function = _driver.compile_function
compile_loop = _driver.compile_loop
fused_attention = _driver.fused_attention
lay_out_kernel = _driver.lay_out_kernel
few_rows_product = _driver.few_rows_product
