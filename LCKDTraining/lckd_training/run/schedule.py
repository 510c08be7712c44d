"""Learning-rate schedules."""

from __future__ import annotations

import math

from ..config import TrainingConfig


def learning_rate(iteration: int, config: TrainingConfig) -> float:
    """The rate of an iteration, counted from 0.

    ``cosine`` falls from the highest rate to zero over the whole run (the paper), ``polynomial`` as (1 − t)^power (the
    authors' code). ``trapezoid`` stays constant and falls linearly to zero in the last `decay_iterations`, so that a
    run may be prolonged before its decay begins.
    """
    warm = min(1.0, (iteration + 1) / max(1, config.warmup_iterations))
    done = min(1.0, iteration / config.iterations)
    if config.schedule == "cosine":
        factor = 0.5 * (1 + math.cos(math.pi * done))
    elif config.schedule == "polynomial":
        factor = (1 - done) ** config.power
    else:
        factor = min(1.0, (config.iterations - iteration) / config.decay_iterations)
    return config.learning_rate * warm * max(0.0, factor)
