"""Checkpoints of other formats."""
