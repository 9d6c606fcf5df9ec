"""Who drives the steps and writes the folder of a run."""
