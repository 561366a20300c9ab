"""The reader: windows, training and prediction. Settings come from here without loading torch; the rest is imported
from its module (`mrc.read.model.Reader`, `mrc.read.train.train`, `mrc.read.builtin.build_builtin`)."""

from mrc.read.config import BuiltinConfig, ReadConfig
from mrc.read.trainconfig import DevExample, Stage0Config, TrainConfig, TrainingExample, TrainResult

__all__ = ["BuiltinConfig", "DevExample", "ReadConfig", "Stage0Config", "TrainConfig", "TrainResult", "TrainingExample"]
