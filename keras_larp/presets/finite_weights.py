import keras


def check_finite_weights(model: keras.Model, action: str) -> None:
    """Checks that no weight of a model is NaN or infinite.

    Args:
        model: A model of `keras_larp.models`.
        action: String, `"load"` or `"save"`, for the message.

    Raises:
        ValueError: If a weight is not finite; the message names it.
    """
    for weight in getattr(model, "model_weights", model.weights):
        values = keras.ops.convert_to_tensor(weight)
        if keras.backend.is_float_dtype(weight.dtype) and not bool(
            keras.ops.all(keras.ops.isfinite(values))
        ):
            raise ValueError(
                f"Cannot {action} {type(model).__name__}: its weight "
                f"{weight.path} has values that are not finite. Its training "
                "has diverged; use an earlier checkpoint."
            )
