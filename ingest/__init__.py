"""Raw text corpora in, tokenized documents out."""
