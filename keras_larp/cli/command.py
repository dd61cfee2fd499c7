import logging
import math
import sys
import textwrap
import types

from absl import app, flags

from keras_larp.utils.freed_memory import reuse_freed_memory

_REQUIRED = "the flag is required"


class UsageError(Exception):
    """Arguments that a command does not have, or with invalid values."""


def run(
    command: types.ModuleType,
    arguments: list[str] | None = None,
    name: str | None = None,
) -> None:
    """Parses flags and runs a command.

    Args:
        command: Module with `FLAGS`, a `flags.FlagValues`, and
            `main(values)`. If it has `POSITIONAL`, names of flags, those
            flags can also be passed as positional arguments.
        arguments: List of strings. `None` selects the arguments of the
            process. Defaults to `None`.
        name: String. Name of the command in messages. `None` selects the name
            of the process. Defaults to `None`.

    Raises:
        UsageError: If the arguments are invalid.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    name = name or sys.argv[0]
    if {"--help", "-h", "--helpfull"} & set(arguments):
        print(help_text(command, name))
        return

    def parse(argv):
        try:
            rest = command.FLAGS(argv)
        except flags.Error as error:
            message = "; ".join(str(error).splitlines())
            raise UsageError(f"{message}. See {name} --help.") from error
        _check_finite(command.FLAGS, name)
        positional = getattr(command, "POSITIONAL", ())
        if len(rest) == 1 + len(positional):
            for flag, value in zip(positional, rest[1:], strict=True):
                command.FLAGS[flag].parse(value)
            rest = rest[:1]
        if len(rest) > 1:
            raise UsageError(
                f"Unexpected argument {rest[1]!r}; flags start with --. See "
                f"{name} --help."
            )
        flags.FLAGS(argv[:1])  # absl's own flags, such as those of logging
        return rest

    def main(_):
        # absl sets the level to INFO, at which JAX reports every accelerator
        # that is not available.
        logging.getLogger("jax").setLevel(logging.WARNING)
        reuse_freed_memory()
        command.main(command.FLAGS)

    app.run(
        main,
        argv=[name, *arguments],
        flags_parser=parse,
    )


def _check_finite(values, name):
    """Raises `UsageError` for NaN and infinity, which pass all bounds."""
    for flag in values:
        value = values[flag].value
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(
                f"--{flag} must be a finite number. Received: {value}. See "
                f"{name} --help."
            )


def require(values: flags.FlagValues, *names: str) -> None:
    """Makes flags without a default required."""
    for name in names:
        flags.register_validator(
            name,
            lambda value: value is not None,
            message=_REQUIRED,
            flag_values=values,
        )


def help_text(command: types.ModuleType, name: str) -> str:
    """Returns the description of a command and its flags.

    Flags are grouped by the `module_name` of their definition. Required flags
    and flags without a `module_name` come first.
    """
    groups = {"Required flags": [], "Flags": []}
    for group, members in command.FLAGS.flags_by_module_dict().items():
        if group.startswith("absl."):
            continue
        if group == command.__name__:
            group = "Flags"
        for flag in members:
            is_required = _REQUIRED in [v.message for v in flag.validators]
            title = "Required flags" if is_required else group
            groups.setdefault(title, []).append(flag)
    description = (command.__doc__ or "").strip()
    lines = [f"Usage: {name} [--flag=value ...]", "", description]
    for title, members in groups.items():
        if members:
            lines += ["", f"{title}:", *map(_flag_help, members)]
    return "\n".join(lines)


def _flag_help(flag):
    """Returns the syntax of a flag and, indented, its description."""
    syntax = f"--{flag.name}={_value_syntax(flag)}"
    if flag.boolean:
        syntax = f"--[no]{flag.name}"
    text = " ".join(flag.help.split())
    if choices := getattr(flag.parser, "enum_values", None):
        # absl prepends the choices, which the syntax shows too.
        text = text.removeprefix(f"<{'|'.join(choices)}>: ")
    if flag.default is not None:
        default = flag.default_as_str.strip("'")
        text = f"{text.rstrip('.')}. Default: {default}."
    indent = " " * 6
    description = textwrap.fill(
        text, 80, initial_indent=indent, subsequent_indent=indent
    )
    return f"  {syntax}\n{description}"


def _value_syntax(flag):
    choices = getattr(flag.parser, "enum_values", None)
    if choices:
        return "|".join(choices)
    kind = flag.flag_type()
    if "list" in kind:
        return "A,B,..."
    return {"int": "INTEGER", "float": "NUMBER"}.get(kind, "TEXT")
