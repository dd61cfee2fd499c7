"""Video sources, clip reading, transforms and pipelines."""
