import copy


def run_here(command, *arguments):
    """Runs a command in this process, which is faster than a new one."""
    values = copy.deepcopy(command.FLAGS)
    values(["keras-larp", *arguments])
    command.main(values)


def written(folder):
    """Returns the sorted names of the files in a folder."""
    return sorted(path.name for path in folder.iterdir())
