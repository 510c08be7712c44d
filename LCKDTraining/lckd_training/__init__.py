"""The LCKD trainer: data, sampling, losses, teacher election, loop, evaluation. Imports `lckd`, never Slicer or Qt."""
