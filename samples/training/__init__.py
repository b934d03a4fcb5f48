"""How the sample models are trained: problems, recipes, loops, cards.

Needs the ``test`` extra (scikit-learn, scikit-image, SciPy).
"""
