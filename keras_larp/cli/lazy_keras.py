"""The attributes of `keras`, which is imported on first use."""

import importlib


def __getattr__(name):
    return getattr(importlib.import_module("keras"), name)
