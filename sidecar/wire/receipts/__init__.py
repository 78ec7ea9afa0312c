"""What answers were made from, and by what: in answers, in the audit file, and as it would be now. Pure."""
