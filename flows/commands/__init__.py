"""The verbs of `stemma` that flows/cli.py takes in: each parses, calls and prints."""
