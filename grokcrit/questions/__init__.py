"""What is asked of D beyond its value: null models, placebos, straightness, crossings, Gini.

``family`` holds the data of a case and its null models as one; ``findings`` the rows that are
made of them. Every other module answers one question with such rows.
"""
