"""Helpers that every package uses: checks, optional imports, files."""
