"""The folder of a run: its files, and how they are read."""
