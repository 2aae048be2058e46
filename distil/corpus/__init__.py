"""Raw text: cleaning in bulk, language identification, removal of duplicates."""
