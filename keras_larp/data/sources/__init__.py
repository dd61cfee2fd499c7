"""Sources: files, computed clips, caches, concatenations."""
