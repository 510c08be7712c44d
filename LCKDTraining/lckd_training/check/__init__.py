"""``lckd data check``: what a data set has, lacks, and has wrong."""
