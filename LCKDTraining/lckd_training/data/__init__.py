"""What is trained on: data sets, cases, splits, the cache of prepared cases."""
