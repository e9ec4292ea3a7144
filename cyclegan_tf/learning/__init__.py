"""What a training step is made of: losses, image pool, Adam, its learning rate, state.

Uses nothing of ours but `config`. Pure functions, or objects whose state is in
tf.Variables. Begin with `losses.py`.
"""
