"""The search: proposals from Optuna, trials on Ray Tune, results in the study database.

`nas.driver.search` is the way in. Nothing is imported here: a worker, which needs `nas.driver.trainable` alone, starts sooner.
"""
