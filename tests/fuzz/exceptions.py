"""Refusals that are not clear, with the reason why they remain."""

import re

# Patterns of an entry and of the message, and the reason.
EXCEPTIONS = [
    (
        r"\.call$",
        r"Invalid dtype: (str|object)|could not convert string to float"
        r"|Cannot convert|Cast string",
        "Keras converts arrays of texts before the layer is called.",
    ),
]


def is_listed(name, message):
    """Whether a message of an entry is in the list."""
    return any(
        re.search(entry, name) and re.search(pattern, message)
        for entry, pattern, _ in EXCEPTIONS
    )


# Public names, or arguments of them, that `make fuzz` does not call.
WITHOUT_ENTRY = {
    # Created by functions of the library.
    "data.BatchDataset": "all",
    "data.SkippedFile": "all",
    "data.TokenDataset": "all",
    "data.VideoDataset": "all",
    "data.VideoDecodeError": "all",
    "recipes.RecipeChoice": "all",
    "evaluation.MetricComparison": "all",
    # A base class, and one that needs an environment of its own.
    "data.VideoSource": "all",
    "data.TfioReader": "all",
    "data.tf_video_dataset": "all",
    # Called through the functions of `RECIPES`.
    "recipes.GeneratorRecipe": "all",
    "recipes.TokenizerRecipe": "all",
    # Named in the logs of `fit`, where it is checked.
    "callbacks.Checkpoint": ("monitor",),
    "callbacks.CodebookCollapseWarning": ("monitor",),
    # As in `keras.Model.fit`.
    "evaluation.load_or_train_classifier": ("verbose",),
    # Checked by `generate`.
    "callbacks.SampleGrid": ("condition",),
}
