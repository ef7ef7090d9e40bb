"""Parallel text for training: where it is, what is wrong with it, what is kept for evaluation, and its batches.

`python -m train.data check FILE` reports on a file; the trainers do the same first.
"""
