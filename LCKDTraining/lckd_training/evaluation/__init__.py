"""Scores of models: measured, tested, drawn."""
