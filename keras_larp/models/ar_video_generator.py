import keras
from keras import layers, ops

from keras_larp.backend import CompiledFunctions
from keras_larp.backend.execution import apply_block
from keras_larp.backend.replicas import draw_uniforms
from keras_larp.backend.seed_generator import SeedGenerator
from keras_larp.layers.causal_transformer_block import CausalTransformerBlock
from keras_larp.layers.position_table import SequencePositions
from keras_larp.models.export_mixin import ExportMixin
from keras_larp.models.frame_prediction import FramePrediction
from keras_larp.models.layer_dtypes import LayerDtypesMixin
from keras_larp.models.preset_mixin import PresetMixin
from keras_larp.models.sizes import Size, SizesMixin
from keras_larp.models.video_generation import VideoGeneration
from keras_larp.training.generator_training import GeneratorTraining
from keras_larp.utils.arguments import check_arguments
from keras_larp.utils.checks import check_attribute, check_names
from keras_larp.utils.elastic_checks import check_elastic, is_elastic
from keras_larp.utils.input_checks import check_tensor, checks_values

SIZES = {
    "llama-abs-tiny": Size(num_layers=3, num_heads=4, hidden_dim=128),
    "llama-abs-S": Size(num_layers=12, num_heads=6, hidden_dim=384),
    "llama-abs-B": Size(num_layers=12, num_heads=12, hidden_dim=768),
    "llama-abs-L": Size(num_layers=24, num_heads=16, hidden_dim=1024),
    "llama-abs-LP": Size(num_layers=30, num_heads=20, hidden_dim=1280),
    "llama-abs-XL": Size(num_layers=36, num_heads=20, hidden_dim=1280),
    "llama-abs-XXL": Size(num_layers=48, num_heads=24, hidden_dim=1536),
    "llama-abs-XXXL": Size(num_layers=48, num_heads=40, hidden_dim=2560),
}


@keras.saving.register_keras_serializable(package="keras_larp")
class ARVideoGenerator(
    SizesMixin,
    FramePrediction,
    VideoGeneration,
    PresetMixin,
    ExportMixin,
    LayerDtypesMixin,
    GeneratorTraining,
):
    """Autoregressive transformer that generates video tokens.

    A LLaMA-style decoder with absolute positions predicts the tokens of a
    clip one after the other, conditioned on a class or, for frame prediction,
    on the tokens of the first frames. The training loss is the cross-entropy
    of all tokens. `ARVideoGenerator.sizes` lists the named sizes for
    `from_size`; the paper uses `"llama-abs-LP"`.

    Args:
        vocab_size: Integer. Number of codes of the tokenizer. Defaults to
            8192.
        num_tokens: Integer. Number of tokens per clip. Defaults to 1024.
        num_classes: Integer. Number of classes. Defaults to 101.
        class_names: List of strings. The name of each class, in the order of
            class ids; `generate` then also accepts names. `None` for
            classes without names. Defaults to `None`.
        hidden_dim: Integer. Width of the transformer. Defaults to 1280.
        num_layers: Integer. Number of transformer blocks. Defaults to 30.
        num_heads: Integer. Number of query heads; must divide `hidden_dim`.
            Defaults to 20.
        num_kv_heads: Integer. Number of key and value heads; must divide
            `num_heads`. Defaults to `num_heads`.
        mlp_dim: Integer. Width of the hidden layer of the SwiGLU. Defaults to
            `8 / 3 * hidden_dim`, rounded up to a multiple of 256.
        conditioning: String. `"class"`, or `"frames"` for frame prediction.
            Defaults to `"class"`.
        num_condition_frames: Integer. Number of frames on which frame
            prediction is conditioned. Defaults to 5.
        class_dropout: Float. Probability of dropping the class label during
            training; must be positive for classifier-free guidance and for
            generation without a class. Defaults to 0.1.
        token_dropout: Float. Dropout rate of the embedded sequence. Defaults
            to 0.1.
        dropout: Float. Dropout rate of the attention and MLP outputs.
            Defaults to 0.1.
        attention_dropout: Float. Dropout rate of the attention weights.
            Defaults to 0.
        drop_path: Float. Stochastic depth rate of the last block. The rate
            rises linearly from 0 in the first block. Defaults to 0.
        learned_positions: Boolean. `True` for learned positions, `False` for
            fixed sine-cosine positions. Defaults to `True`.
        epsilon: Float. Epsilon of the RMS normalizations. Defaults to 1e-5.
        gradient_checkpointing: Boolean. Whether to rematerialize the
            activations of each block in the backward pass. Defaults to
            `False`.
        seed: Integer. Seed of the class dropout. `None` for a random seed.
            Defaults to `None`.

    Call arguments:
        inputs: Dictionary of `token_ids`, int `(B, num_tokens)`, and the
            condition. For `conditioning="class"` the condition is
            `class_ids`, int `(B,)`, where negative ids mean "no class". For
            `conditioning="frames"` it is `condition_ids`, int
            `(B, num_tokens + 1)`: the token ids of the condition frames (see
            `encode_first_frames`) followed by the separator id, `vocab_size`.
        training: Boolean. Whether dropout is active.

    Returns:
        float32 tensor `(B, num_tokens, vocab_size)`: the logits of each token
        given the condition and all preceding tokens.

    Raises:
        ValueError: If arguments are invalid or `token_ids` has another shape.

    Example:

    ```python
    generator = keras_larp.models.ARVideoGenerator(
        vocab_size=128, num_tokens=24, num_classes=5,
        hidden_dim=64, num_layers=2, num_heads=4,
    )
    token_ids = generator.generate([0, 4], guidance_scale=1.25, seed=0)

    generator = keras_larp.models.ARVideoGenerator.from_preset(
        "larp_small_atari_generator"
    )
    token_ids = generator.generate(["boxing", "pong"], seed=0)
    ```

    Reference:
        - [LARP](https://arxiv.org/abs/2410.21264), section 3.4
    """

    sizes = SIZES

    def __init__(
        self,
        vocab_size=8192,
        num_tokens=1024,
        num_classes=101,
        class_names=None,
        hidden_dim=1280,
        num_layers=30,
        num_heads=20,
        num_kv_heads=None,
        mlp_dim=None,
        conditioning="class",
        num_condition_frames=5,
        class_dropout=0.1,
        token_dropout=0.1,
        dropout=0.1,
        attention_dropout=0.0,
        drop_path=0.0,
        learned_positions=True,
        epsilon=1e-5,
        gradient_checkpointing=False,
        seed=None,
        **kwargs,
    ):
        if class_names is not None:
            class_names = list(check_names("class_names", class_names))
        self._options = {
            name: value
            for name, value in locals().items()
            if name not in ("self", "kwargs", "__class__")
        }
        super().__init__(**kwargs)
        check_arguments(**self._options)
        if class_names is not None and len(class_names) != num_classes:
            raise ValueError(
                "`class_names` must have one name per class. Received: "
                f"{len(class_names)} names, num_classes={num_classes}"
            )
        if class_names is not None and len({*class_names}) < num_classes:
            duplicate = next(n for n in class_names if class_names.count(n) > 1)
            raise ValueError(
                "`class_names` must be unique. Received more than once: "
                f"{duplicate!r}"
            )
        self.vocab_size = vocab_size
        self.num_tokens = num_tokens
        self.num_classes = num_classes
        self.class_names = class_names
        self.hidden_dim = hidden_dim
        self.conditioning = conditioning
        self.num_condition_frames = num_condition_frames
        self.class_dropout = class_dropout
        self.gradient_checkpointing = gradient_checkpointing
        # Key of the condition in the inputs of `call`.
        self.condition_name = (
            "class_ids" if conditioning == "class" else "condition_ids"
        )
        self.condition_length = 1 if conditioning == "class" else num_tokens + 1
        self.sequence_length = self.condition_length + num_tokens - 1

        policy = self.dtype_policy
        self.seed_generator = SeedGenerator(seed)

        def embedding(rows, name):
            return layers.Embedding(
                rows,
                hidden_dim,
                embeddings_initializer=keras.initializers.RandomNormal(
                    stddev=0.02
                ),
                dtype=policy,
                name=name,
            )

        # The last row of the class table is "no class". The last row of the
        # token table is the separator of condition and clip.
        self.class_embedding = None
        if conditioning == "class":
            rows = num_classes + (1 if class_dropout else 0)
            self.class_embedding = embedding(rows, "class_embedding")
        rows = vocab_size + (1 if conditioning == "frames" else 0)
        self.token_embedding = embedding(rows, "token_embedding")
        self.positions = SequencePositions(
            self.sequence_length,
            hidden_dim,
            learned=learned_positions,
            dtype=policy,
            name="positions",
        )
        self.input_dropout = layers.Dropout(token_dropout, dtype=policy)
        self.blocks = [
            CausalTransformerBlock(
                hidden_dim,
                num_heads,
                num_kv_heads=num_kv_heads,
                mlp_dim=mlp_dim,
                dropout=dropout,
                attention_dropout=attention_dropout,
                drop_path=float(drop_path * i / max(num_layers - 1, 1)),
                epsilon=epsilon,
                dtype=policy,
                name=f"block_{i}",
            )
            for i in range(num_layers)
        ]
        self.norm = layers.RMSNormalization(
            epsilon=epsilon, dtype=policy, name="norm"
        )
        self.head = layers.Dense(
            vocab_size,
            use_bias=False,
            kernel_initializer="zeros",
            dtype=policy,
            name="head",
        )
        self.build()

    @property
    def known_classes(self):
        """List of the class ids that occur in training.

        These are all classes; or `[-1]`, "no class", for a generator with one
        class without a name, which was trained on unlabeled video.
        """
        is_unnamed = self.class_names is None and self.num_classes == 1
        if is_unnamed and self.class_dropout:
            return [-1]
        return list(range(self.num_classes))

    def check_tokenizer(self, tokenizer, num_tokens=None):
        """Raises an error if a tokenizer cannot decode this model's tokens.

        Args:
            tokenizer: `LARPTokenizer`.
            num_tokens: Integer. The number of leading tokens to decode.
                Defaults to `None`, all of this model.

        Raises:
            TypeError: If `tokenizer` is no tokenizer.
            ValueError: If its number of codes differs; or its number of
                tokens, unless it is elastic and has more.
        """
        check_attribute(
            "tokenizer", tokenizer, "codebook_size", "LARPTokenizer"
        )
        expected = self.num_tokens, self.vocab_size
        received = tokenizer.num_tokens, tokenizer.codebook_size
        is_prefix = expected[0] < received[0] and is_elastic(tokenizer)
        if received[1] != expected[1] or not (
            is_prefix or received[0] == expected[0]
        ):
            raise ValueError(
                "This generator needs a tokenizer with "
                f"{expected[0]} tokens of {expected[1]} codes. Received: a "
                f"tokenizer with {received[0]} tokens of {received[1]} codes"
            )
        if num_tokens is not None and num_tokens < tokenizer.num_tokens:
            check_elastic(tokenizer, num_tokens=num_tokens)

    def build(self, input_shape=None):
        if self.built:
            return
        if self.class_embedding is not None:
            self.class_embedding.build((None,))
        self.token_embedding.build((None, None))
        shape = (None, None, self.hidden_dim)
        for block in self.blocks:
            block.build(shape)
        self.norm.build(shape)
        self.head.build(shape)
        self.built = True
        self._compiled_functions = CompiledFunctions(self)
        self.record_layer_dtypes()

    def embed_condition(self, condition, training=False):
        """Embeds a condition, with class dropout in training.

        Args:
            condition: `class_ids` `(B,)` or `condition_ids`
                `(B, num_tokens + 1)`; see the call arguments.
            training: Boolean. Whether class dropout is active.

        Returns:
            Float tensor `(B, condition_length, hidden_dim)`.
        """
        if self.conditioning == "frames":
            return self.token_embedding(condition)
        class_ids = ops.cast(condition, "int32")
        if training and self.class_dropout:
            uniforms = draw_uniforms(ops.shape(class_ids), self.seed_generator)
            dropped = uniforms < self.class_dropout
            class_ids = ops.where(dropped, self.num_classes, class_ids)
        class_ids = ops.where(class_ids < 0, self.num_classes, class_ids)
        return self.class_embedding(class_ids)[:, None]

    def call(self, inputs, training=False):
        token_ids = inputs["token_ids"]
        condition = inputs[self.condition_name]
        check_tensor("token_ids", token_ids, (None, self.num_tokens), "int")
        if checks_values(token_ids, "ARVideoGenerator.call"):
            self.check_batch(inputs, None)
        x = ops.concatenate(
            [
                self.embed_condition(condition, training),
                self.token_embedding(token_ids[:, :-1]),
            ],
            axis=1,
        )  # (B, C + N - 1, D)
        x = self.input_dropout(x, training=training) + self.positions.values()
        checkpoint = training and self.gradient_checkpointing
        for block in self.blocks:
            x = apply_block(block, x, checkpoint, training=training)
        x = x[:, self.condition_length - 1 :]  # (B, N, D)
        logits = self.head(self.norm(x))  # (B, N, vocab_size)
        return ops.cast(logits, "float32")

    def compute_output_shape(self, input_shape):
        batch = input_shape["token_ids"][0]
        return (batch, self.num_tokens, self.vocab_size)

    def input_signature(self):
        is_class = self.conditioning == "class"
        condition = (None,) if is_class else (None, self.condition_length)
        return {
            "token_ids": keras.InputSpec("int32", (None, self.num_tokens)),
            self.condition_name: keras.InputSpec("int32", condition),
        }

    def get_config(self):
        return {
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            **self._options,
            **self.layer_dtypes_config(),
        }
