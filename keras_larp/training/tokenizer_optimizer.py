import keras


@keras.saving.register_keras_serializable(package="keras_larp")
class TokenizerOptimizer(keras.optimizers.Optimizer):
    """The optimizers of a tokenizer, of its prior and of its discriminator.

    The prior is optimized by a copy of the given optimizer. At each step, its
    learning rate is a multiple of the tokenizer's, so that schedules and
    learning-rate callbacks affect both. The discriminator's optimizer is only
    stored here, so that Keras finds and saves its state; it is applied by the
    train step.

    Args:
        optimizer: A `keras.optimizers.Optimizer` that is not built.
        multiplier: Float. Ratio of the prior's learning rate to the
            tokenizer's. Defaults to 1.0.
        discriminator_optimizer: Optional `keras.optimizers.Optimizer`.
        name: String.
    """

    def __init__(
        self,
        optimizer,
        multiplier=1.0,
        discriminator_optimizer=None,
        name="tokenizer_optimizer",
    ):
        super().__init__(learning_rate=0.0, name=name)
        self.multiplier = multiplier
        self.main_optimizer = optimizer
        config = {**optimizer.get_config(), "learning_rate": 0.0}
        config["name"] = f"prior_{config['name']}"
        self.prior_optimizer = type(optimizer).from_config(config)
        self.discriminator_optimizer = discriminator_optimizer
        # Not the variables: Keras would track them as state of the optimizer.
        self._prior_ids = set()

    def build_groups(self, variables, prior_variables, discriminator_variables):
        """Creates all optimizer state.

        Args:
            variables: List of the trainable variables of the tokenizer,
                including the prior.
            prior_variables: List of those that belong to the prior.
            discriminator_variables: List of the trainable variables of the
                discriminator.
        """
        self._prior_ids = {id(v) for v in prior_variables}
        self.build(variables)
        for optimizer, group in self._groups(variables):
            optimizer.build(group)
        if self.discriminator_optimizer is not None:
            self.discriminator_optimizer.build(discriminator_variables)

    def apply(self, grads, trainable_variables=None):
        if trainable_variables is None:
            trainable_variables = self._trainable_variables
        pairs = zip(trainable_variables, grads, strict=True)
        gradients = {id(variable): gradient for variable, gradient in pairs}
        # Must precede the main optimizer's update, which advances its
        # schedule.
        self.prior_optimizer.learning_rate = (
            self.multiplier * self.main_optimizer.learning_rate
        )
        for optimizer, group in self._groups(trainable_variables):
            if group:
                optimizer.apply([gradients[id(v)] for v in group], group)
        self.iterations.assign_add(keras.ops.ones((), "int32"))

    def _groups(self, variables):
        """Pairs of an optimizer and those of the variables it updates."""
        main = [v for v in variables if id(v) not in self._prior_ids]
        prior = [v for v in variables if id(v) in self._prior_ids]
        return zip(self.optimizers, (main, prior), strict=True)

    @property
    def optimizers(self):
        """The optimizers of tokenizer and prior, for `SwapEMAWeights`."""
        return [self.main_optimizer, self.prior_optimizer]

    @property
    def variables(self):
        variables = super().variables
        for optimizer in [*self.optimizers, self.discriminator_optimizer]:
            if optimizer is not None:
                variables = [*variables, *optimizer.variables]
        return variables

    @property
    def learning_rate(self):
        return self.main_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        self.main_optimizer.learning_rate = learning_rate

    def finalize_variable_values(self, trainable_variables):
        for optimizer, group in self._groups(self._trainable_variables):
            optimizer.finalize_variable_values(group)

    # The inner optimizers save their own state.
    def save_own_variables(self, store):
        store["iterations"] = keras.ops.convert_to_numpy(self.iterations)

    def load_own_variables(self, store):
        self.iterations.assign(store["iterations"])

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            "optimizer": serialize(self.main_optimizer),
            "multiplier": self.multiplier,
            "discriminator_optimizer": serialize(self.discriminator_optimizer),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config):
        deserialize = keras.saving.deserialize_keras_object
        return cls(
            deserialize(config["optimizer"]),
            config["multiplier"],
            deserialize(config["discriminator_optimizer"]),
            config["name"],
        )
