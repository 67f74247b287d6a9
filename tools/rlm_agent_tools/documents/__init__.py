"""From the bytes of a document to its text, in a process of their own: parsers meet what strangers wrote there."""
