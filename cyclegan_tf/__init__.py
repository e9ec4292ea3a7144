"""CycleGAN (arXiv 1703.10593) in TensorFlow and Keras."""
