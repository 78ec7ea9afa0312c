"""What answers were made from, by what, and how sure they are: in answers, in the audit file, and as it would be now.

No route, and no decision: the use case tells what is written here. Pure.
"""
