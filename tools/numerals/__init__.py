"""Training and test data of the reader of Thai numerals."""
