"""One program for each group of features, with every option of it."""
