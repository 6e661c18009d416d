"""The search: proposals from Optuna, trials on Ray Tune, results in the study database.

`nas.searches.search` is the way in. Nothing is imported here: a worker, which needs
`nas.searches.trial_training` alone, starts sooner.
"""
