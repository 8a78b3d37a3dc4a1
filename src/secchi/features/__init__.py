"""COMPUTE ONCE: the frozen body runs once over the pictures; its output is kept."""
