"""A network for answers only: a table of its steps, which one call runs."""

from kernels.inference.run import run

__all__ = ["run"]
