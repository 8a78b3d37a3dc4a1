"""Vary: what changes from one network to the next, thousands of networks, and what came of it."""
