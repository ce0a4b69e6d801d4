"""Facts and concepts out of text: `own_words` says where facts may come from, an `Extractor` finds them there."""
