"""Work that may be done elsewhere: in this process, in processes of this machine, on a Ray cluster."""

from mar.execution.options import Workers, executor
from mar.execution.spec import Executor, InProcess, Spec

__all__ = ["Executor", "InProcess", "Spec", "Workers", "executor"]
