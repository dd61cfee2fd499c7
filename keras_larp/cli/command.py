import logging
import sys

from absl import app, flags

from keras_larp.data import reuse_freed_memory


def run(command, arguments=None, name=None):
    """Parses flags and runs a command of this package.

    Args:
        command: Module with `FLAGS`, a `flags.FlagValues`, and
            `main(values)`; optionally with `POSITIONAL`, the name of a flag
            that an argument without a name stands for.
        arguments: List of strings; those of the process where `None`.
        name: String, what the command is called in its help.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    name = name or sys.argv[0]
    if {"--help", "-h", "--helpfull"} & set(arguments):
        print(f"{command.__doc__}\nFlags of {name}:\n")
        print(command.FLAGS.get_help())
        return

    def parse(argv):
        try:
            rest = command.FLAGS(argv)
        except flags.Error as error:
            sys.exit(f"{name}: {error}\nSee {name} --help.")
        if len(rest) == 2 and hasattr(command, "POSITIONAL"):
            command.FLAGS[command.POSITIONAL].parse(rest.pop())
        if len(rest) > 1:
            sys.exit(f"{name}: flags begin with --. Received: {rest[1]!r}")
        flags.FLAGS(argv[:1])  # absl's own, of logging
        return rest

    def main(_):
        # At absl's level, INFO, it tells of each accelerator that is not there.
        logging.getLogger("jax").setLevel(logging.WARNING)
        reuse_freed_memory()
        command.main(command.FLAGS)

    app.run(
        main,
        argv=[name, *arguments],
        flags_parser=parse,
    )
