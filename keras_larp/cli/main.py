import importlib
import sys

from keras_larp.cli.command import run
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
    "evaluate merge": "Merge the shards of an evaluation.",
    "convert": "Convert a preset or a checkpoint to a preset folder.",
    "plot-run": "Plot the training curves of a run.",
}


def main(argv: list[str] | None = None) -> None:
    """Runs the `keras-larp` command.

    Args:
        argv: List of strings, such as `["generate", "--help"]`. `None` selects
            the arguments of the process. Defaults to `None`.
    """
    name, *arguments = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if name in ("--help", "-h", "help"):
        print(usage())
        return
    if arguments and f"{name} {arguments[0]}" in COMMANDS:
        name = f"{name} {arguments.pop(0)}"
    if name not in COMMANDS:
        hint = did_you_mean(name, COMMANDS)
        sys.exit(f"Unknown command {name!r}.{hint}\n\n{usage()}")
    module = name.replace("-", "_").replace(" ", "_")
    command = importlib.import_module(f"keras_larp.cli.{module}")
    run(command, arguments, f"keras-larp {name}")


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
            "Append --help to a command to list its flags. The environment",
            "variable KERAS_BACKEND selects the backend: jax, tensorflow or "
            "torch.",
        ]
    )


if __name__ == "__main__":
    main()
