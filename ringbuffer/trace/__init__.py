"""What a run looks like to a person: step records, pictures in text, and the short tokens that name a run."""
