"""One module per format family: source bytes in, `Extracted` (text and the way back) out; nothing written to disk."""
