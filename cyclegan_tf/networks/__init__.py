"""Networks: layers, generators and discriminators, as the official code has them.

Uses nothing of ours but `config`. A network is a function of its sizes that gives a
`keras.Model`, and stands in a dictionary under the name that a configuration gives it.
Begin with `generators.py`.
"""
