"""Reading, transforming and writing video."""
