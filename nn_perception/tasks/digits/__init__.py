"""Handwritten digits 0 to 9 (MNIST)."""
