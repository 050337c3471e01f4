"""Order after an accident."""
