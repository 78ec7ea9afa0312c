"""What workers write for an answer: the blocks of its pages, and documents in other formats. No route lives here."""
