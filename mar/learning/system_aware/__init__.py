"""Training system-aware controllers on queries that arrive whether or not they are kept up with."""

from mar.learning.system_aware.settings import SystemTraining
from mar.learning.system_aware.trainer import SystemTrainer

__all__ = ["SystemTrainer", "SystemTraining"]
