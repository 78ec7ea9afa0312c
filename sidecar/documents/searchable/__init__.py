"""A document as a PDF that can be searched: its pages as they came, with an invisible text layer. In workers only."""
