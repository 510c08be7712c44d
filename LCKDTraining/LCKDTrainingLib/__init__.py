"""What the module LCKDTraining knows of Slicer; the trainer below it, lckd_training, knows nothing of Slicer or Qt."""
