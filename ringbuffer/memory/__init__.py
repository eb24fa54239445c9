"""Where rows run: simulated memories, and the real segment with its layout."""
