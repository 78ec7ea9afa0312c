"""What a model's answer to a page is worth: its text, and whether it is whole, loops, or repeats its prompt.

Everything here is pure: no access to a model server.
"""
