"""Generative adversarial networks as pure functions of two parameter trees."""

__version__ = "0.2.0"  # read by setup.cfg and recorded with every run and score
