"""What the reader of Thai numerals is trained on, and tried on."""
