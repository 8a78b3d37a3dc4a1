"""How an experiment is kept: its file, the processes that share it, and curves as blocks."""
