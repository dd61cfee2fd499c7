import difflib
import importlib
import sys

from keras_larp.cli.command import run

# Each command is a module of this package with `FLAGS` and `main`. A name may
# have two words: `evaluate merge` is `evaluate_merge.py`.
COMMANDS = {
    "train-tokenizer": "train a tokenizer and its prior",
    "train-generator": "train a generator on the tokens of a tokenizer",
    "tokenize": "write the tokens of videos to a data set for training",
    "reconstruct": "show clips beside their reconstructions, and measure them",
    "generate": "generate clips of classes",
    "predict-frames": "continue clips from their first frames",
    "inspect-tokens": "draw how codes are used, and what first tokens hold",
    "evaluate reconstruction": "measure clips against their reconstructions",
    "evaluate generation": "measure generated clips against real ones",
    "evaluate frame-prediction": "measure continued clips against the clips",
    "evaluate merge": "put the shards of an evaluation together",
    "convert": "write a preset or an authors' checkpoint as a preset folder",
    "plot-run": "draw the curves of a run",
}


def main(argv=None):
    """Runs `keras-larp COMMAND ...`; what `setup.py` installs as a script."""
    name, *arguments = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if name in ("--help", "-h", "help"):
        print(usage())
        return
    if arguments and f"{name} {arguments[0]}" in COMMANDS:
        name = f"{name} {arguments.pop(0)}"
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        sys.exit(f"There is no command {name!r}.{hint}\n\n{usage()}")
    module = name.replace("-", "_").replace(" ", "_")
    command = importlib.import_module(f"keras_larp.cli.{module}")
    run(command, arguments, f"keras-larp {name}")


def usage():
    """The list of commands, as text."""
    lines = [f"  {name:25} {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "keras-larp COMMAND --flag=value ...",
            "",
            *lines,
            "",
            "keras-larp COMMAND --help lists the flags of a command. The "
            "backend is chosen by\nthe environment variable KERAS_BACKEND: "
            "jax, tensorflow or torch.",
        ]
    )


if __name__ == "__main__":
    main()
