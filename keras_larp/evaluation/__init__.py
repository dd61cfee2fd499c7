"""Evaluation of tokenizers and generators, whole or in parts, and reports."""

from keras_larp.evaluation.chosen_clips import ChosenClips, overlapping_files
from keras_larp.evaluation.evaluate import (
    evaluate_frame_prediction,
    evaluate_generation,
    evaluate_reconstruction,
)
from keras_larp.evaluation.feature_extractor import (
    FeatureExtractor,
    i3d_features,
    random_features,
)
from keras_larp.evaluation.merge import merge
from keras_larp.evaluation.pictures import (
    token_usage,
    truncated_clips,
    truncation_video,
    write_token_usage,
)
from keras_larp.evaluation.report import append_to_report
from keras_larp.evaluation.shape_classifier import (
    ShapeClassifier,
    load_or_train_shape_classifier,
    shape_features,
)

__all__ = [
    "ChosenClips",
    "FeatureExtractor",
    "ShapeClassifier",
    "append_to_report",
    "evaluate_frame_prediction",
    "evaluate_generation",
    "evaluate_reconstruction",
    "i3d_features",
    "load_or_train_shape_classifier",
    "merge",
    "overlapping_files",
    "random_features",
    "shape_features",
    "token_usage",
    "truncated_clips",
    "truncation_video",
    "write_token_usage",
]
