"""Programs that answer the same questions over the same document, each in a process of its own (`serve`)."""
