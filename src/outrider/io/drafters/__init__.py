"""Trained drafters as other projects save them, read and written."""
