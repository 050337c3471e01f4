"""Data versions: sources in, rows versioned, logged and compared."""
