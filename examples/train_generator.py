"""Trains a generator on the tokens of a trained tokenizer.

    python examples/train_generator.py --help

The same as `keras-larp train-generator`, which installing the package provides.
"""

from keras_larp.cli import train_generator
from keras_larp.cli.command import run

if __name__ == "__main__":
    run(train_generator)
