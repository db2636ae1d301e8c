"""Operators on whole columns as NumPy computes them: the same bits as the lowering, without a frame."""
