"""What the module LCKDSegmentation knows of Slicer; the engine below it, lckd, knows nothing of Slicer or Qt."""
