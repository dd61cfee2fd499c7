"""The `keras-larp` command.

Each command is a module with `FLAGS` and `main`. These modules do not import
Keras, which takes seconds: they access subpackages such as `keras_larp.models`
as attributes of `keras_larp`, which load on first use, and `keras` through
`lazy_keras`. So `--help` and messages about invalid flags are instant.
"""
