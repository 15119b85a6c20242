"""The physics: scalar functions, one file a subject, each equation once.

Every function is written with NumPy's own vocabulary (``np.where``, ``np.minimum``, ``&``), so that the
same line works on numbers, on arrays and on the symbols with which the engine records it for compiling.
"""
