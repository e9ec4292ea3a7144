"""Official PyTorch weights, in and out, without PyTorch.

Begin with `networks.py`, which names every weight in both codes, then `weights.py`;
`pickles.py` reads the pickles of strangers, and runs nothing in them.
"""
