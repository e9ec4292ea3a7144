"""What a training step is made of: losses, image pool, Adam, its learning rate, state.

And distances between features, by which what was learned is measured. Uses nothing of
ours but `config` and `options`. Pure functions, or objects whose state is in
tf.Variables. Begin with `losses.py`; `trained.py` puts it together for the models
beside CycleGAN.
"""
