"""Evaluation of tokenizers and generators, optionally in shards."""

from keras_larp.evaluation.clip_classifier import (
    ClipClassifier,
    class_features,
    load_or_train_classifier,
)
from keras_larp.evaluation.comparison import (
    MetricComparison,
    compare_evaluations,
)
from keras_larp.evaluation.comparison_report import (
    comparison_grid,
    comparison_table,
    comparison_verdict,
)
from keras_larp.evaluation.evaluate import (
    evaluate_frame_prediction,
    evaluate_generation,
    evaluate_reconstruction,
)
from keras_larp.evaluation.evaluation_clips import (
    EvaluationClips,
    overlapping_files,
)
from keras_larp.evaluation.feature_extractor import (
    FeatureExtractor,
    i3d_features,
    random_features,
)
from keras_larp.evaluation.merge import merge
from keras_larp.evaluation.rate_distortion import rate_distortion
from keras_larp.evaluation.rate_distortion_report import (
    plot_rate_distortion,
    rate_distortion_table,
)
from keras_larp.evaluation.report import append_to_report
from keras_larp.evaluation.run_plots import plot_run
from keras_larp.evaluation.visualization import (
    codebook_usage_by_position,
    resample_suffix,
    truncation_video,
    write_codebook_usage,
)

__all__ = [
    "ClipClassifier",
    "EvaluationClips",
    "FeatureExtractor",
    "MetricComparison",
    "append_to_report",
    "class_features",
    "codebook_usage_by_position",
    "compare_evaluations",
    "comparison_grid",
    "comparison_table",
    "comparison_verdict",
    "evaluate_frame_prediction",
    "evaluate_generation",
    "evaluate_reconstruction",
    "i3d_features",
    "load_or_train_classifier",
    "merge",
    "overlapping_files",
    "plot_rate_distortion",
    "plot_run",
    "random_features",
    "rate_distortion",
    "rate_distortion_table",
    "resample_suffix",
    "truncation_video",
    "write_codebook_usage",
]
