"""Trains, evaluates, saves and restores a generator on virtual devices.

The first argument is a folder for files. It prints the results as JSON.
"""

import json
import pathlib
import sys

import jax
import keras
import numpy as np
from tiny_models import tiny_generator

from keras_larp import distribution, models
from keras_larp.backend import jax_driver
from keras_larp.layers.attention import split_heads

FOLDER = pathlib.Path(sys.argv[1])
NAMES = keras.distribution.list_devices()
# Of 7 clips, the last batch has 3, which no number of devices here divides.
OPTIONS = {"batch_size": 4, "shuffle": False, "verbose": 0}
DATA = {
    "token_ids": np.arange(42).reshape(7, 6) % 32,
    "class_ids": np.array([0, 1, 2, 0, 1, -1, 0]),
}
LAYOUTS = {
    "one device": lambda: None,
    "4 devices": lambda: distribution.data_parallel(NAMES[:4]),
    "2 x 4 devices": lambda: distribution.model_parallel(4),
}


def set_up(layout):
    keras.utils.clear_session()  # Names of variables, and the distribution.
    LAYOUTS[layout]()
    keras.utils.set_random_seed(0)


def train(layout):
    """Trains for two epochs, the second one in a restored model."""
    set_up(layout)
    model = tiny_generator(
        num_heads=4, seed=0, gradient_checkpointing=layout != "one device"
    )
    # Momentum is state that is split like its kernel.
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    loss = model.fit(DATA, **OPTIONS).history["loss"][0]
    model.save_to_preset(FOLDER / f"{layout} preset")
    model.save(FOLDER / f"{layout}.keras")
    return {"loss": loss, "memory": memory(model)}


def memory(model):
    """Bytes of weights and optimizer state: all, and on the first device."""
    variables = [*model.model_weights, *model.optimizer.variables]
    values = [v.value for v in variables]
    shards = [value.addressable_shards[0].data for value in values]
    return [sum(x.nbytes for x in arrays) for arrays in (values, shards)]


def restore(source, layout):
    """Continues under one layout what was saved under another one."""
    set_up(layout)
    model = keras.saving.load_model(FOLDER / f"{source}.keras")
    loss = model.fit(DATA, **OPTIONS).history["loss"][0]
    metrics = model.evaluate(DATA, batch_size=4, verbose=0, return_dict=True)
    preset = models.ARVideoGenerator.from_preset(FOLDER / f"{source} preset")
    kernels = [model.head.kernel, preset.head.kernel]
    return {
        "loss": loss,
        "metrics": metrics,
        "devices": [len(k.value.sharding.device_set) for k in kernels],
        "kernel": np.array(kernels[0].value).tolist(),
        "preset kernel": np.array(kernels[1].value).tolist(),
    }


def fused_attention_layouts():
    """The layouts of query, key and value of split projections."""
    set_up("2 x 4 devices")
    mesh = keras.distribution.distribution().device_mesh.backend_mesh
    layout = jax.sharding.NamedSharding(
        mesh, jax.sharding.PartitionSpec("batch", None, "model")
    )
    x = jax.device_put(np.zeros((4, 6, 96), "float32"), layout)

    @jax.jit
    def split(x):
        tensors = [x.swapaxes(1, 2) for x in split_heads(x, num_heads=4)]
        return jax_driver._split_by_heads(*tensors)

    return [[*x.sharding.spec][:3] for x in split(x)]


def message(error, function):
    try:
        function()
    except error as exception:
        return str(exception)
    return "no error"


def errors():
    set_up("one device")
    model = tiny_generator()
    model.compile()
    LAYOUTS["4 devices"]()
    return {
        "early": message(RuntimeError, lambda: model.fit(DATA, **OPTIONS)),
        "unknown": message(
            ValueError, lambda: distribution.data_parallel(["cpu:8", "tpu:0"])
        ),
        "twice": message(
            ValueError, lambda: distribution.data_parallel(["cpu:1", "cpu:1"])
        ),
        "shards": message(ValueError, lambda: distribution.model_parallel(3)),
    }


if __name__ == "__main__":
    result = {layout: train(layout) for layout in LAYOUTS}
    pairs = [
        ("one device", "one device"),
        ("4 devices", "2 x 4 devices"),
        ("2 x 4 devices", "4 devices"),
    ]
    result["restored"] = {a: restore(a, b) for a, b in pairs}
    result["attention"] = fused_attention_layouts()
    result["errors"] = errors()
    print(json.dumps(result))
