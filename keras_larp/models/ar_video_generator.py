import keras
from keras import layers, ops

from keras_larp.backend.execution import apply_block
from keras_larp.backend.seed_generator import SeedGenerator
from keras_larp.layers.causal_transformer_block import CausalTransformerBlock
from keras_larp.layers.position_table import SequencePositions
from keras_larp.models.frame_prediction import FramePrediction
from keras_larp.models.preset_mixin import PresetMixin
from keras_larp.models.video_generation import VideoGeneration
from keras_larp.training.generator_training import GeneratorTraining

SIZES = {  # layers, heads, width
    "llama-abs-tiny": (3, 4, 128),
    "llama-abs-S": (12, 6, 384),
    "llama-abs-B": (12, 12, 768),
    "llama-abs-L": (24, 16, 1024),
    "llama-abs-LP": (30, 20, 1280),
    "llama-abs-XL": (36, 20, 1280),
    "llama-abs-XXL": (48, 24, 1536),
    "llama-abs-XXXL": (48, 40, 2560),
}


@keras.saving.register_keras_serializable(package="keras_larp")
class ARVideoGenerator(
    FramePrediction, VideoGeneration, PresetMixin, GeneratorTraining
):
    """An autoregressive generator of video tokens.

    A LLaMA-like decoder with absolute positions predicts a clip's tokens one
    by one, given a class or, for frame prediction, the tokens of a clip's
    first frames.

    Args:
        vocab_size: Integer, the tokenizer's number of codes.
        num_tokens: Integer, tokens a clip.
        num_classes: Integer, number of classes.
        class_names: Optional list of strings, the names of the classes by id;
            `generate` then takes them too.
        hidden_dim: Integer, width.
        num_layers: Integer, transformer blocks.
        num_heads: Integer, attention heads; divides `hidden_dim`.
        num_kv_heads: Integer, heads of keys and values; defaults to
            `num_heads`.
        mlp_dim: Integer, width of the SwiGLU layers; see
            `CausalTransformerBlock`.
        conditioning: `"class"` or `"frames"`.
        num_condition_frames: Integer, frames that a generator for frame
            prediction is given.
        class_dropout: Float, share of labels that training replaces by "no
            class"; guidance needs it above zero.
        token_dropout: Float, rate on the embedded sequence.
        dropout: Float, rate after attention and MLP.
        attention_dropout: Float, rate on attention weights.
        drop_path: Float, rate of stochastic depth in the last block; it
            rises linearly from zero in the first.
        learned_positions: Boolean, learned instead of sine-cosine positions.
        epsilon: Float, of the norms.
        gradient_checkpointing: Boolean, whether training computes the inside
            of each block a second time in place of keeping it.
        seed: Integer or `None`, seed of the class dropout.

    Call arguments:
        inputs: Dictionary of `token_ids`, int `(B, num_tokens)`, and
            either `class_ids`, int `(B,)`, negative for "no class", or, for
            frame prediction, `condition_ids`, int `(B, num_tokens + 1)`, the
            token ids of the condition frames and the separator id
            `vocab_size`.
        training: Boolean, whether dropout acts.

    Returns:
        float32 `(B, num_tokens, vocab_size)`, logits of each token given the
        condition and all tokens before it.

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
            class_names = list(class_names)
        self._options = {
            name: value
            for name, value in locals().items()
            if name not in ("self", "kwargs", "__class__")
        }
        super().__init__(**kwargs)
        if conditioning not in ("class", "frames"):
            raise ValueError(
                "`conditioning` must be 'class' or 'frames'. "
                f"Received: conditioning={conditioning!r}"
            )
        if min(vocab_size, num_tokens, num_classes, num_layers) < 1:
            raise ValueError(
                "Sizes must be positive. Received: "
                f"vocab_size={vocab_size}, num_tokens={num_tokens}, "
                f"num_classes={num_classes}, num_layers={num_layers}"
            )
        if class_names is not None and len(class_names) != num_classes:
            raise ValueError(
                "`class_names` must name each class. Received: "
                f"{len(class_names)} names, num_classes={num_classes}"
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
        # The key of the condition in the inputs of a call.
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

        # The last row of either table stands for no class, or separates the
        # first frames from the clip.
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

    @classmethod
    def from_size(cls, size, **kwargs):
        """A generator of a size by name: `llama-abs-S`, `-B`, `-L`, `-LP`
        (the paper's), `-XL`, `-XXL` or `-XXXL`; or `-tiny`, ours for small
        data."""
        if size not in SIZES:
            raise ValueError(
                f"Unknown size of a generator: {size!r}. "
                f"Expected one of: {', '.join(SIZES)}"
            )
        num_layers, num_heads, hidden_dim = SIZES[size]
        return cls(
            num_layers=num_layers,
            num_heads=num_heads,
            hidden_dim=hidden_dim,
            **kwargs,
        )

    @property
    def known_classes(self):
        """The class ids that training met, a list: those of all classes, or
        [-1], "no class", where the only class has no name. Such a generator
        is what `train-generator` makes of videos without classes."""
        nameless = self.class_names is None and self.num_classes == 1
        if nameless and self.class_dropout:
            return [-1]
        return list(range(self.num_classes))

    def check_tokenizer(self, tokenizer):
        """Raises a `ValueError` for a tokenizer of other tokens."""
        expected = self.num_tokens, self.vocab_size
        received = tokenizer.num_tokens, tokenizer.codebook_size
        if received != expected:
            raise ValueError(
                "This generator is of another tokenizer, one with "
                f"{expected[0]} tokens of {expected[1]} codes. Received: a "
                f"tokenizer with {received[0]} tokens of {received[1]} codes"
            )

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
        self._generators = {}

    # Teacher-forced pass.

    def embed_condition(self, condition, training=False):
        """Condition to float `(B, condition_length, hidden_dim)`."""
        if self.conditioning == "frames":
            return self.token_embedding(condition)
        condition = ops.cast(condition, "int32")
        if training and self.class_dropout:
            uniform = keras.random.uniform(
                ops.shape(condition), seed=self.seed_generator
            )
            drop = uniform < self.class_dropout
            condition = ops.where(drop, self.num_classes, condition)
        condition = ops.where(condition < 0, self.num_classes, condition)
        return self.class_embedding(condition)[:, None]

    def call(self, inputs, training=False):
        token_ids = inputs["token_ids"]
        condition = inputs[self.condition_name]
        if len(token_ids.shape) != 2 or token_ids.shape[1] != self.num_tokens:
            raise ValueError(
                f"Expected token ids of shape (batch, {self.num_tokens}). "
                f"Received: shape={tuple(token_ids.shape)}"
            )
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
        return self._logits(x[:, self.condition_length - 1 :])

    def _logits(self, x):
        return ops.cast(self.head(self.norm(x)), "float32")

    def compute_output_shape(self, input_shape):
        batch = input_shape["token_ids"][0]
        return (batch, self.num_tokens, self.vocab_size)

    def get_config(self):
        return {
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            **self._options,
        }
