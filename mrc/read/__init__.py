"""The reader: windows, networks, training and prediction.

This package exports settings, without loading torch; import other names from their modules (`mrc.read.model.Reader`,
`mrc.read.train.trainer.train`, `mrc.read.model.builtin.build_builtin`)."""

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
