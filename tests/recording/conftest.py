"""What the recorder's tests share. Torch is imported inside: where it is missing they skip."""

import pytest


@pytest.fixture(autouse=True)
def one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def recorder(tmp_path):
    from grokcrit.torch import GradientRecorder
    from tests.recording.models import RUN

    with GradientRecorder(tmp_path, **RUN) as made:
        yield made
