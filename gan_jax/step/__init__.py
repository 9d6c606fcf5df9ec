"""The algorithm: pure functions of states, batches and keys."""
