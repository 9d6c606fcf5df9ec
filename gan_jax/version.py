"""The version of gan_jax, which setup.cfg reads and every run and score records."""

VERSION = "0.2.0"
