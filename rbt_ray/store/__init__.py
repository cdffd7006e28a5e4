"""What happened: the journal and the table read from it."""
