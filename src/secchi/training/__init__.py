"""TRAIN ONE: the loop, its parts, and the record of what happened."""
