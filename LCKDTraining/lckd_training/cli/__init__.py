"""The commands of the trainer, added to `lckd`."""
