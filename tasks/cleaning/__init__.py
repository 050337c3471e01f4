"""The steps of `prepare`, one a module, and the report of what they did."""
