"""The local language model: the seam in base.py, and what stands behind it."""
