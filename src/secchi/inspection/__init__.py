"""QUESTION: what a model says, beside what is true."""
