import contextlib

from keras import ops


@contextlib.contextmanager
def averaged_weights(model):
    """Context manager that swaps in the optimizer's weight averages.

    It restores the weights, bit by bit, on exit. Without averages
    (`use_ema=False`, or a model that is not compiled) it does nothing.

    Args:
        model: A `keras.Model`.
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
