"""Networks side by side as machine code: what a processor trains many of at once."""
