"""What a source holds, on its way to rows of a data version."""
