"""The one error people are meant to see."""


class UserError(Exception):
    """A person's mistake: `<file or key>: <what is wrong>; <what to do>`, shown as one line, exit code 1."""
