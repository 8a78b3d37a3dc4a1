"""Many networks at once, each as if it were alone."""
