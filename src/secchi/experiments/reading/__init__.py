"""What came of an experiment: its trials as tables, means, rankings, effects and figures."""
