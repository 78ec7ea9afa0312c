"""Where things stand on PDF pages as they are shown: words of text layers, ruling lines, pictures. In workers only."""
