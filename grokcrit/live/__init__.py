"""Inside a training loop: the recorder of gradients; needs PyTorch."""
