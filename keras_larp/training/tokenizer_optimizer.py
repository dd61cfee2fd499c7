import keras


@keras.saving.register_keras_serializable(package="keras_larp")
class TokenizerOptimizer(keras.optimizers.Optimizer):
    """One optimizer for tokenizer and prior, at two learning rates.

    The prior's variables get an optimizer of their own, equal to the given
    one but for its learning rate, which is at each step a multiple of the
    other's: schedules and learning-rate callbacks reach both.

    Args:
        optimizer: A `keras.optimizers.Optimizer`, not yet built.
        multiplier: Float, learning rate of the prior over the tokenizer's.
    """

    def __init__(self, optimizer, multiplier=1.0, name="tokenizer_optimizer"):
        super().__init__(learning_rate=0.0, name=name)
        self.multiplier = multiplier
        self.main_optimizer = optimizer
        config = {**optimizer.get_config(), "learning_rate": 0.0}
        config["name"] = f"prior_{config['name']}"
        self.prior_optimizer = type(optimizer).from_config(config)
        self._prior_keys = set()

    def build_groups(self, variables, prior_variables):
        """Makes all state: `prior_variables` are some of `variables`."""
        self._prior_keys = {self._var_key(v) for v in prior_variables}
        self.build(variables)
        self.main_optimizer.build(
            [v for v in variables if self._var_key(v) not in self._prior_keys]
        )
        self.prior_optimizer.build(prior_variables)

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
        self.main_optimizer.apply(*groups[0])
        self.prior_optimizer.apply(*groups[1])
        self._iterations.assign_add(1)

    @property
    def variables(self):
        return (
            self._variables
            + self.main_optimizer.variables
            + self.prior_optimizer.variables
        )

    @property
    def learning_rate(self):
        return self.main_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        self.main_optimizer.learning_rate = learning_rate

    # The two inner optimizers save their own state.
    def save_own_variables(self, store):
        store["iterations"] = keras.ops.convert_to_numpy(self._iterations)

    def load_own_variables(self, store):
        self._iterations.assign(store["iterations"])

    def get_config(self):
        return {
            "optimizer": keras.saving.serialize_keras_object(
                self.main_optimizer
            ),
            "multiplier": self.multiplier,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config):
        optimizer = keras.saving.deserialize_keras_object(config["optimizer"])
        return cls(optimizer, config["multiplier"], config["name"])
