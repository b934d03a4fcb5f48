"""What an operator does with a store: look at it and its runs, check it, tidy it up."""
