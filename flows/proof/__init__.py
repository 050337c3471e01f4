"""Where a model comes from, who has seen a record, and the same bytes made again."""
