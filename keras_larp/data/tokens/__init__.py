"""Token data sets."""
