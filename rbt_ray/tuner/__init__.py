"""The front: a study is set up, run or resumed, and its results are read."""
