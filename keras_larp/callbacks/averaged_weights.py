import contextlib

from keras import ops


@contextlib.contextmanager
def averaged_weights(model):
    """Has the averages that the optimizer keeps, if it does, in the place of
    the model's weights, which are the same to the bit afterwards.

    Args:
        model: A `keras.Model`, built where it is compiled.
    """
    if not _keeps_averages(getattr(model, "optimizer", None)):
        yield
        return
    variables = model.trainable_variables
    weights = [ops.convert_to_numpy(variable).copy() for variable in variables]
    model.optimizer.finalize_variable_values(variables)
    try:
        yield
    finally:
        for variable, value in zip(variables, weights, strict=True):
            variable.assign(value)


def _keeps_averages(optimizer):
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # loss scaling
    parts = getattr(optimizer, "optimizers", [optimizer])
    return any(getattr(part, "use_ema", False) for part in parts)
