import copy


def run_here(command, *arguments):
    """Runs a command in this process, which need not start."""
    values = copy.deepcopy(command.FLAGS)
    values(["keras-larp", *arguments])
    command.main(values)


def written(folder):
    """Names of the files in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())
