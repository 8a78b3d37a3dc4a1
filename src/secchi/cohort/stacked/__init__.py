"""Networks side by side as tensors: what a GPU trains many of at once."""
