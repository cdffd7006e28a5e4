"""Searchers of Ray Tune that take long to import."""


def hyperopt_search(**settings):
    """Returns a `HyperOptSearch`; importing it takes a second, which most processes of pytest-xdist never need."""
    from ray.tune.search.hyperopt import HyperOptSearch

    return HyperOptSearch(**settings)
