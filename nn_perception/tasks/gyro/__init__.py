"""Corrected angular rate: calibration, bias learned at rest, and a causal convolution network."""
