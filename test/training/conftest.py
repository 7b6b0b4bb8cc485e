"""Images that several tests of training distort."""

import pytest
import torch


@pytest.fixture
def images():
    """16 random images of 3 x 20 x 28."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (16, 3, 20, 28), generator=generator, dtype=torch.uint8)
