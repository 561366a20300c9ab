"""The reader: windows, training and prediction. Settings come from here without loading torch; the rest is imported
from its module (`mrc.read.model.reader.Reader`, `mrc.read.train.trainer.train`, `mrc.read.model.builtin.build_builtin`)."""

from mrc.read.config import BuiltinConfig, ReadConfig
from mrc.read.train_config import DevExample, PretrainConfig, TrainConfig, TrainingExample, TrainResult

__all__ = [
    "BuiltinConfig",
    "DevExample",
    "PretrainConfig",
    "ReadConfig",
    "TrainConfig",
    "TrainResult",
    "TrainingExample",
]
