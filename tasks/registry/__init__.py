"""Registered versions: what is in them, who is champion and why."""
