"""The live page: follows the journal of a running study and shows it in a browser."""
