"""A second reading that a page is held against, where request or profile asks for it, and how sure the page then is.

Which engine's text is the answer is decided elsewhere: a check changes no text.
"""
