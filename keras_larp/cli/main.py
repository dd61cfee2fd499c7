import errno
import importlib
import signal
import sys

from keras_larp.cli.command import UsageError
from keras_larp.cli.command import run as run_command
from keras_larp.utils.suggestions import did_you_mean

# Names with a space are modules too: `evaluate merge` is `evaluate_merge.py`.
COMMANDS = {
    "train-tokenizer": "Train a tokenizer and its prior.",
    "train-generator": "Train a generator on the tokens of a tokenizer.",
    "tokenize": "Encode videos and write their tokens to a dataset.",
    "reconstruct": "Write clips next to their reconstructions.",
    "generate": "Generate clips per class.",
    "predict-frames": "Continue clips from their first frames.",
    "inspect-tokens": "Plot codebook usage and what leading tokens encode.",
    "evaluate reconstruction": "Compare reconstructions with the originals.",
    "evaluate generation": "Compare generated clips with real ones.",
    "evaluate frame-prediction": "Compare continued clips with real ones.",
    "evaluate rate-distortion": "Compare tokens with H.264 and AV1.",
    "evaluate merge": "Merge the shards of an evaluation.",
    "evaluate compare": "Compare two evaluations, with intervals.",
    "convert": "Convert a preset or a checkpoint to a preset folder.",
    "plot-run": "Plot the training curves of a run.",
}


# Errors whose cause is what the user passed; all others are ours.
_USER_ERRORS = (
    UsageError,
    ValueError,
    ImportError,
    FileNotFoundError,
    FileExistsError,
    NotADirectoryError,
    IsADirectoryError,
    PermissionError,
    BlockingIOError,
)


class _Terminated(BaseException):
    """SIGTERM. Like `KeyboardInterrupt`, no handler of errors swallows it."""


def main() -> None:
    """Runs the `keras-larp` command with the arguments of the process.

    Errors end the process with one message: with exit status 2 if the
    arguments or the files are invalid, and with 1 otherwise. `--debug` shows
    their traceback. SIGTERM ends it with exit status 143, and Ctrl-C with 130.
    """
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        _run_and_report(sys.argv[1:])
    finally:
        signal.signal(signal.SIGTERM, previous)


def _run_and_report(arguments):
    """Runs a command, and ends the process if it fails."""
    debug = "--debug" in arguments
    try:
        run([a for a in arguments if a != "--debug"])
    except KeyboardInterrupt:
        if debug:
            raise
        sys.stderr.write("Interrupted.\n")
        sys.exit(128 + signal.SIGINT)
    except _Terminated:
        sys.stderr.write("Terminated.\n")
        sys.exit(128 + signal.SIGTERM)
    except Exception as error:
        if debug:
            raise
        message = str(error)
        is_user_error = _is_user_error(error)
        if not is_user_error:
            message = (
                f"{type(error).__name__}: {message} (--debug shows the "
                "traceback)"
            )
        sys.stderr.write(f"keras-larp: error: {message}\n")
        sys.exit(2 if is_user_error else 1)


def _terminate(number, frame):
    """Unwinds the stack, so that temporary files and locks are removed."""
    raise _Terminated


def _is_user_error(error):
    is_read_only = getattr(error, "errno", None) == errno.EROFS
    return is_read_only or isinstance(error, _USER_ERRORS)


def run(argv: list[str]) -> None:
    """Runs a command in this process.

    Args:
        argv: List of strings, such as `["generate", "--help"]`.

    Raises:
        UsageError: If the arguments are invalid.
    """
    name, *arguments = argv or ["--help"]
    if name in ("--help", "-h", "help"):
        print(usage())
        return
    if arguments and f"{name} {arguments[0]}" in COMMANDS:
        name = f"{name} {arguments.pop(0)}"
    if name not in COMMANDS:
        hint = did_you_mean(name, COMMANDS)
        raise UsageError(
            f"Unknown command {name!r}.{hint} See keras-larp --help."
        )
    module = name.replace("-", "_").replace(" ", "_")
    command = importlib.import_module(f"keras_larp.cli.{module}")
    run_command(command, arguments, f"keras-larp {name}")


def usage() -> str:
    """Returns the list of commands."""
    commands = [f"  {name:27}{text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "Usage: keras-larp COMMAND [--flag=value ...]",
            "",
            "Commands:",
            *commands,
            "",
            "Append --help to a command to list its flags, and --debug to see",
            "the traceback of an error. The environment variable KERAS_BACKEND",
            "selects the backend: jax, tensorflow or torch.",
        ]
    )


if __name__ == "__main__":
    main()
