import dataclasses
import typing

import keras

from keras_larp import models
from keras_larp.recipes import setting
from keras_larp.recipes.recipe import Dtype, Recipe
from keras_larp.utils.checks import check_choice


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratorRecipe(Recipe):
    """All settings for training an `ARVideoGenerator`.

    The defaults are those of the paper's class-conditional generator on UCF101
    (`hywang66/LARP-L-long-AR`). `print(recipe)` lists the settings.

    Example:

    ```python
    recipe = keras_larp.recipes.larp_l_long_generator(batch_size=32)
    print(recipe)
    # generator = recipe.build(class_names, dataset)
    # generator.fit(dataset, **recipe.fit_arguments())
    ```

    Reference:
        - [LARP](https://arxiv.org/abs/2410.21264), section 4.1
    """

    batch_size: int = setting.override(Recipe, "batch_size", 64, "-b = 64")
    epochs: int = setting.override(
        Recipe, "epochs", 3000, "max_epoch = 3000 (frame prediction: 75)"
    )

    size: str = setting.model(
        "llama-abs-LP",
        "Size of the generator: llama-abs-tiny, -S, -B, -L, -LP, -XL, -XXL or "
        "-XXXL.",
        "model.name = llama-abs-LP",
    )
    vocab_size: int = setting.model(
        8192,
        "Number of codes in the tokenizer's codebook.",
        "vocab_size = 8192",
    )
    num_tokens: int = setting.override(
        Recipe, "num_tokens", 1024, "max_seq_len = 1024"
    )
    num_classes: int = setting.model(
        101, "Number of classes.", "model.args.num_classes = 101"
    )
    conditioning: typing.Literal["class", "frames"] = setting.model(
        "class",
        "Generate from a class label (class) or continue given frames "
        "(frames).",
        "frame_prediction = off (frame prediction: on)",
    )
    num_condition_frames: int = setting.model(
        5,
        "Number of given frames; frame prediction only.",
        "ar.num_cond_frames = 5",
    )
    class_dropout: float = setting.model(
        0.1,
        "Probability of dropping the class label during training, in [0, 1]; "
        "must be positive for classifier-free guidance.",
        "class_dropout_prob = 0.1 (frame prediction: unused)",
    )
    token_dropout: float = setting.model(
        0.1,
        "Dropout rate of the embedded token sequence, in [0, 1).",
        "model.args.token_dropout_p = 0.1",
    )
    dropout: float = setting.model(
        0.1,
        "Dropout rate after attention and MLP, in [0, 1).",
        "resid_dropout_p, ffn_dropout_p = 0.1",
    )
    drop_path: float = setting.model(
        0.0,
        "Stochastic depth rate of the last block, in [0, 1); increases "
        "linearly from 0 in the first.",
        "drop_path_rate = 0",
    )
    dtype: Dtype = setting.override(
        Recipe,
        "dtype",
        "mixed_bfloat16",
        "use_amp, amp_dtype = bfloat16",
    )

    optimizer: typing.Literal["adam", "muon"] = setting.override(
        Recipe, "optimizer", "adam", "optimizer.name = adamw"
    )
    learning_rate: float = setting.override(
        Recipe, "learning_rate", 6e-4, "optimizer.args.lr = 6e-4"
    )
    beta_1: float = setting.override(
        Recipe, "beta_1", 0.9, "optimizer.args.betas[0] = 0.9"
    )
    beta_2: float = setting.override(
        Recipe, "beta_2", 0.95, "optimizer.args.betas[1] = 0.95"
    )
    weight_decay: float = setting.optimizer(
        0.05,
        "Decoupled weight decay (AdamW).",
        "optimizer.args.weight_decay = 0.05",
    )
    warmup_epochs: float = setting.override(
        Recipe,
        "warmup_epochs",
        4.0,
        "optimizer.warmup_epoch = 4 (frame prediction: 1)",
    )

    def __post_init__(self):
        super().__post_init__()
        check_choice("size", self.size, models.ARVideoGenerator.sizes)

    def build(
        self,
        class_names: list[str] | None = None,
        dataset: typing.Any = None,
    ) -> models.ARVideoGenerator:
        """Returns a compiled `ARVideoGenerator`.

        Args:
            class_names: Optional list of strings. Names of the classes, by
                class id.
            dataset: The training dataset. Required if the recipe was created
                without `steps_per_epoch`.

        Raises:
            ValueError: If `dataset` is required and missing.
        """
        arguments = self.for_data(dataset).compile_arguments()
        generator = models.ARVideoGenerator.from_size(
            self.size, class_names=class_names, **self.model_arguments()
        )
        generator.compile(**arguments)
        return generator

    def model_arguments(self) -> dict[str, typing.Any]:
        """Returns the arguments of `ARVideoGenerator.from_size`, except for
        the size and the class names."""
        return self._select(
            "vocab_size",
            "num_tokens",
            "num_classes",
            "conditioning",
            "num_condition_frames",
            "class_dropout",
            "token_dropout",
            "dropout",
            "drop_path",
            "gradient_checkpointing",
            "dtype",
        )

    def compile_arguments(self) -> dict[str, typing.Any]:
        """Returns the arguments of `ARVideoGenerator.compile`."""
        return {
            "optimizer": self._main_optimizer(
                keras.optimizers.AdamW, weight_decay=self.weight_decay
            ),
            "jit_compile": self._jit_compile(),
        }
