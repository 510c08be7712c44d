"""The commands of the trainer, added to `lckd`: train, evaluate, export, data."""

from .cli_data import data as data
from .cli_evaluate import evaluate as evaluate
from .cli_export import export as export
from .cli_train import train as train
