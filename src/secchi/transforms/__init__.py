"""PREPARE: preprocessing as data, fitted on training data only."""
