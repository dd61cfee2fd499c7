"""Conversion of published checkpoints to models of this library."""
