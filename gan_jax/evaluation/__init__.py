"""Metrics of generated images, and the features that they are computed from."""
