import keras


@keras.saving.register_keras_serializable(package="keras_larp")
class TokenizerOptimizer(keras.optimizers.Optimizer):
    """The optimizers of a tokenizer, of its prior and of its discriminator.

    The prior's variables get an optimizer of their own, equal to the given
    one but for its learning rate, which is at each step a multiple of the
    other's: schedules and learning-rate callbacks reach both. The
    discriminator's optimizer is only kept here, where Keras finds and saves
    its state; the train step applies it.

    Args:
        optimizer: A `keras.optimizers.Optimizer`, not yet built.
        multiplier: Float, learning rate of the prior over the tokenizer's.
        discriminator_optimizer: Optional `keras.optimizers.Optimizer`.
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
        self._prior_keys = set()

    def build_groups(self, variables, prior_variables, discriminator_variables):
        """Makes all state: `prior_variables` are some of `variables`."""
        self._prior_keys = {self._var_key(v) for v in prior_variables}
        self.build(variables)
        self.main_optimizer.build(
            [v for v in variables if self._var_key(v) not in self._prior_keys]
        )
        self.prior_optimizer.build(prior_variables)
        if self.discriminator_optimizer is not None:
            self.discriminator_optimizer.build(discriminator_variables)

    def apply(self, grads, trainable_variables=None):
        groups = ([], []), ([], [])
        variables = trainable_variables or self._trainable_variables
        for gradient, variable in zip(grads, variables, strict=True):
            group = groups[self._var_key(variable) in self._prior_keys]
            group[0].append(gradient)
            group[1].append(variable)
        # Before the main optimizer's step moves its schedule on.
        self.prior_optimizer.learning_rate = (
            self.multiplier * self.main_optimizer.learning_rate
        )
        for optimizer, group in zip(self.optimizers, groups, strict=True):
            if group[1]:
                optimizer.apply(*group)
        self._iterations.assign_add(keras.ops.ones((), "int32"))

    @property
    def optimizers(self):
        """Those of tokenizer and prior, where `SwapEMAWeights` looks."""
        return [self.main_optimizer, self.prior_optimizer]

    @property
    def variables(self):
        found = [*self._variables]
        for optimizer in [*self.optimizers, self.discriminator_optimizer]:
            found += [] if optimizer is None else optimizer.variables
        return found

    @property
    def learning_rate(self):
        return self.main_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        self.main_optimizer.learning_rate = learning_rate

    def finalize_variable_values(self, trainable_variables):
        for optimizer in self.optimizers:
            # pylint: disable=protected-access
            optimizer.finalize_variable_values(optimizer._trainable_variables)

    # The inner optimizers save their own state.
    def save_own_variables(self, store):
        store["iterations"] = keras.ops.convert_to_numpy(self._iterations)

    def load_own_variables(self, store):
        self._iterations.assign(store["iterations"])

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
