"""Neural architecture search over convolution-attention image classifiers."""

__version__ = "0.1.0"
