"""A second reading that a page is held against, where request or profile asks for it, and what comes of it."""
