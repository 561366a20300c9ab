"""The reader: windows, training and prediction. Settings come from here without loading torch; the rest is imported
from its module (`mrc.read.model.reader.Reader`, `mrc.read.train.trainer.train`, `mrc.read.model.builtin.build_builtin`)."""

from mrc.read.config import BuiltinConfig, ReadConfig, WindowConfig
from mrc.read.train_config import (
    DevExample,
    ExperimentalTrainConfig,
    PretrainConfig,
    TrainConfig,
    TrainingExample,
    TrainResult,
    TrainSettings,
)

__all__ = [
    "BuiltinConfig",
    "DevExample",
    "ExperimentalTrainConfig",
    "PretrainConfig",
    "ReadConfig",
    "TrainConfig",
    "TrainResult",
    "TrainSettings",
    "TrainingExample",
    "WindowConfig",
]
