"""Generates clips of classes, and writes them as video files and a grid.

    python examples/generate.py --help

The same as `keras-larp generate`, which installing the package provides.
"""

from keras_larp.cli import generate
from keras_larp.cli.command import run

if __name__ == "__main__":
    run(generate)
