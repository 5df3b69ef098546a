"""Training a memory: recipes, data, objective, loop. Nothing outside this package imports it but
the command line and the evaluation, which plants the same kinds of facts.
"""
