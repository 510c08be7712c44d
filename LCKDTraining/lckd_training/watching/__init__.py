"""What a run tells of itself, for those who watch it."""
