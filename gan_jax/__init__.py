"""Generative adversarial networks as pure functions of two parameter trees."""
