"""The command line, `keras-larp COMMAND --flag=value ...`."""
