"""Checks whether leading tokens of a tokenizer can be decoded."""

from typing import Any


def is_elastic(tokenizer: Any) -> bool:
    """Whether any number of leading tokens can be decoded."""
    return getattr(tokenizer, "token_dropout", None) is not None


def check_elastic(tokenizer: Any, **received: Any) -> None:
    """Checks that leading tokens can be decoded.

    Args:
        tokenizer: A `LARPTokenizer`.
        **received: The arguments that ask for fewer tokens.

    Raises:
        ValueError: If the tokenizer needs all tokens.
    """
    if is_elastic(tokenizer):
        return
    arguments = ", ".join(f"{name}={value}" for name, value in received.items())
    raise ValueError(
        "This tokenizer needs all of its tokens. Train it with "
        "`token_dropout`, or fine-tune the copy that `with_token_dropout` "
        f"returns. Received: {arguments}"
    )
