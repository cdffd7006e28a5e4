"""Price bundles, the sources they are read from and the views of them that objectives get."""
