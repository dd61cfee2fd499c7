import dataclasses
from collections.abc import Callable
from typing import Any

from fuzz.bad_values import Kind
from fuzz.outcomes import classify
from hypothesis import strategies as st


@dataclasses.dataclass(frozen=True)
class Entry:
    """A public function, method or constructor, with a valid call.

    Attributes:
        name: String, such as `"layers.TransformerBlock"`.
        function: Callable of keyword arguments.
        valid: Function that returns the keyword arguments of a valid call.
        kinds: Dictionary from argument to `Kind`.
        can_run: Boolean. Whether the valid call works here and is fast.
    """

    name: str
    function: Callable
    valid: Callable[[], dict[str, Any]]
    kinds: dict[str, Kind]
    can_run: bool = True

    def call(self) -> Any:
        """Calls the function with valid arguments."""
        return self.function(**self.valid())

    def bad_calls(self) -> st.SearchStrategy:
        """Strategy of pairs of an argument and an invalid value of it."""
        valid = self.valid()
        return st.sampled_from(sorted(self.kinds)).flatmap(
            lambda name: st.tuples(
                st.just(name), self.kinds[name].bad(valid.get(name))
            )
        )

    def outcome(self, name: str, value: Any) -> tuple[str, str]:
        """Calls the function with an invalid value; see `classify`."""
        arguments = {**self.valid(), name: value}
        words = [name, *self.kinds[name].mentions]
        if isinstance(value, str) and len(value) > 3:  # Such as a path.
            words.append(value)
        return classify(lambda: self.function(**arguments), words, value)
