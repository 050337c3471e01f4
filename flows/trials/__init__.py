"""Stages tried with other numbers: `stemma tune` and `stemma ablate`."""
