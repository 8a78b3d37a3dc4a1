"""DRAW: arrays and tables in, matplotlib figures out. Knows no other room."""
