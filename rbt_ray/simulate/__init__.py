"""One strategy's weights become returns, and returns become numbers."""
