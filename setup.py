"""Where the packages of the wheel lie in this repository; everything else is in pyproject.toml.

The engine and the trainer live in the folders of the Slicer modules that carry them. The embedded model and the
sample case, shared by both, become ``lckd/_resources`` of the wheel.
"""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages("LCKDSegmentation", include=["lckd", "lckd.*"]),
        *find_packages("LCKDTraining", include=["lckd_training", "lckd_training.*"]),
        "lckd._resources",
    ],
    package_dir={
        "lckd": "LCKDSegmentation/lckd",
        "lckd_training": "LCKDTraining/lckd_training",
        "lckd._resources": "Resources",
    },
)
