"""Inside a training loop: cascades of its gradients, callbacks, sinks; needs PyTorch."""
