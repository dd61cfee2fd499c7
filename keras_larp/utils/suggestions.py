import difflib
from collections.abc import Iterable


def did_you_mean(name: object, choices: Iterable[str]) -> str:
    """Suggests known names that are similar to an unknown one.

    Args:
        name: String, the unknown name.
        choices: Iterable of strings, the known names.

    Returns:
        String to append to an error message: `" Did you mean 'a' or 'b'?"`,
        or `""` if no choice is similar.
    """
    close = difflib.get_close_matches(str(name), list(choices), n=3)
    if not close:
        return ""
    return f" Did you mean {' or '.join(map(repr, close))}?"
