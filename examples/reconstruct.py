"""Shows clips beside what a tokenizer makes of them, and measures it.

    python examples/reconstruct.py --help

The same as `keras-larp reconstruct`, which installing the package provides.
"""

from keras_larp.cli import reconstruct
from keras_larp.cli.command import run

if __name__ == "__main__":
    run(reconstruct)
