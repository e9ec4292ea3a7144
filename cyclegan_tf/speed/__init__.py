"""How fast a step is, against what the machine can do and against plainer steps.

Uses all wings but commands, which has the command `benchmark`. Begin with
`benchmark.py`; `plain_step.py` is the documents' step, which tests hold ours against.
"""
