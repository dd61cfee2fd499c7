"""Trains a LARP tokenizer with its prior.

    python examples/train_tokenizer.py --help

The same as `keras-larp train-tokenizer`, which installing the package provides.
"""

from keras_larp.cli import train_tokenizer
from keras_larp.cli.command import run

if __name__ == "__main__":
    run(train_tokenizer)
