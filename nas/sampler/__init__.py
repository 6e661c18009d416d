"""The sampler `pareto`: a model of accuracy over networks whose cost is known before training."""

from nas.sampler.history import Earlier
from nas.sampler.pareto import ParetoSampler

__all__ = ["Earlier", "ParetoSampler"]
